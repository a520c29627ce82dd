"""Envoy's aggregated discovery service (ADS), state of the world and delta, over the control plane's conversations."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc

from gateway.app.control_plane import ControlPlane
from gateway.app.discovery import Answer, Ask, Conversation
from gateway.model.published import Kind
from gateway.rpc.envoy_messages import EnvoyMessages

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"

_log: Final = logging.getLogger(__name__)
_KINDS: Final = {kind.value: kind for kind in Kind}


class DiscoveryServicer:
    """Serves any number of Envoys."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._messages = EnvoyMessages()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service."""
        messages = self._messages
        state = grpc.stream_stream_rpc_method_handler(
            self.stream_aggregated_resources,
            request_deserializer=messages.discovery_request.FromString,
            response_serializer=messages.discovery_response.SerializeToString,
        )
        delta = grpc.stream_stream_rpc_method_handler(
            self.delta_aggregated_resources,
            request_deserializer=messages.delta_request.FromString,
            response_serializer=messages.delta_response.SerializeToString,
        )
        handlers = {"StreamAggregatedResources": state, "DeltaAggregatedResources": delta}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def stream_aggregated_resources(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002
        """Converse in the state of the world."""
        async for answer in self._converse(requests, _state_ask, delta=False):
            response = self._messages.discovery_response(
                version_info=answer.version, type_url=answer.kind.value, nonce=answer.nonce
            )
            for resource in answer.resources:
                response.resources.add(type_url=answer.kind.value, value=resource.body)
            yield response

    async def delta_aggregated_resources(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002
        """Converse in differences."""
        async for answer in self._converse(requests, _delta_ask, delta=True):
            response = self._messages.delta_response(
                system_version_info=answer.version,
                type_url=answer.kind.value,
                nonce=answer.nonce,
                removed_resources=answer.removed,
            )
            for each in answer.resources:
                packed = response.resources.add(version=each.version, name=each.name)
                packed.resource.type_url, packed.resource.value = answer.kind.value, each.body
            yield response

    async def _converse(self, requests: Any, read: Callable[[Any, Kind], Ask], *, delta: bool) -> AsyncIterator[Answer]:
        conversation = self._plane.join(delta=delta)
        hearing = asyncio.create_task(self._hear(conversation, requests, read))
        try:
            while True:
                answering = asyncio.create_task(self._plane.answer(conversation))
                await asyncio.wait((answering, hearing), return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    # Envoy has closed its half: whatever ended the hearing ends the stream.
                    answering.cancel()
                    await hearing
                    return
                yield answering.result()
        finally:
            hearing.cancel()
            await self._plane.leave(conversation)

    async def _hear(self, conversation: Conversation, requests: Any, read: Callable[[Any, Kind], Ask]) -> None:
        async for request in requests:
            if request.node.id:
                conversation.node = request.node.id
            kind = _KINDS.get(request.type_url)
            if kind is None:
                _log.warning("Envoy %s asks for %s, of which there is nothing", conversation.node, request.type_url)
                continue
            await self._plane.hear(conversation, read(request, kind))


def _state_ask(request: Any, kind: Kind) -> Ask:
    return Ask(
        kind=kind, nonce=request.response_nonce, refusal=_refusal(request), names=frozenset(request.resource_names)
    )


def _delta_ask(request: Any, kind: Kind) -> Ask:
    return Ask(
        kind=kind,
        nonce=request.response_nonce,
        refusal=_refusal(request),
        names=frozenset(request.resource_names_subscribe),
        dropped=frozenset(request.resource_names_unsubscribe),
        known={entry.key: entry.value for entry in request.initial_resource_versions},
    )


def _refusal(request: Any) -> str:
    if not request.HasField("error_detail"):
        return ""
    return request.error_detail.message or f"code {request.error_detail.code}"
