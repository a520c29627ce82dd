"""The client's end of a call: the objects that a generated stub returns."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from typing import Any, Final

import grpc

from mesh.local.rpc import Broken, Ending, Rpc

_LOGGER: Final = logging.getLogger(__name__)
_CANCELLED: Final = Ending(grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
_FINISHED: Final = "RPC already finished."
_HALF_CLOSED: Final = 'RPC is half closed after calling "done_writing".'
_MIXED: Final = "The iterator and read/write APIs may not be mixed on a single RPC."


class Codec:
    """How the messages of one method are written and read; None leaves them as bytes."""

    __slots__ = ("read", "write")

    def __init__(self, write: Callable[[Any], bytes] | None, read: Callable[[bytes], Any] | None) -> None:
        self.write = write
        self.read = read

    def encode(self, request: Any) -> bytes:
        """Return a request as it would go over the wire."""
        encoded: bytes = request if self.write is None else self.write(request)
        return encoded

    def decode(self, message: bytes) -> Any:
        """Return a response as the client wants it."""
        return message if self.read is None else self.read(message)


class LocalCall(grpc.aio.Call):
    """What all four kinds of call have in common."""

    def __init__(self, rpc: Rpc, codec: Codec) -> None:
        self._rpc = rpc
        self._codec = codec

    def cancelled(self) -> bool:
        """Tell whether the call was cancelled."""
        ending = self._rpc.ending
        return ending is not None and ending.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._rpc.ending is not None

    def cancel(self) -> bool:
        """Give the call up; False if it has ended already."""
        return self._rpc.cut(_CANCELLED, locally_cancelled=True)

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline; None without a deadline."""
        return self._rpc.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back, with this call, when it has ended."""
        self._rpc.add_done_callback(lambda: callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Wait for the server's initial metadata."""
        return grpc.aio.Metadata(*await self._rpc.started())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """Wait for the end of the call, and return what came with the status."""
        return grpc.aio.Metadata(*(await self._rpc.ended()).trailing)

    async def code(self) -> grpc.StatusCode:
        """Wait for the end of the call, and return its code."""
        return (await self._rpc.ended()).code

    async def details(self) -> str:
        """Wait for the end of the call, and return its text."""
        return (await self._rpc.ended()).details

    async def debug_error_string(self) -> str:
        """Wait for the end of the call, and return its text: there is nothing more to tell."""
        return await self.details()

    async def wait_for_connection(self) -> None:
        """Return at once: there is nothing to connect. Raises what the call ended with, if it failed already."""
        self._raise_for_status()

    def _raise_for_status(self) -> None:
        ending = self._rpc.ending
        if self._rpc.locally_cancelled:
            raise asyncio.CancelledError
        if ending is not None and ending.code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                ending.code,
                grpc.aio.Metadata(*(self._rpc.initial or ())),
                grpc.aio.Metadata(*ending.trailing),
                details=ending.details,
                debug_error_string=ending.details,
            )


class UnaryResponse(LocalCall):
    """A call with one response: awaiting it gives the response."""

    def __await__(self) -> Generator[Any, None, Any]:
        rpc = self._rpc
        if rpc.ending is None:
            waiter = rpc.loop.create_future()
            rpc.remember(waiter)
            try:
                yield from waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
        self._raise_for_status()
        assert rpc.response is not None
        return self._codec.decode(rpc.response)


class _Style(enum.Enum):
    UNKNOWN = enum.auto()
    ITERATOR = enum.auto()
    READ_WRITE = enum.auto()


class StreamResponse(LocalCall):
    """A call with a stream of responses: iterate over it, or `read`."""

    def __init__(self, rpc: Rpc, codec: Codec) -> None:
        super().__init__(rpc, codec)
        self._style = _Style.UNKNOWN
        self._iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        self._keep_style(_Style.ITERATOR)
        if self._iterator is None:
            self._iterator = self._iterate()
        return self._iterator

    async def read(self) -> Any:
        """Return the next response, or `grpc.aio.EOF` after the last."""
        if self.done():
            self._raise_for_status()
            return grpc.aio.EOF
        self._keep_style(_Style.READ_WRITE)
        return await self._next()

    async def _iterate(self) -> AsyncIterator[Any]:
        while (message := await self._next()) is not grpc.aio.EOF:
            yield message

    async def _next(self) -> Any:
        responses = self._rpc.responses
        assert responses is not None
        try:
            message = await responses.get()
            if message is not None:
                return self._codec.decode(message)
            await self._rpc.ended()
        except asyncio.CancelledError:
            self.cancel()
            raise
        self._raise_for_status()
        return grpc.aio.EOF

    def _keep_style(self, style: _Style) -> None:
        if self._style is _Style.UNKNOWN:
            self._style = style
        elif self._style is not style:
            raise grpc.aio.UsageError(_MIXED)


class StreamRequest(LocalCall):
    """A call with a stream of requests: from an iterator given at the start, or by `write` and `done_writing`."""

    def __init__(self, rpc: Rpc, codec: Codec, iterator: Iterable[Any] | AsyncIterable[Any] | None) -> None:
        super().__init__(rpc, codec)
        self._done_writing_flag = False
        self._feeder: asyncio.Task[None] | None = None
        if iterator is not None:
            self._feeder = rpc.loop.create_task(_feed(rpc, codec, iterator))
            rpc.add_done_callback(self._feeder.cancel)  # type: ignore[arg-type]

    async def write(self, request: Any) -> None:
        """Send one request; waits while the server is behind.

        Raises InvalidStateError if the call has ended well or the requests have, AioRpcError if the call failed.
        """
        self._refuse_iterator()
        if self.done():
            raise asyncio.InvalidStateError(_FINISHED)
        if self._done_writing_flag:
            raise asyncio.InvalidStateError(_HALF_CLOSED)
        requests = self._rpc.requests
        assert requests is not None
        try:
            await requests.put(self._codec.encode(request))
        except Broken:
            self._raise_for_status()
            raise asyncio.InvalidStateError(_FINISHED) from None
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def done_writing(self) -> None:
        """Say that no more requests come; a second time does nothing."""
        self._refuse_iterator()
        if not self._done_writing_flag and not self.done():
            self._done_writing_flag = True
            assert self._rpc.requests is not None
            self._rpc.requests.close()

    def _refuse_iterator(self) -> None:
        if self._feeder is not None:
            raise grpc.aio.UsageError(_MIXED)


async def _feed(rpc: Rpc, codec: Codec, iterator: Iterable[Any] | AsyncIterable[Any]) -> None:
    """Send all that the iterator gives, and close."""
    assert rpc.requests is not None
    try:
        if isinstance(iterator, AsyncIterable):
            async for request in iterator:
                await rpc.requests.put(codec.encode(request))
        else:
            for request in iterator:
                await rpc.requests.put(codec.encode(request))
        rpc.requests.close()
    except Broken:
        return
    except Exception:
        # The caller's own iterator failed: over a socket, too, the call is then cancelled and the error logged.
        _LOGGER.exception("the request iterator of %s raised", rpc.method)
        rpc.cut(_CANCELLED, locally_cancelled=True)


class LocalUnaryUnaryCall(UnaryResponse, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one response."""

    async def wait_for_connection(self) -> None:
        """Wait for the response. Raises AioRpcError if the call failed."""
        await self._rpc.ended()
        self._raise_for_status()


class LocalUnaryStreamCall(StreamResponse, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, a stream of responses."""


class LocalStreamUnaryCall(StreamRequest, UnaryResponse, grpc.aio.StreamUnaryCall[Any, Any]):
    """A stream of requests, one response."""


class LocalStreamStreamCall(StreamRequest, StreamResponse, grpc.aio.StreamStreamCall[Any, Any]):
    """Streams in both directions."""

    def __init__(self, rpc: Rpc, codec: Codec, iterator: Iterable[Any] | AsyncIterable[Any] | None) -> None:
        StreamRequest.__init__(self, rpc, codec, iterator)
        self._style = _Style.UNKNOWN
        self._iterator = None
