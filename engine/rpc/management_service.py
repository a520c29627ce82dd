# ruff: noqa: N802, ARG002 - gRPC gives the methods their names and every one of them a request and a context
"""ManagementService: jobs, and the engine itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import grpc
from flowloom.engine.v1 import job_pb2, management_service_pb2_grpc
from flowloom.engine.v1 import management_service_pb2 as pb
from google.api import httpbody_pb2
from google.protobuf import struct_pb2

from engine.app.operations import EngineFacts, JobOperations, ManualControl
from engine.app.queries import DEFAULT_MAX_FINDINGS, ConsistencyQueries, JobFilter, JobQueries
from engine.rpc import mapping_jobs as mapping
from engine.rpc import mapping_lists as lists
from engine.rpc.context import caller_of, require_all_tenants
from engine.rpc.errors import answers_refusals

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class ManagementQueries(JobQueries, ConsistencyQueries, Protocol):
    """What this service reads."""


@answers_refusals
class ManagementService(management_service_pb2_grpc.ManagementServiceServicer):
    """Serves `flowloom.engine.v1.ManagementService`."""

    def __init__(
        self, operations: JobOperations, control: ManualControl, queries: ManagementQueries, facts: EngineFacts
    ) -> None:
        self._operations = operations
        self._control = control
        self._queries = queries
        self._facts = facts

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def ListJobs(self, request: pb.ListJobsRequest, context: RpcContext) -> pb.ListJobsResponse:
        found = await self._queries.list_jobs(lists.filter_of(JobFilter, request), lists.page_of(request))
        return lists.listed(pb.ListJobsResponse, found, mapping.job)

    async def GetJob(self, request: pb.GetJobRequest, context: RpcContext) -> job_pb2.Job:
        return mapping.job(await self._queries.get_job(request.kind, request.job_id))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: RpcContext) -> pb.DeleteJobResponse:
        await self._operations.delete(
            request.kind, request.job_id, user_id=caller_of(context), request_id=request.request_id
        )
        return pb.DeleteJobResponse()

    async def GetJobExceptionStacktrace(
        self, request: pb.GetJobExceptionStacktraceRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        return mapping.stacktrace(await self._queries.get_job_exception_stacktrace(request.kind, request.job_id))

    async def ExecuteJob(self, request: pb.ExecuteJobRequest, context: RpcContext) -> pb.ExecuteJobResponse:
        mapping.require_action(request.action, "execute")
        await self._operations.execute(request.job_id, user_id=caller_of(context), request_id=request.request_id)
        return pb.ExecuteJobResponse()

    async def ExecuteTimerJobAction(
        self, request: pb.ExecuteTimerJobActionRequest, context: RpcContext
    ) -> pb.ExecuteTimerJobActionResponse:
        asked = {"user_id": caller_of(context), "request_id": request.request_id}
        if mapping.require_action(request.action, "move", "reschedule") == "move":
            await self._operations.move_timer(request.job_id, **asked)
        else:
            await self._operations.reschedule_timer(request.job_id, mapping.due_date(request), **asked)
        return pb.ExecuteTimerJobActionResponse()

    async def MoveTimerJob(self, request: pb.MoveTimerJobRequest, context: RpcContext) -> pb.MoveTimerJobResponse:
        await self._operations.move_timer(request.job_id, user_id=caller_of(context), request_id=request.request_id)
        return pb.MoveTimerJobResponse()

    async def RescheduleTimerJob(
        self, request: pb.RescheduleTimerJobRequest, context: RpcContext
    ) -> pb.RescheduleTimerJobResponse:
        await self._operations.reschedule_timer(
            request.job_id, mapping.due_date(request), user_id=caller_of(context), request_id=request.request_id
        )
        return pb.RescheduleTimerJobResponse()

    async def MoveDeadLetterJob(
        self, request: pb.MoveDeadLetterJobRequest, context: RpcContext
    ) -> pb.MoveDeadLetterJobResponse:
        mapping.require_action(request.action, "move")
        retries = request.retries if request.HasField("retries") else None
        await self._operations.revive(
            [request.job_id], retries, user_id=caller_of(context), request_id=request.request_id
        )
        return pb.MoveDeadLetterJobResponse()

    async def MoveDeadLetterJobs(
        self, request: pb.MoveDeadLetterJobsRequest, context: RpcContext
    ) -> pb.MoveDeadLetterJobsResponse:
        mapping.require_action(request.action, "move")
        retries = request.retries if request.HasField("retries") else None
        await self._operations.revive(
            request.job_ids, retries, user_id=caller_of(context), request_id=request.request_id
        )
        return pb.MoveDeadLetterJobsResponse()

    async def SetJobRetries(self, request: pb.SetJobRetriesRequest, context: RpcContext) -> pb.SetJobRetriesResponse:
        await self._operations.set_retries(
            request.job_id, request.retries, user_id=caller_of(context), request_id=request.request_id
        )
        return pb.SetJobRetriesResponse()

    # --- the engine ---------------------------------------------------------------------------------------------------

    async def GetEngineInfo(self, request: pb.GetEngineInfoRequest, context: RpcContext) -> pb.GetEngineInfoResponse:
        return pb.GetEngineInfoResponse(name=self._facts.name, version=self._facts.version)

    async def GetProperties(self, request: pb.GetPropertiesRequest, context: RpcContext) -> struct_pb2.Struct:
        return mapping.properties(self._facts)

    async def GetCapabilities(
        self, request: pb.GetCapabilitiesRequest, context: RpcContext
    ) -> pb.GetCapabilitiesResponse:
        control = self._control
        return mapping.capabilities(self._facts, manual_clock=control.manual_clock, manual_jobs=control.manual_jobs)

    async def CheckConsistency(
        self, request: pb.CheckConsistencyRequest, context: RpcContext
    ) -> pb.CheckConsistencyResponse:
        most = request.max_findings if request.HasField("max_findings") else DEFAULT_MAX_FINDINGS
        # The check sees the whole database, of all tenants.
        require_all_tenants()
        return mapping.consistency(await self._queries.check_consistency(request.root_process_instance_id, most))

    # --- tests --------------------------------------------------------------------------------------------------------

    async def GetClock(self, request: pb.GetClockRequest, context: RpcContext) -> pb.GetClockResponse:
        response = pb.GetClockResponse(manual=self._control.manual_clock)
        response.time.FromDatetime(self._control.now())
        return response

    async def AdvanceClock(self, request: pb.AdvanceClockRequest, context: RpcContext) -> pb.AdvanceClockResponse:
        fire = request.fire if request.HasField("fire") else True
        executed = await self._control.move_clock(mapping.clock_move(request), fire=fire)
        response = pb.AdvanceClockResponse(executed=executed)
        response.time.FromDatetime(self._control.now())
        return response

    async def RunJobs(self, request: pb.RunJobsRequest, context: RpcContext) -> pb.RunJobsResponse:
        most = request.max_jobs if request.HasField("max_jobs") else None
        return pb.RunJobsResponse(executed=await self._control.run_jobs(most))
