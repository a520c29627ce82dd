"""One call inside the process: what both ends share. Messages are bytes here, as they would be on the wire."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import grpc

PIPE_MESSAGES: Final = 16
"""How many messages of a stream may wait for its reader before the writer has to wait."""

_KEY: Final = re.compile(r"[0-9a-z_.-]+")


class Metadatum(NamedTuple):
    """One key of metadata and its value: bytes if the key ends in `-bin`, else text."""

    key: str
    value: str | bytes


class Ending(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    details: str
    trailing: tuple[Metadatum, ...] = ()


class Broken(Exception):
    """The call ended, so that nothing can be written any more."""


def as_metadata(given: Iterable[Any] | None) -> tuple[Metadatum, ...]:
    """Return the metadata in the form in which the other end will see it.

    Raises ValueError for a key that HTTP/2 would not carry, and TypeError for a value that is neither text nor bytes.
    """
    return tuple(_metadatum(key, value) for key, value in given) if given else ()


def _metadatum(key: str, value: object) -> Metadatum:
    if not _KEY.fullmatch(key):
        raise ValueError(f"expected a metadata key of lower-case letters, digits, '_', '-' and '.', found {key!r}")
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"expected text or bytes as metadata {key}, found {type(value).__name__}")
    if key.endswith("-bin"):
        return Metadatum(key, value.encode() if isinstance(value, str) else value)
    return Metadatum(key, value.decode() if isinstance(value, bytes) else value)


class Pipe:
    """Messages of one direction, in order, with room for a few: a fast writer waits for a slow reader."""

    __slots__ = ("_broken", "_closed", "_loop", "_messages", "_on_drained", "_readers", "_writers")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_drained: Callable[[], None] | None = None) -> None:
        """`on_drained` is called once, when the pipe is closed and everything in it has been read."""
        self._loop = loop
        self._messages: deque[bytes] = deque()
        self._closed = False
        self._broken = False
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []
        self._on_drained = on_drained

    async def put(self, message: bytes) -> None:
        """Write one message; wait while the pipe is full. Raises Broken if nobody will ever read it."""
        while len(self._messages) >= PIPE_MESSAGES and not self._broken:
            await self._wait_among(self._writers)
        if self._broken:
            raise Broken
        self._messages.append(message)
        _wake(self._readers)

    async def get(self) -> bytes | None:
        """Read the next message; None when the writer has closed and all is read, or when the pipe is broken."""
        while not self._messages:
            if self._closed or self._broken:
                return None
            await self._wait_among(self._readers)
        message = self._messages.popleft()
        _wake(self._writers)
        self._tell_if_drained()
        return message

    def close(self) -> None:
        """Say that no more messages come; what is in the pipe can still be read."""
        self._closed = True
        _wake(self._readers)
        self._tell_if_drained()

    def abandon(self) -> None:
        """Throw away what is in the pipe and wake both ends."""
        self._broken = True
        self._messages.clear()
        _wake(self._readers)
        _wake(self._writers)

    async def _wait_among(self, waiting: list[asyncio.Future[None]]) -> None:
        waiter = self._loop.create_future()
        waiting.append(waiter)
        await waiter

    def _tell_if_drained(self) -> None:
        if self._closed and not self._messages and self._on_drained is not None:
            told, self._on_drained = self._on_drained, None
            told()


class Rpc:
    """One call. The server ends it with `answer`, the client or the deadline with `cut`."""

    __slots__ = (
        "_callbacks",
        "_initial_waiters",
        "_timer",
        "_waiters",
        "deadline",
        "ending",
        "initial",
        "locally_cancelled",
        "loop",
        "max_response_bytes",
        "metadata",
        "method",
        "pending",
        "request",
        "requests",
        "response",
        "responses",
        "task",
        "wait_for_ready",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        method: str,
        metadata: tuple[Metadatum, ...],
        timeout_seconds: float | None,
        wait_for_ready: bool,
        request: bytes | None,
        streams_responses: bool,
        max_response_bytes: int | None = None,
    ) -> None:
        """Begin a call; `request` is its one request, or None if requests come as a stream.

        `max_response_bytes` is how large a response the client takes; None is no limit.
        """
        self.max_response_bytes = max_response_bytes
        self.loop = loop
        self.method = method
        self.metadata = metadata
        self.wait_for_ready = wait_for_ready
        self.request = request
        self.requests = Pipe(loop) if request is None else None
        self.response: bytes | None = None
        self.responses = Pipe(loop, self._publish) if streams_responses else None
        self.initial: tuple[Metadatum, ...] | None = None
        self.ending: Ending | None = None
        """How the call ended, as the client sees it: set once every response is read."""
        self.pending: Ending | None = None
        """How the server ended it; the client may still have responses to read."""
        self.locally_cancelled = False
        self.task: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._initial_waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[], None]] = []
        self.deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        if timeout_seconds is not None:
            self.deadline = loop.time() + timeout_seconds
            self._timer = loop.call_later(max(timeout_seconds, 0), self._expire)

    def time_remaining(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None without a deadline."""
        return None if self.deadline is None else max(self.deadline - self.loop.time(), 0.0)

    def send_initial(self, metadata: tuple[Metadatum, ...]) -> None:
        """Let the client see the initial metadata; only the first time counts."""
        if self.initial is None:
            self.initial = metadata
            _wake(self._initial_waiters)

    def answer(self, ending: Ending) -> None:
        """End the call from the server's side; the client first reads the responses that are under way."""
        if self.pending is not None:
            return
        self.pending = ending
        self.send_initial(())
        if self.requests is not None:
            self.requests.abandon()
        if self.responses is None:
            self._publish()
        else:
            self.responses.close()

    def cut(self, ending: Ending, *, locally_cancelled: bool = False) -> bool:
        """End the call from the client's side: responses under way are lost, the handler is cancelled.

        Returns False if it had ended already.
        """
        if self.ending is not None:
            return False
        self.locally_cancelled = locally_cancelled
        self.pending = ending
        self.send_initial(())
        for pipe in (self.requests, self.responses):
            if pipe is not None:
                pipe.abandon()
        self._publish()
        if self.task is not None:
            self.task.cancel()
        return True

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call back when the call has ended; at once if it has."""
        if self.ending is not None:
            callback()
        else:
            self._callbacks.append(callback)

    def remember(self, waiter: asyncio.Future[None]) -> None:
        """Complete this future at the end of the call."""
        self._waiters.append(waiter)

    async def ended(self) -> Ending:
        """Wait for the end of the call."""
        if self.ending is None:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await waiter
        assert self.ending is not None
        return self.ending

    async def started(self) -> tuple[Metadatum, ...]:
        """Wait for the initial metadata."""
        if self.initial is None:
            waiter = self.loop.create_future()
            self._initial_waiters.append(waiter)
            await waiter
        assert self.initial is not None
        return self.initial

    def _expire(self) -> None:
        self.cut(Ending(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _publish(self) -> None:
        if self.ending is not None:
            return
        self.ending = self.pending
        if self._timer is not None:
            self._timer.cancel()
        if self.requests is not None:
            self.requests.abandon()
        _wake(self._waiters)
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    if not waiters:
        return
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
