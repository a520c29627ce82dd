"""Participants of sagas by RPC: `flowloom.saga.v1.SagaParticipantService` at whatever address was registered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from flowloom.saga.v1 import saga_participant_service_pb2 as pb
from flowloom.saga.v1.saga_participant_service_pb2_grpc import SagaParticipantServiceStub
from google.protobuf import json_format, struct_pb2

from engine.app.sagas.ports import StepAnswer, StepCall, StepRefused
from engine.app.sagas.state import COMPENSATE

MAX_CHANNELS: Final = 256
"""Channels kept open; the one not used for longest is closed for another."""
_FINAL: Final = frozenset((grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION))
Metadata = Sequence[tuple[str, str]]


class RpcParticipants:
    """Does steps by calling their participants. `metadata` gives what a call carries, such as the engine's token."""

    def __init__(self, metadata: Callable[[], Metadata] = tuple) -> None:
        self._metadata = metadata
        self._channels: OrderedDict[str, grpc.aio.Channel] = OrderedDict()
        self._closing: list[grpc.aio.Channel] = []

    async def perform(self, call: StepCall) -> StepAnswer:
        """Call the participant. Raises StepRefused for what it says will never succeed, AioRpcError otherwise."""
        stub: Any = SagaParticipantServiceStub(self._channel(call.target))
        fields: dict[str, Any] = {
            "saga_id": call.saga_id,
            "step_id": call.step_id,
            "saga_name": call.saga_name,
            "step_name": call.step_name,
            "attempt": call.attempt,
            "data": _struct(call.data),
            "tenant_id": call.tenant_id,
            "request_id": call.barrier,
        }
        options = {"timeout": call.timeout_seconds, "metadata": tuple(self._metadata())}
        try:
            if call.action == COMPENSATE:
                compensated = await stub.Compensate(pb.CompensateRequest(**fields), **options)
                return StepAnswer(pending=compensated.pending)
            executed = await stub.Execute(pb.ExecuteRequest(**fields), **options)
            return StepAnswer(pending=executed.pending, result=json_format.MessageToDict(executed.result))
        except grpc.aio.AioRpcError as error:
            if error.code() in _FINAL and call.action != COMPENSATE:
                raise StepRefused(f"{call.target}: {error.details()}") from error
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from error
            raise ParticipantFailed(f"{call.target}: {error.code().name}: {error.details()}") from error

    def _channel(self, target: str) -> grpc.aio.Channel:
        channel = self._channels.pop(target, None)
        if channel is None:
            channel = grpc.aio.insecure_channel(target, options=(("grpc.max_reconnect_backoff_ms", 2_000),))
        self._channels[target] = channel
        if len(self._channels) > MAX_CHANNELS:
            self._closing.append(self._channels.popitem(last=False)[1])
        return channel

    async def aclose(self) -> None:
        """Close all channels."""
        channels = [*self._channels.values(), *self._closing]
        self._channels.clear()
        self._closing.clear()
        for channel in channels:
            await channel.close()


class ParticipantFailed(Exception):
    """A participant could not do its step; it may the next time."""


def _struct(data: Any) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(data)
    return found
