# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.RebuildService`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from flowloom.history.v1 import rebuild_service_pb2 as pb
from flowloom.history.v1 import rebuild_service_pb2_grpc as services

from history.app.rebuilding import Rebuilding
from history.model.lag import Behind
from history.model.rebuild import Rebuild
from history.rpc import calling, mapping

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class RebuildServicer(services.RebuildServiceServicer):
    """Rebuilds, and tells how far behind history is."""

    def __init__(self, rebuilding: Rebuilding, measure: Callable[[], Awaitable[Behind]]) -> None:
        self._rebuilding = rebuilding
        self._measure = measure

    async def StartRebuild(self, request: pb.StartRebuildRequest, _: RpcContext) -> pb.Rebuild:
        calling.all_tenants()
        asked = calling.request_id(request.request_id)
        return _rebuild(await self._rebuilding.start(calling.user_id(), asked))

    async def GetRebuild(self, request: pb.GetRebuildRequest, _: RpcContext) -> pb.Rebuild:
        calling.all_tenants()
        return _rebuild(await self._rebuilding.get(request.rebuild_id))

    async def GetLag(self, _request: pb.GetLagRequest, _: RpcContext) -> pb.GetLagResponse:
        found = await self._measure()
        return pb.GetLagResponse(messages=found.messages, held=found.held, seconds=found.seconds)


def _rebuild(found: Rebuild) -> pb.Rebuild:
    return pb.Rebuild(
        id=found.id,
        state=found.state,
        start_time=mapping.stamp(found.started_at),
        end_time=None if found.ended_at is None else mapping.stamp(found.ended_at),
        requested_by=found.requested_by or None,
        error=found.error or None,
        messages=found.messages,
    )
