# ruff: noqa: N802, ARG002 - gRPC gives the methods their names and every one of them a request and a context
"""SagaService: sagas, their logs, and who takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.engine.v1 import saga_service_pb2 as pb
from flowloom.engine.v1 import saga_service_pb2_grpc

from engine.app.sagas.operations import SagaOperations
from engine.app.sagas.ports import ParticipantFilter, SagaFilter, SagaLogFilter, SagaQueries
from engine.rpc import mapping_lists as lists
from engine.rpc import mapping_sagas as mapping
from engine.rpc.context import caller_of, require_all_tenants
from engine.rpc.errors import answers_refusals
from mesh.access import current_principal

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


@answers_refusals
class SagaService(saga_service_pb2_grpc.SagaServiceServicer):
    """Serves `flowloom.engine.v1.SagaService`."""

    def __init__(self, operations: SagaOperations, queries: SagaQueries) -> None:
        self._operations = operations
        self._queries = queries

    async def GetSaga(self, request: pb.GetSagaRequest, context: RpcContext) -> pb.Saga:
        return mapping.saga(await self._queries.get_saga(request.saga_id))

    async def ListSagas(self, request: pb.ListSagasRequest, context: RpcContext) -> pb.ListSagasResponse:
        found = await self._queries.list_sagas(lists.filter_of(SagaFilter, request), lists.page_of(request))
        return lists.listed(pb.ListSagasResponse, found, mapping.saga)

    async def ListSagaLog(self, request: pb.ListSagaLogRequest, context: RpcContext) -> pb.ListSagaLogResponse:
        found = await self._queries.list_saga_log(lists.filter_of(SagaLogFilter, request), lists.page_of(request))
        return lists.listed(pb.ListSagaLogResponse, found, lambda line: mapping.entry(request.saga_id, line))

    async def _check_seen(self, saga_id: str) -> None:
        """Raises NotFound for a saga of a tenant that the caller does not see."""
        if current_principal().visible_tenant is not None:
            await self._queries.get_saga(saga_id)

    async def RetrySaga(self, request: pb.RetrySagaRequest, context: RpcContext) -> pb.Saga:
        await self._check_seen(request.saga_id)
        return mapping.saga(await self._operations.retry(request.saga_id, caller_of(context), request.request_id))

    async def CloseSaga(self, request: pb.CloseSagaRequest, context: RpcContext) -> pb.Saga:
        await self._check_seen(request.saga_id)
        by = caller_of(context)
        return mapping.saga(await self._operations.close(request.saga_id, by, request.note, request.request_id))

    async def ConfirmSagaStep(
        self, request: pb.ConfirmSagaStepRequest, context: RpcContext
    ) -> pb.ConfirmSagaStepResponse:
        await self._check_seen(request.saga_id)
        await self._operations.confirm(request.saga_id, mapping.word(request), request.request_id)
        return pb.ConfirmSagaStepResponse()

    async def RegisterSagaParticipant(
        self, request: pb.RegisterSagaParticipantRequest, context: RpcContext
    ) -> pb.SagaParticipant:
        wanted = mapping.registration(request, self._operations)
        return mapping.participant(await self._operations.register(wanted))

    async def UnregisterSagaParticipant(
        self, request: pb.UnregisterSagaParticipantRequest, context: RpcContext
    ) -> pb.UnregisterSagaParticipantResponse:
        require_all_tenants()
        await self._operations.unregister(request.participant_id, request.request_id)
        return pb.UnregisterSagaParticipantResponse()

    async def ListSagaParticipants(
        self, request: pb.ListSagaParticipantsRequest, context: RpcContext
    ) -> pb.ListSagaParticipantsResponse:
        wanted = lists.filter_of(ParticipantFilter, request)
        found = await self._queries.list_participants(wanted, lists.page_of(request))
        return lists.listed(pb.ListSagaParticipantsResponse, found, mapping.participant)
