"""Batch streams: messages carry commands both ways, each command with its own answer.

Back-pressure goes both ways too: while a stream has a window full of commands under way, or its client does not take
the answers, nothing more is read of it, and the transport's flow control holds the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import grpc
from google.rpc import status_pb2

from engine.kernel.errors import Refused
from engine.rpc.errors import domain_error, invalid_request
from mesh.errors import DomainError, Unavailable
from mesh.ids import IdSource
from mesh.rpc_errors import code_number, status_of

C = TypeVar("C")
A = TypeVar("A")

MAX_COMMANDS: Final = 1000
"""Commands of one message."""
DEFAULT_WINDOW: Final = 1024
_LOGGER: Final = logging.getLogger(__name__)
_INTERNAL: Final = code_number(grpc.StatusCode.INTERNAL)
_incidents: Final = IdSource()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTerms:
    """What holds for every batch stream: commands under way at most, and what ends them when the server goes away."""

    window: int = DEFAULT_WINDOW
    draining: asyncio.Event = field(default_factory=asyncio.Event)


class BatchStream(Generic[C, A]):
    """One stream: `carry_out` answers a command, or raises; then `refuse` answers it with the status."""

    def __init__(
        self,
        carry_out: Callable[[C], Awaitable[A]],
        refuse: Callable[[C, status_pb2.Status], A],
        terms: StreamTerms,
    ) -> None:
        self._carry_out = carry_out
        self._refuse = refuse
        self._terms = terms
        self._under_way: set[asyncio.Task[None]] = set()
        self._answers: list[A] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """End the stream with an error."""
        self._error = error
        self._changed.set()

    def push(self, answer: A) -> None:
        """Send something that answers no command."""
        self._answers.append(answer)
        self._changed.set()

    async def answers(self, batches: AsyncIterator[Sequence[C]]) -> AsyncGenerator[list[A], None]:
        """Carry out what comes and give the answers as they are there, until the client has nothing more to say.

        Raises Unavailable when the server goes away, after what is under way was answered; InvalidArgument for a
        message that is too long; whatever `batches` raises.
        """
        reading = asyncio.create_task(self._read(batches))
        reading.add_done_callback(lambda _: self._changed.set())
        ending = asyncio.create_task(self._end_when_draining(reading))
        try:
            while not (reading.done() and not self._under_way and not self._answers):
                await self._changed.wait()
                self._changed.clear()
                if self._error is not None:
                    raise self._error
                if self._answers:
                    found, self._answers = self._answers, []
                    self._room.set()
                    # Until the client has taken this, no more is taken from it than a window: answers gather meanwhile.
                    yield found
            if self._terms.draining.is_set():
                raise Unavailable(
                    "draining", "expected the server to go on, found it going away: send the rest on another stream"
                )
            await reading
        finally:
            for task in (ending, reading, *self._under_way):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await reading

    async def _read(self, batches: AsyncIterator[Sequence[C]]) -> None:
        async for batch in batches:
            if len(batch) > MAX_COMMANDS:
                raise invalid_request(
                    "commands", f"expected at most {MAX_COMMANDS} commands in one message, found {len(batch)}"
                )
            for command in batch:
                while len(self._under_way) + len(self._answers) >= self._terms.window:
                    self._room.clear()
                    await self._room.wait()
                task = asyncio.create_task(self._do(command))
                self._under_way.add(task)
                task.add_done_callback(self._done)

    async def _do(self, command: C) -> None:
        try:
            answer = await self._carry_out(command)
        except Exception as error:
            # The outer loop of a stream: one command's failure is that command's answer.
            answer = self._refuse(command, _status_of(error))
        self._answers.append(answer)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._changed.set()

    async def _end_when_draining(self, reading: asyncio.Task[None]) -> None:
        await self._terms.draining.wait()
        reading.cancel()


def _status_of(error: Exception) -> status_pb2.Status:
    """How a command that failed is answered; what is no refusal is a bug, and its incident is logged."""
    if isinstance(error, Refused):
        return status_of(domain_error(error))
    if isinstance(error, DomainError):
        return status_of(error)
    incident = _incidents.root()
    _LOGGER.error("a command of a stream failed", exc_info=error, extra={"incident_id": incident})
    return status_pb2.Status(code=_INTERNAL, message=f"internal error, incident {incident}")
