"""In-process gRPC: unmodified generated stubs and servicers joined without a socket.

    server = LocalServer()
    add_TaskServiceServicer_to_server(servicer, server)
    await server.start()
    stub = TaskServiceStub(LocalChannel(server))

Messages are serialised both ways, and the servicer runs in a task and a context of its own, so that neither end can
tell this transport from a socket by anything but its speed: status, details, metadata, deadlines, cancellation,
interceptors, back-pressure, size limits. Both ends live on the same event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final

import grpc

from mesh.local.calls import Codec
from mesh.local.methods import StreamRequestMethod, UnaryRequestMethod
from mesh.local.rpc import Ending, Metadatum, Rpc
from mesh.local.server import LocalServer

__all__ = ["LocalChannel", "LocalServer"]

_CHANNEL_CLOSED: Final = Ending(grpc.StatusCode.CANCELLED, "Channel closed!")


class LocalChannel(grpc.aio.Channel):
    """Plays the channel for a generated stub."""

    def __init__(
        self,
        server: LocalServer,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        max_receive_message_bytes: int | None = None,
    ) -> None:
        """The first interceptor of a kind is its outermost; `max_receive_message_bytes` limits each response."""
        self._server = server
        self._max_bytes = max_receive_message_bytes
        self._interceptors = tuple(interceptors)
        self._closed = False
        self._active: set[Rpc] = set()

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """Return what calls a method with one request and one response."""
        codec = Codec(request_serializer, response_deserializer)
        chosen = self._of_kind(grpc.aio.UnaryUnaryClientInterceptor)
        return UnaryRequestMethod(self, method, codec, False, chosen)

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """Return what calls a method with one request and a stream of responses."""
        codec = Codec(request_serializer, response_deserializer)
        chosen = self._of_kind(grpc.aio.UnaryStreamClientInterceptor)
        return UnaryRequestMethod(self, method, codec, True, chosen)

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """Return what calls a method with a stream of requests and one response."""
        codec = Codec(request_serializer, response_deserializer)
        chosen = self._of_kind(grpc.aio.StreamUnaryClientInterceptor)
        return StreamRequestMethod(self, method, codec, False, chosen)

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """Return what calls a method with streams in both directions."""
        codec = Codec(request_serializer, response_deserializer)
        chosen = self._of_kind(grpc.aio.StreamStreamClientInterceptor)
        return StreamRequestMethod(self, method, codec, True, chosen)

    async def close(self, grace: float | None = None) -> None:
        """Begin no more calls, give those under way `grace` seconds to end, and cancel what is left."""
        self._closed = True
        if grace and self._active:
            await asyncio.wait([asyncio.ensure_future(rpc.ended()) for rpc in self._active], timeout=grace)
        for rpc in tuple(self._active):
            rpc.cut(_CHANNEL_CLOSED)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002
        """Tell whether calls can be made."""
        if self._closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        return grpc.ChannelConnectivity.READY if self._server.serving else grpc.ChannelConnectivity.IDLE

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state is another one."""
        while self.get_state() is last_observed_state:
            await self._server.state_changed()

    async def channel_ready(self) -> None:
        """Wait until the server serves."""
        while self.get_state() is not grpc.ChannelConnectivity.READY:
            await self._server.state_changed()

    async def __aenter__(self) -> LocalChannel:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    def begin(
        self,
        method: str,
        request: bytes | None,
        streams_responses: bool,
        timeout_seconds: float | None,
        metadata: tuple[Metadatum, ...],
        wait_for_ready: bool,
    ) -> Rpc:
        """Begin a call. Raises UsageError if the channel is closed."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        rpc = Rpc(
            asyncio.get_running_loop(),
            method,
            metadata,
            timeout_seconds,
            wait_for_ready,
            request,
            streams_responses,
            self._max_bytes,
        )
        self._active.add(rpc)
        rpc.add_done_callback(partial(self._active.discard, rpc))
        self._server.take(rpc)
        return rpc

    def _of_kind(self, kind: type[Any]) -> tuple[Any, ...]:
        return tuple(interceptor for interceptor in self._interceptors if isinstance(interceptor, kind))
