"""Rebuilding history: look whether the stream still holds everything, clear what follows from it, read it again.

While a rebuild is under way nothing else is recorded, in whatever process: a gate is closed, and whoever takes messages
waits before it. Every step is durable: a process that dies while it looks has changed nothing; when one dies while it
reads again, another one (or itself, started anew) begins that from the start once the lease is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

from history.app.recording import RebuildUnderWay
from history.model import happenings as told
from history.model.rebuild import CHECKING, DONE, REFUSED, REPLAYING, Rebuild
from mesh.clock import Clock
from mesh.errors import NotFound, Unavailable
from mesh.ids import IdSource

_LOGGER: Final = logging.getLogger(__name__)
GATE_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether another process's rebuild has ended."""
SIGNS_A_LEASE: Final = 3
"""How often within a lease a sign of life is given, or looked for."""

Take: TypeAlias = Callable[[Sequence[told.Told]], Awaitable[None]]
Record: TypeAlias = Callable[[Sequence[told.Told], str], Awaitable[None]]
"""Records a batch with the ticket of a rebuild, or with an empty one."""


class RebuildStore(Protocol):
    """The database's side. Raises Unavailable."""

    def begin(self, rebuild: Rebuild, request_id: str, ticket: str) -> Awaitable[Rebuild]:
        """Keep a rebuild that begins, and close the gate; with a known request, return its rebuild.

        Raises FailedPrecondition for two.
        """
        ...

    def get(self, rebuild_id: str) -> Awaitable[Rebuild | None]:
        """One rebuild."""
        ...

    def take_over(self, ticket: str) -> Awaitable[Rebuild | None]:
        """Take up the rebuild whose process has given no sign of life for a lease; None if there is no such one."""
        ...

    def keep(self, ticket: str) -> Awaitable[bool]:
        """Give a sign of life; False if another process has taken over."""
        ...

    def enter(self, rebuild_id: str, state: str, ticket: str, error: str = "") -> Awaitable[bool]:
        """Go to another state, with the last one open the gate; False if another process has taken over."""
        ...

    def count(self, rebuild_id: str, messages: int) -> Awaitable[None]:
        """Note how many messages were read."""
        ...

    def note_roots(self, roots: dict[str, bool]) -> Awaitable[None]:
        """Note roots that the stream holds, and whether with their beginning."""
        ...

    def missing(self) -> Awaitable[int]:
        """How many recorded roots the stream does not hold with their beginning."""
        ...

    def parked(self) -> Awaitable[int]:
        """How many messages are parked."""
        ...

    def clear(self) -> Awaitable[None]:
        """Delete what follows from the stream; may be called again."""
        ...

    def forget_again(self) -> Awaitable[None]:
        """Delete what came back though people had deleted or archived it."""
        ...


class Feed(Protocol):
    """The stream."""

    def begin(self, take: Take) -> Awaitable[None]:
        """Begin to read it in everyday life, from where history stands."""
        ...

    def read_all(self, take: Take) -> Awaitable[int]:
        """Read it from the beginning to its present end, beside everyday life; returns how many messages there were.

        What cannot be taken is parked, as in everyday life.
        """
        ...


class Rebuilding:
    """The use cases, and the work behind them."""

    def __init__(
        self,
        store: RebuildStore,
        feed: Feed,
        record: Record,
        clock: Clock,
        ids: IdSource,
        *,
        lease_seconds: float,
        index: Take | None = None,
    ) -> None:
        """`record` is what records in everyday life; `index` fills the search engine, where there is one."""
        self._store = store
        self._feed = feed
        self._record = record
        self._index = index
        self._clock = clock
        self._ids = ids
        self._sign_seconds = lease_seconds / SIGNS_A_LEASE
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened = asyncio.Event()
        self._stopping = False

    async def start(self, requested_by: str, request_id: str) -> Rebuild:
        """Begin a rebuild and return at once. Raises FailedPrecondition, Unavailable."""
        wanted = Rebuild(
            id=self._ids.root(),
            state=CHECKING,
            started_at=self._clock.now(),
            ended_at=None,
            requested_by=requested_by,
            error="",
            messages=0,
        )
        ticket = self._ids.root()
        begun = await self._store.begin(wanted, request_id, ticket)
        if begun.id == wanted.id:
            self._spawn(self._carry_out(begun, ticket))
        return begun

    async def get(self, rebuild_id: str) -> Rebuild:
        """How a rebuild goes. Raises NotFound, Unavailable."""
        found = await self._store.get(rebuild_id)
        if found is None:
            message = f"expected a rebuild, found none with id '{rebuild_id}'"
            raise NotFound("rebuild-not-found", message, rebuild_id=rebuild_id)
        return found

    async def begin_reading(self) -> None:
        """Begin to record, and to look for rebuilds whose process died. Raises Unavailable."""
        await self._feed.begin(self._everyday)
        await self._look()
        self._spawn(self._watch())

    async def stop(self) -> None:
        """End the work; a rebuild under way is taken up when its lease is over. Whoever waits is told Unavailable."""
        self._stopping = True
        self._opened.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _everyday(self, batch: Sequence[told.Told]) -> None:
        """Record; while a rebuild is under way, here or elsewhere, wait for its end."""
        while True:
            try:
                await self._record(batch, "")
                return
            except RebuildUnderWay:
                if self._stopping:
                    raise
                self._opened.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATE_LOOK_SECONDS):
                        await self._opened.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._sign_seconds)
            try:
                await self._look()
            except Unavailable as away:
                _LOGGER.info("it could not be looked for rebuilds: %s", away)

    async def _look(self) -> None:
        """Take up what a dead process left. Raises Unavailable."""
        ticket = self._ids.root()
        found = await self._store.take_over(ticket)
        if found is not None:
            _LOGGER.warning("the rebuild %s is taken up", found.id)
            self._spawn(self._carry_out(found, ticket, taken_over=True))

    async def _carry_out(self, rebuild: Rebuild, ticket: str, *, taken_over: bool = False) -> None:
        """Do what is left of it for as long as the gate is ours."""
        work = asyncio.ensure_future(self._run(rebuild, ticket, taken_over=taken_over))
        signs = asyncio.ensure_future(self._sign(ticket))
        try:
            await asyncio.wait((work, signs), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                _LOGGER.warning("the rebuild %s is another process's by now", rebuild.id)
        finally:
            for task in (work, signs):
                task.cancel()
            await asyncio.wait((work, signs))
            self._opened.set()
        if not work.cancelled() and (failed := work.exception()) is not None:
            # Nobody waits for it: it is said here, and taken up again when the lease is over.
            _LOGGER.error("the rebuild %s stands still for now", rebuild.id, exc_info=failed)

    async def _sign(self, ticket: str) -> None:
        """Give signs of life; return when the gate is not ours any more."""
        while True:
            await asyncio.sleep(self._sign_seconds)
            try:
                if not await self._store.keep(ticket):
                    return
            except Unavailable as away:
                _LOGGER.warning("no sign of life could be given: %s", away)

    async def _run(self, rebuild: Rebuild, ticket: str, *, taken_over: bool) -> None:
        if rebuild.state == CHECKING:
            refused = "the process ended while it looked what the stream holds" if taken_over else await self._check()
            if refused:
                await self._store.enter(rebuild.id, REFUSED, ticket, refused)
                return
            if not await self._store.enter(rebuild.id, REPLAYING, ticket):
                return
        await self._store.clear()

        async def take(batch: Sequence[told.Told]) -> None:
            await self._record(batch, ticket)
            if self._index is not None:
                await self._index(batch)

        messages = await self._feed.read_all(take)
        await self._store.forget_again()
        await self._store.count(rebuild.id, messages)
        await self._store.enter(rebuild.id, DONE, ticket)

    async def _check(self) -> str:
        """Why the stream will not do; empty if it will."""
        parked = await self._store.parked()
        if parked:
            return f"expected no parked message, found {parked}: replay or discard them first"
        await self._feed.read_all(self._noted)
        missing = await self._store.missing()
        return f"expected the stream to hold all recorded instances, found {missing} missing" if missing else ""

    async def _noted(self, batch: Sequence[told.Told]) -> None:
        roots: dict[str, bool] = {}
        for command in batch:
            begins = any(_begins(happening, command.root_id) for happening in command.happenings)
            roots[command.root_id] = roots.get(command.root_id, False) or begins
        await self._store.note_roots(roots)


def _begins(happening: told.Happening, root_id: str) -> bool:
    if isinstance(happening, told.InstanceStarted):
        return happening.instance_id == root_id
    return isinstance(happening, told.TaskCreated) and happening.task_id == root_id
