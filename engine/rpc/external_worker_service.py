# ruff: noqa: N802, ARG002 - gRPC gives the methods their names and every one of them a request and a context
"""ExternalWorkerService: jobs for workers outside, polled or pushed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
from flowloom.engine.v1 import external_worker_service_pb2 as pb
from flowloom.engine.v1 import external_worker_service_pb2_grpc, job_pb2

from engine.app.external_streams import JobStreams
from engine.app.external_work import ExternalWork
from engine.app.jobs import LeasedJob
from engine.app.queries import ExternalWorkerJobFilter, JobQueries
from engine.rpc import mapping_jobs as mapping
from engine.rpc import mapping_lists as lists
from engine.rpc.batch_stream import StreamTerms
from engine.rpc.context import caller_of
from engine.rpc.errors import answers_refusals
from engine.rpc.worker_stream import WorkerStream
from mesh.errors import Unavailable

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


@answers_refusals
class ExternalWorkerService(external_worker_service_pb2_grpc.ExternalWorkerServiceServicer):
    """Serves `flowloom.engine.v1.ExternalWorkerService`."""

    def __init__(
        self, work: ExternalWork, streams: JobStreams, queries: JobQueries, terms: StreamTerms | None = None
    ) -> None:
        """`terms.draining` ends the streams when the server goes away."""
        self._work = work
        self._streams = streams
        self._queries = queries
        self._terms = terms or StreamTerms()

    # --- taking -------------------------------------------------------------------------------------------------------

    async def AcquireJobs(
        self, request: pb.AcquireJobsRequest, context: RpcContext
    ) -> AsyncIterator[job_pb2.ExternalWorkerJob]:
        for job in await self._work.acquire(mapping.acquire(request)):
            yield mapping.leased(job)

    async def StreamJobs(
        self, request: pb.StreamJobsRequest, context: RpcContext
    ) -> AsyncIterator[pb.StreamJobsResponse]:
        async with aclosing(self._until_draining(self._streams.listen(mapping.listen(request)))) as batches:
            async for jobs in batches:
                yield pb.StreamJobsResponse(jobs=[mapping.leased(job) for job in jobs])

    async def WorkJobs(
        self, requests: AsyncIterator[pb.WorkJobsRequest], context: RpcContext
    ) -> AsyncIterator[pb.WorkJobsResponse]:
        stream = WorkerStream(self._work, self._streams, self._terms, caller_of(context))
        async with aclosing(stream.responses(requests)) as responses:
            async for response in responses:
                yield response

    async def _until_draining(
        self, batches: AsyncGenerator[Sequence[LeasedJob], None]
    ) -> AsyncGenerator[Sequence[LeasedJob], None]:
        """Pass batches on until the server goes away; what was taken by then is passed on before."""
        ending = asyncio.ensure_future(self._terms.draining.wait())
        coming: asyncio.Future[Sequence[LeasedJob]] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(batches))
                await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise Unavailable(
                        "draining", "expected the server to go on, found it going away: open the stream again"
                    )
                yield coming.result()
        finally:
            ending.cancel()
            if coming is not None and not coming.done():
                coming.cancel()
                await asyncio.wait((coming,))
            await batches.aclose()

    async def ListExternalWorkerJobs(
        self, request: pb.ListExternalWorkerJobsRequest, context: RpcContext
    ) -> pb.ListExternalWorkerJobsResponse:
        wanted = lists.filter_of(ExternalWorkerJobFilter, request)
        found = await self._queries.list_external_worker_jobs(wanted, lists.page_of(request))
        return lists.listed(pb.ListExternalWorkerJobsResponse, found, mapping.worker_job)

    async def GetExternalWorkerJob(
        self, request: pb.GetExternalWorkerJobRequest, context: RpcContext
    ) -> job_pb2.ExternalWorkerJob:
        return mapping.worker_job(await self._queries.get_external_worker_job(request.job_id))

    # --- reporting ----------------------------------------------------------------------------------------------------

    async def CompleteJob(self, request: pb.CompleteJobRequest, context: RpcContext) -> pb.CompleteJobResponse:
        report = mapping.completion(request, request.worker_id, caller_of(context))
        await self._work.report(report, request.request_id)
        return pb.CompleteJobResponse()

    async def FailJob(self, request: pb.FailJobRequest, context: RpcContext) -> pb.FailJobResponse:
        report = mapping.failure(request, request.worker_id, caller_of(context), self._work.now())
        await self._work.report(report, request.request_id)
        return pb.FailJobResponse()

    async def ThrowBpmnError(self, request: pb.ThrowBpmnErrorRequest, context: RpcContext) -> pb.ThrowBpmnErrorResponse:
        report = mapping.bpmn_error(request, request.worker_id, caller_of(context))
        await self._work.report(report, request.request_id)
        return pb.ThrowBpmnErrorResponse()

    async def CompleteJobs(self, request: pb.CompleteJobsRequest, context: RpcContext) -> pb.CompleteJobsResponse:
        reports = mapping.completions(request, caller_of(context))
        refused = await self._work.report_all(request.worker_id, reports, request.request_id)
        return pb.CompleteJobsResponse(outcomes=mapping.outcomes(reports, refused))

    async def FailJobs(self, request: pb.FailJobsRequest, context: RpcContext) -> pb.FailJobsResponse:
        reports = mapping.failures(request, caller_of(context), self._work.now())
        refused = await self._work.report_all(request.worker_id, reports, request.request_id)
        return pb.FailJobsResponse(outcomes=mapping.outcomes(reports, refused))

    async def ThrowBpmnErrors(
        self, request: pb.ThrowBpmnErrorsRequest, context: RpcContext
    ) -> pb.ThrowBpmnErrorsResponse:
        reports = mapping.bpmn_errors(request, caller_of(context))
        refused = await self._work.report_all(request.worker_id, reports, request.request_id)
        return pb.ThrowBpmnErrorsResponse(outcomes=mapping.outcomes(reports, refused))

    # --- leases -------------------------------------------------------------------------------------------------------

    async def ExtendJobLock(self, request: pb.ExtendJobLockRequest, context: RpcContext) -> pb.ExtendJobLockResponse:
        until = await self._work.extend_one(mapping.lock(request), mapping.lease_duration(request.lock_duration))
        response = pb.ExtendJobLockResponse()
        response.lock_expiration_time.FromDatetime(until)
        return response

    async def ExtendJobLocks(self, request: pb.ExtendJobLocksRequest, context: RpcContext) -> pb.ExtendJobLocksResponse:
        leases = mapping.locks(request)
        lease = mapping.lease_duration(request.lock_duration)
        found = await self._work.extend(request.worker_id, leases, lease)
        return pb.ExtendJobLocksResponse(outcomes=mapping.lock_outcomes(leases, found))

    async def UnacquireJob(self, request: pb.UnacquireJobRequest, context: RpcContext) -> pb.UnacquireJobResponse:
        await self._work.release(mapping.lock(request))
        return pb.UnacquireJobResponse()

    async def UnacquireAllJobs(
        self, request: pb.UnacquireAllJobsRequest, context: RpcContext
    ) -> pb.UnacquireAllJobsResponse:
        await self._work.release_all(request.worker_id, request.tenant_id if request.HasField("tenant_id") else None)
        return pb.UnacquireAllJobsResponse()
