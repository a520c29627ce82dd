"""The server's end of a call: what a servicer is given as its context, and how its behaviour is run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import grpc

from mesh.local.rpc import Broken, Ending, Metadatum, Rpc, as_metadata

_LOGGER: Final = logging.getLogger(__name__)
_OK: Final = grpc.StatusCode.OK


class LocalContext(grpc.aio.ServicerContext[Any, Any]):
    """Plays the context of a socket server for one in-process call."""

    __slots__ = ("_aborted", "_code", "_details", "_handler", "_max_bytes", "_rpc", "_trailing")

    def __init__(self, rpc: Rpc, handler: grpc.RpcMethodHandler[Any, Any], max_bytes: int | None) -> None:
        """`max_bytes` limits each request message; None is no limit."""
        self._rpc = rpc
        self._handler = handler
        self._max_bytes = max_bytes
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: tuple[Metadatum, ...] = ()
        self._aborted = False

    async def read(self) -> Any:
        """Return the next request, or `grpc.aio.EOF` after the last."""
        requests = self._rpc.requests
        if requests is None:
            raise grpc.aio.UsageError("expected a method whose requests are a stream")
        message = await requests.get()
        return grpc.aio.EOF if message is None else self.decode(message)

    async def write(self, message: Any) -> None:
        """Send one response; waits while the client is behind."""
        responses = self._rpc.responses
        if responses is None:
            raise grpc.aio.UsageError("expected a method whose responses are a stream")
        if self._rpc.pending is not None:
            raise asyncio.InvalidStateError("RPC already finished.")
        self._rpc.send_initial(())
        try:
            await responses.put(self.encode(message))
        except Broken:
            raise asyncio.CancelledError from None

    async def send_initial_metadata(self, initial_metadata: Iterable[Any]) -> None:
        """Send the initial metadata; a second time is an error, as it is over a socket."""
        if self._rpc.initial is not None:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._rpc.send_initial(as_metadata(initial_metadata))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Iterable[Any] = ()) -> NoReturn:
        """End the call with this status; never returns."""
        if self._aborted:
            raise grpc.aio.UsageError("Abort already called!")
        if code is _OK:
            code, details = grpc.StatusCode.UNKNOWN, ""
        self._aborted = True
        self._code, self._details = code, details
        self._trailing = as_metadata(trailing_metadata) or self._trailing
        self._rpc.answer(Ending(code, details, self._trailing))
        raise grpc.aio.AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with this status; never returns."""
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: Iterable[Any]) -> None:
        """Set what is sent with the status."""
        self._trailing = as_metadata(trailing_metadata)

    def invocation_metadata(self) -> Any:
        """Return the metadata that the client sent."""
        return self._rpc.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Set the code with which the call will end."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the text with which the call will end."""
        self._details = details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Do nothing: inside a process there is nothing to gain by compression."""

    def disable_next_message_compression(self) -> None:
        """Do nothing: nothing is compressed."""

    def peer(self) -> str:
        """Name the other end."""
        return "local:in-process"

    def peer_identities(self) -> Iterable[bytes] | None:
        """Return None: a caller in the same process shows no certificate."""
        return None

    def peer_identity_key(self) -> str | None:
        """Return None: a caller in the same process shows no certificate."""
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return nothing: a caller in the same process shows no certificate."""
        return {}

    def time_remaining(self) -> Any:
        """Return the seconds until the deadline; None without a deadline."""
        return self._rpc.time_remaining()

    def trailing_metadata(self) -> Any:
        """Return what is to be sent with the status."""
        return self._trailing

    def code(self) -> Any:
        """Return the code with which the call will end; None if nobody set it, as over a socket."""
        return self._code

    def details(self) -> str:
        """Return the text with which the call will end, as far as it is set."""
        return self._details

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back, with this context, when the call has ended."""
        self._rpc.add_done_callback(lambda: callback(self))

    def cancelled(self) -> bool:
        """Tell whether the client or its deadline ended the call."""
        ending = self._rpc.ending
        return ending is not None and ending.code in (
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._rpc.pending is not None

    def decode(self, message: bytes) -> Any:
        """Return a request as the servicer wants it. Raises TooLarge if the server does not take so much."""
        _measure(message, self._max_bytes)
        read = self._handler.request_deserializer
        return message if read is None else read(message)

    def encode(self, message: Any) -> bytes:
        """Return a response as it would go over the wire. Raises TooLarge if the client does not take so much."""
        write = self._handler.response_serializer
        encoded: bytes = message if write is None else write(message)
        _measure(encoded, self._rpc.max_response_bytes)
        return encoded

    async def requests(self) -> AsyncIterator[Any]:
        """Iterate over the requests of a stream."""
        while (request := await self.read()) is not grpc.aio.EOF:
            yield request

    def ending(self) -> Ending:
        """Return how a behaviour that came back without raising ends the call."""
        return Ending(self._code or _OK, self._details, self._trailing)


class TooLarge(Exception):
    """A message is larger than the receiver takes."""

    def __init__(self, found_bytes: int, max_bytes: int) -> None:
        super().__init__(f"Received message larger than max ({found_bytes} vs. {max_bytes})")


def _measure(message: bytes, max_bytes: int | None) -> None:
    if max_bytes is not None and len(message) > max_bytes:
        raise TooLarge(len(message), max_bytes)


async def run(rpc: Rpc, handler: grpc.RpcMethodHandler[Any, Any], max_bytes: int | None) -> None:
    """Run the behaviour of a method for one call and end the call with what came of it."""
    context = LocalContext(rpc, handler, max_bytes)
    try:
        argument: Any = context.requests() if rpc.request is None else context.decode(rpc.request)
        result = _behaviour(handler)(argument, context)
        if rpc.responses is None:
            response = await result if hasattr(result, "__await__") else result
            if context.code() in (None, _OK):
                rpc.response = context.encode(response)
        elif isinstance(result, AsyncGenerator):
            # A generator that is left early must run its `finally` now, not when it is collected.
            async with contextlib.aclosing(result):
                async for response in result:
                    await context.write(response)
        elif hasattr(result, "__aiter__"):
            async for response in result:
                await context.write(response)
        else:
            await result
        rpc.answer(context.ending())
    except grpc.aio.AbortError:
        rpc.answer(context.ending())
    except TooLarge as refused:
        rpc.answer(Ending(grpc.StatusCode.RESOURCE_EXHAUSTED, str(refused)))
    except asyncio.CancelledError:
        rpc.answer(Ending(grpc.StatusCode.CANCELLED, "the call was cancelled"))
        raise
    except Exception as bug:
        report(rpc, bug, context.code(), context.trailing_metadata())


def report(rpc: Rpc, bug: Exception, code: grpc.StatusCode | None = None, trailing: tuple[Metadatum, ...] = ()) -> None:
    """End a call whose servicer or interceptor raised, as a socket server does; a code that was set before stands."""
    _LOGGER.error("unexpected %s raised by %s", type(bug).__name__, rpc.method, exc_info=bug)
    ended_with = grpc.StatusCode.UNKNOWN if code in (None, _OK) else code
    rpc.answer(Ending(ended_with, f"Unexpected {type(bug)}: {bug}", trailing))


def _behaviour(handler: grpc.RpcMethodHandler[Any, Any]) -> Callable[[Any, Any], Any]:
    if handler.request_streaming:
        found = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        found = handler.unary_stream if handler.response_streaming else handler.unary_unary
    if found is None:
        raise TypeError("expected a handler with a behaviour of its kind, found none")
    return found
