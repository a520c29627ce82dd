"""What a stub calls: one object for each method, which begins a call, through interceptors if there are any."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

import grpc

from mesh.local.calls import (
    Codec,
    LocalStreamStreamCall,
    LocalStreamUnaryCall,
    LocalUnaryStreamCall,
    LocalUnaryUnaryCall,
)
from mesh.local.intercepted import (
    InterceptedStreamStream,
    InterceptedStreamUnary,
    InterceptedUnaryStream,
    InterceptedUnaryUnary,
    Written,
    run_chain,
)
from mesh.local.rpc import Metadatum, Rpc, as_metadata


class Beginning(Protocol):
    """The channel, as far as its methods need it."""

    def begin(
        self,
        method: str,
        request: bytes | None,
        streams_responses: bool,
        timeout_seconds: float | None,
        metadata: tuple[Metadatum, ...],
        wait_for_ready: bool,
    ) -> Rpc:
        """Begin a call."""
        ...


class _Method:
    def __init__(
        self,
        channel: Beginning,
        method: str,
        codec: Codec,
        streams_responses: bool,
        interceptors: tuple[Any, ...],
    ) -> None:
        self._channel = channel
        self._method = method
        self._codec = codec
        self._streams_responses = streams_responses
        self._interceptors = interceptors

    def _chain(
        self, hook: str, request: Any, timeout_seconds: float | None, metadata: Any, wait_for_ready: bool | None
    ) -> asyncio.Task[Any]:
        # Interceptors of a socket channel see the method as bytes; those written for it must find the same here.
        method = cast("str", self._method.encode())
        sent = grpc.aio.Metadata(*(metadata or ()))
        details = grpc.aio.ClientCallDetails(method, timeout_seconds, sent, None, wait_for_ready)
        return asyncio.ensure_future(run_chain(self._interceptors, hook, self._begin, details, request))

    def _begin(self, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        """Begin the call as the last interceptor wants it."""
        method: str | bytes = details.method
        path = method.decode() if isinstance(method, bytes) else method
        metadata = as_metadata(details.metadata)
        return self._call(path, request, details.timeout, metadata, bool(details.wait_for_ready))

    def _call(
        self,
        path: str,
        request: Any,
        timeout_seconds: float | None,
        metadata: tuple[Metadatum, ...],
        wait_for_ready: bool,
    ) -> Any:
        raise NotImplementedError


class UnaryRequestMethod(_Method):
    """A method with one request."""

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        wait_for_ready: bool | None = None,
        **_ignored: Any,
    ) -> Any:
        """Begin a call; credentials and compression have no meaning inside a process."""
        if not self._interceptors:
            return self._call(self._method, request, timeout, as_metadata(metadata), bool(wait_for_ready))
        if self._streams_responses:
            return InterceptedUnaryStream(
                self._chain("intercept_unary_stream", request, timeout, metadata, wait_for_ready)
            )
        return InterceptedUnaryUnary(self._chain("intercept_unary_unary", request, timeout, metadata, wait_for_ready))

    def _call(
        self,
        path: str,
        request: Any,
        timeout_seconds: float | None,
        metadata: tuple[Metadatum, ...],
        wait_for_ready: bool,
    ) -> Any:
        codec, streams = self._codec, self._streams_responses
        rpc = self._channel.begin(path, codec.encode(request), streams, timeout_seconds, metadata, wait_for_ready)
        return LocalUnaryStreamCall(rpc, codec) if streams else LocalUnaryUnaryCall(rpc, codec)


class StreamRequestMethod(_Method):
    """A method with a stream of requests."""

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,  # noqa: ARG002 - they have a place among the positional arguments
        wait_for_ready: bool | None = None,
        **_ignored: Any,
    ) -> Any:
        """Begin a call; credentials and compression have no meaning inside a process."""
        if not self._interceptors:
            return self._call(self._method, request_iterator, timeout, as_metadata(metadata), bool(wait_for_ready))
        written = Written() if request_iterator is None else None
        requests = request_iterator if written is None else written
        if self._streams_responses:
            hook = "intercept_stream_stream"
            return InterceptedStreamStream(self._chain(hook, requests, timeout, metadata, wait_for_ready), written)
        hook = "intercept_stream_unary"
        return InterceptedStreamUnary(self._chain(hook, requests, timeout, metadata, wait_for_ready), written)

    def _call(
        self,
        path: str,
        request: Any,
        timeout_seconds: float | None,
        metadata: tuple[Metadatum, ...],
        wait_for_ready: bool,
    ) -> Any:
        codec, streams = self._codec, self._streams_responses
        rpc = self._channel.begin(path, None, streams, timeout_seconds, metadata, wait_for_ready)
        return LocalStreamStreamCall(rpc, codec, request) if streams else LocalStreamUnaryCall(rpc, codec, request)
