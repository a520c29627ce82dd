"""Client interceptors for in-process calls: the chain, and the calls that stand for what the chain will return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from typing import Any, Final

import grpc

Continuation = Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]]
Begin = Callable[[grpc.aio.ClientCallDetails, Any], Any]
"""What starts the call itself, once every interceptor has had its say."""

_MIXED: Final = "The iterator and read/write APIs may not be mixed on a single RPC."
_FINISHED: Final = "RPC already finished."
_END: Final = object()


async def run_chain(
    interceptors: Sequence[Any], hook: str, begin: Begin, details: grpc.aio.ClientCallDetails, request: Any
) -> Any:
    """Pass the call through the interceptors, the first outermost, and return what the first one returns.

    `hook` is the name of the method of theirs that fits the kind of call, such as `intercept_unary_unary`.
    """
    if not interceptors:
        return begin(details, request)

    async def onwards(changed: grpc.aio.ClientCallDetails, passed: Any) -> Any:
        return await run_chain(interceptors[1:], hook, begin, changed, passed)

    return await getattr(interceptors[0], hook)(onwards, details, request)


class Intercepted(grpc.aio.Call):
    """Stands for a call that its interceptors are still about to make."""

    def __init__(self, chain: asyncio.Task[Any]) -> None:
        self._chain = chain
        self._callbacks: list[Callable[[Any], None]] = []
        chain.add_done_callback(self._made)

    def _made(self, _: asyncio.Task[Any]) -> None:
        # Asking takes note of an error, so that a call whose result nobody wants does not complain later.
        self._inner()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._tell(callback)

    def _tell(self, callback: Callable[[Any], None]) -> None:
        inner = self._inner()
        if inner is None:
            callback(self)
        else:
            inner.add_done_callback(lambda _: callback(self))

    def _inner(self) -> Any:
        """Return the call that was made; None if there is none (yet), or if the interceptor answered by itself."""
        chain = self._chain
        if not chain.done() or chain.cancelled() or chain.exception() is not None:
            return None
        made = chain.result()
        return made if isinstance(made, grpc.aio.Call) else None

    def cancel(self) -> bool:
        """Give the call up; False if it has ended already."""
        if not self._chain.done():
            return self._chain.cancel()
        inner = self._inner()
        return False if inner is None else bool(inner.cancel())

    def cancelled(self) -> bool:
        """Tell whether the call was cancelled."""
        inner = self._inner()
        if inner is not None:
            return bool(inner.cancelled())
        return self._chain.cancelled() or self._failed_with() is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Tell whether the call has ended."""
        inner = self._inner()
        return self._chain.done() if inner is None else bool(inner.done())

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline; None without a deadline, or while the interceptors are at work."""
        inner = self._inner()
        return None if inner is None else inner.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back, with this call, when it has ended."""
        if self._chain.done():
            self._tell(callback)
        else:
            self._callbacks.append(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Wait for the server's initial metadata."""
        found = await self._settled()
        if isinstance(found, grpc.aio.AioRpcError):
            return found.initial_metadata() or grpc.aio.Metadata()
        return grpc.aio.Metadata() if found is None else await found.initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """Wait for the end of the call, and return what came with the status."""
        found = await self._settled()
        if isinstance(found, grpc.aio.AioRpcError):
            return found.trailing_metadata() or grpc.aio.Metadata()
        return grpc.aio.Metadata() if found is None else await found.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        """Wait for the end of the call, and return its code."""
        found = await self._settled()
        if isinstance(found, grpc.aio.AioRpcError):
            return found.code()
        if found is None:
            return grpc.StatusCode.CANCELLED if self._chain.cancelled() else grpc.StatusCode.OK
        code: grpc.StatusCode = await found.code()
        return code

    async def details(self) -> str:
        """Wait for the end of the call, and return its text."""
        found = await self._settled()
        if isinstance(found, grpc.aio.AioRpcError):
            return found.details() or ""
        return "" if found is None else await found.details()

    async def wait_for_connection(self) -> None:
        """Wait until the interceptors have made the call, and for that call's connection."""
        made = await self._chain
        if isinstance(made, grpc.aio.Call):
            await made.wait_for_connection()

    async def _settled(self) -> Any:
        """Return the call, the AioRpcError of the chain, or None. Any other error of an interceptor is raised."""
        await asyncio.wait((self._chain,))
        if self._chain.cancelled():
            return None
        error = self._chain.exception()
        if error is None:
            return self._inner()
        if isinstance(error, grpc.aio.AioRpcError):
            return error
        raise error

    def _failed_with(self) -> grpc.StatusCode | None:
        if self._chain.done() and not self._chain.cancelled():
            error = self._chain.exception()
            if isinstance(error, grpc.aio.AioRpcError):
                return error.code()
        return None


class _UnaryResponse(Intercepted):
    def __await__(self) -> Generator[Any, None, Any]:
        made = yield from self._chain.__await__()
        if isinstance(made, grpc.aio.Call):
            return (yield from made.__await__())  # type: ignore[attr-defined]
        return made


class _StreamResponse(Intercepted):
    _iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        if self._iterator is None:
            self._iterator = self._iterate()
        return self._iterator

    async def _iterate(self) -> AsyncIterator[Any]:
        async for response in await self._chain:
            yield response

    async def read(self) -> Any:
        """Return the next response, or `grpc.aio.EOF` after the last."""
        made = await self._chain
        if isinstance(made, grpc.aio.Call):
            return await made.read()  # type: ignore[attr-defined]
        if self._iterator is None:
            self._iterator = aiter(made)
        return await anext(self._iterator, grpc.aio.EOF)


class Written:
    """Turns `write` and `done_writing` into the request iterator that interceptors are given."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue(1)
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (request := await self._queue.get()) is not _END:
            yield request

    async def put(self, request: Any) -> None:
        """Hand one request on, once the one before is taken."""
        await self._queue.put(request)

    async def close(self) -> None:
        """Say that no more come."""
        self.closed = True
        await self._queue.put(_END)


class _StreamRequest(Intercepted):
    def __init__(self, chain: asyncio.Task[Any], written: Written | None) -> None:
        super().__init__(chain)
        self._written = written

    async def write(self, request: Any) -> None:
        """Send one request; waits while the server is behind. Raises InvalidStateError if the call has ended."""
        written = self._by_hand()
        await self._until_over(written.put(request))
        if self.done():
            raise asyncio.InvalidStateError(_FINISHED)

    async def done_writing(self) -> None:
        """Say that no more requests come; a second time does nothing."""
        written = self._by_hand()
        if not written.closed:
            await self._until_over(written.close())

    def _by_hand(self) -> Written:
        if self._written is None:
            raise grpc.aio.UsageError(_MIXED)
        if self.done():
            raise asyncio.InvalidStateError(_FINISHED)
        return self._written

    async def _until_over(self, writing: Any) -> None:
        """Wait for the write, or for the end of the call: then nobody will ever take what is written."""
        over = asyncio.Event()
        self.add_done_callback(lambda _: over.set())
        task = asyncio.ensure_future(writing)
        ended = asyncio.ensure_future(over.wait())
        await asyncio.wait((task, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not task.done():
            task.cancel()


class InterceptedUnaryUnary(_UnaryResponse, grpc.aio.UnaryUnaryCall[Any, Any]):
    """One request, one response, through interceptors."""


class InterceptedUnaryStream(_StreamResponse, grpc.aio.UnaryStreamCall[Any, Any]):
    """One request, a stream of responses, through interceptors."""


class InterceptedStreamUnary(_StreamRequest, _UnaryResponse, grpc.aio.StreamUnaryCall[Any, Any]):
    """A stream of requests, one response, through interceptors."""


class InterceptedStreamStream(_StreamRequest, _StreamResponse, grpc.aio.StreamStreamCall[Any, Any]):
    """Streams in both directions, through interceptors."""
