"""A worker's one stream: credits and reports come, jobs and outcomes go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TypeAlias

from flowloom.engine.v1 import external_worker_service_pb2 as pb
from flowloom.engine.v1 import job_pb2
from google.rpc import error_details_pb2, status_pb2

from engine.app.external_streams import Credits, JobStreams
from engine.app.external_work import Acquire, ExternalWork, Report, check_acquire
from engine.app.jobs import LeaseChange
from engine.rpc import mapping_jobs as mapping
from engine.rpc.batch_stream import MAX_COMMANDS, BatchStream, StreamTerms
from engine.rpc.errors import invalid_request

Item: TypeAlias = pb.JobCompletion | pb.JobFailure | pb.JobBpmnError | tuple[pb.JobLock, ...]
"""A report, or all locks of a message that are to be extended."""
Pushed: TypeAlias = Sequence[job_pb2.ExternalWorkerJob] | Sequence[pb.JobOutcome]


class WorkerStream:
    """One stream of one worker."""

    def __init__(self, work: ExternalWork, streams: JobStreams, terms: StreamTerms, user_id: str) -> None:
        self._work = work
        self._streams = streams
        self._user_id = user_id
        self._ask: Acquire | None = None
        self._credits = Credits()
        self._pumping: asyncio.Task[None] | None = None
        self._stream: BatchStream[Item, Pushed] = BatchStream(self._carry_out, self._refuse, terms)

    async def responses(self, requests: AsyncIterator[pb.WorkJobsRequest]) -> AsyncGenerator[pb.WorkJobsResponse, None]:
        """Serve it. Raises InvalidArgument for what breaks the order of the stream."""
        try:
            async with aclosing(self._stream.answers(self._items(requests))) as answers:
                async for pushed in answers:
                    yield _response(pushed)
        finally:
            if self._pumping is not None:
                self._pumping.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await self._pumping

    async def _items(self, requests: AsyncIterator[pb.WorkJobsRequest]) -> AsyncGenerator[Sequence[Item], None]:
        async for request in requests:
            if request.HasField("subscription") == (self._ask is not None):
                raise invalid_request("subscription", "expected a subscription in the first message and only there")
            if self._ask is None:
                self._ask = _acquire(request.subscription)
                check_acquire(self._ask)
                self._pumping = asyncio.create_task(self._pump(self._ask))
            if self._credits.left + request.credits > MAX_COMMANDS:
                raise invalid_request("credits", f"expected at most {MAX_COMMANDS} credits in all, found more")
            self._credits.grant(request.credits)
            locks = [tuple(request.extended)] if request.extended else []
            count = len(request.completed) + len(request.failed) + len(request.bpmn_errors) + len(request.extended)
            if count > MAX_COMMANDS:
                raise invalid_request("completed", f"expected at most {MAX_COMMANDS} reports, found {count}")
            yield (*request.completed, *request.failed, *request.bpmn_errors, *locks)

    async def _pump(self, ask: Acquire) -> None:
        try:
            async with aclosing(self._streams.listen(ask, self._credits)) as batches:
                async for jobs in batches:
                    self._stream.push([mapping.leased(job) for job in jobs])
        except Exception as error:
            # Whatever keeps it from getting jobs ends the worker's stream, as it ends StreamJobs.
            self._stream.fail(error)

    async def _carry_out(self, item: Item) -> Pushed:
        ask = self._ask
        assert ask is not None, "nothing is carried out before the subscription"
        if isinstance(item, tuple):
            leases = [LeaseChange(job_id=lock.job_id, owner=ask.worker_id, token=lock.lock_token) for lock in item]
            return mapping.lock_outcomes(leases, await self._work.extend(ask.worker_id, leases, ask.lease))
        await self._work.report(self._report(item, ask.worker_id))
        return (pb.JobOutcome(job_id=item.job_id),)

    def _report(self, item: pb.JobCompletion | pb.JobFailure | pb.JobBpmnError, worker_id: str) -> Report:
        if isinstance(item, pb.JobCompletion):
            return mapping.completion(item, worker_id, self._user_id)
        if isinstance(item, pb.JobFailure):
            return mapping.failure(item, worker_id, self._user_id, self._work.now())
        return mapping.bpmn_error(item, worker_id, self._user_id)

    def _refuse(self, item: Item, status: status_pb2.Status) -> Pushed:
        jobs = [lock.job_id for lock in item] if isinstance(item, tuple) else [item.job_id]
        reason = _reason_of(status)
        return [pb.JobOutcome(job_id=job, code=status.code, reason=reason, message=status.message) for job in jobs]


def _acquire(subscription: pb.WorkSubscription) -> Acquire:
    return Acquire(
        topic=subscription.topic,
        worker_id=subscription.worker_id,
        lease=mapping.lease_duration(subscription.lock_duration),
        tenant_id=subscription.tenant_id if subscription.HasField("tenant_id") else None,
    )


def _reason_of(status: status_pb2.Status) -> str | None:
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), None)


def _response(pushed: Sequence[Pushed]) -> pb.WorkJobsResponse:
    response = pb.WorkJobsResponse()
    for part in pushed:
        for each in part:
            if isinstance(each, pb.JobOutcome):
                response.outcomes.append(each)
            else:
                response.jobs.append(each)
    return response
