"""Rebuilding history: look whether the stream still holds everything, clear what follows from it, read it again.

Every step is durable: a process that dies while it looks has changed nothing; one that dies while it reads again begins
that anew at its next start. Nothing is recorded between the two, so nothing is recorded twice or out of order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

from history.model import happenings as told
from history.model.rebuild import CHECKING, DONE, REFUSED, REPLAYING, Rebuild
from mesh.clock import Clock
from mesh.errors import NotFound
from mesh.ids import IdSource

_LOGGER: Final = logging.getLogger(__name__)
Record: TypeAlias = Callable[[Sequence[told.Told]], Awaitable[None]]


class RebuildStore(Protocol):
    """The database's side. Raises Unavailable."""

    def begin(self, rebuild: Rebuild, request_id: str) -> Awaitable[Rebuild]:
        """Keep a rebuild that begins; with a known request, return its rebuild. Raises FailedPrecondition for two."""
        ...

    def get(self, rebuild_id: str) -> Awaitable[Rebuild | None]:
        """One rebuild."""
        ...

    def unfinished(self) -> Awaitable[Rebuild | None]:
        """The rebuild that is under way, or was when a process died."""
        ...

    def enter(self, rebuild_id: str, state: str, error: str = "") -> Awaitable[None]:
        """Go to another state."""
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
    """The stream, read by one recorder at a time."""

    def read_with(self, record: Record, *, from_start: bool) -> Awaitable[None]:
        """End the present reading and begin another one."""
        ...

    def caught_up(self) -> Awaitable[None]:
        """Return once everything that is in the stream now was read."""
        ...


class Rebuilding:
    """The use cases, and the work behind them."""

    def __init__(self, store: RebuildStore, feed: Feed, record: Record, clock: Clock, ids: IdSource) -> None:
        """`record` is what records in everyday life."""
        self._store = store
        self._feed = feed
        self._record = record
        self._clock = clock
        self._ids = ids
        self._task: asyncio.Task[None] | None = None
        self._messages = 0

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
        begun = await self._store.begin(wanted, request_id)
        if begun.id == wanted.id:
            self._task = asyncio.create_task(self._run(begun), name="history rebuild")
        return begun

    async def get(self, rebuild_id: str) -> Rebuild:
        """How a rebuild goes. Raises NotFound, Unavailable."""
        found = await self._store.get(rebuild_id)
        if found is None:
            message = f"expected a rebuild, found none with id '{rebuild_id}'"
            raise NotFound("rebuild-not-found", message, rebuild_id=rebuild_id)
        return found

    async def begin_reading(self) -> None:
        """Begin to read the stream as things stand: in everyday life, or by going on with a rebuild."""
        found = await self._store.unfinished()
        if found is not None and found.state == REPLAYING:
            await self._store.clear()
            await self._feed.read_with(self._counted, from_start=True)
            self._task = asyncio.create_task(self._end(found), name="history rebuild")
            return
        if found is not None:
            await self._store.enter(found.id, REFUSED, "the process ended while it looked what the stream holds")
        # What a look had read without recording it may come again from the beginning only.
        await self._feed.read_with(self._record, from_start=found is not None)

    async def stop(self) -> None:
        """End the work; a rebuild under way goes on at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self, rebuild: Rebuild) -> None:
        try:
            refused = await self._check()
            if refused:
                await self._store.enter(rebuild.id, REFUSED, refused)
                await self._feed.read_with(self._record, from_start=True)
                return
            await self._store.enter(rebuild.id, REPLAYING)
            await self._store.clear()
            await self._feed.read_with(self._counted, from_start=True)
            await self._end(rebuild)
        except Exception:
            # Nobody waits for it: it is said here, and the next start goes on.
            _LOGGER.exception("the rebuild %s stands still until the next start", rebuild.id)

    async def _check(self) -> str:
        """Why the stream will not do; empty if it will."""
        parked = await self._store.parked()
        if parked:
            return f"expected no parked message, found {parked}: replay or discard them first"
        await self._feed.read_with(self._noted, from_start=True)
        await self._feed.caught_up()
        missing = await self._store.missing()
        return f"expected the stream to hold all recorded instances, found {missing} missing" if missing else ""

    async def _end(self, rebuild: Rebuild) -> None:
        await self._feed.caught_up()
        await self._store.forget_again()
        await self._store.count(rebuild.id, self._messages)
        await self._feed.read_with(self._record, from_start=False)
        await self._store.enter(rebuild.id, DONE)

    async def _noted(self, batch: Sequence[told.Told]) -> None:
        roots: dict[str, bool] = {}
        for command in batch:
            begins = any(_begins(happening, command.root_id) for happening in command.happenings)
            roots[command.root_id] = roots.get(command.root_id, False) or begins
        await self._store.note_roots(roots)

    async def _counted(self, batch: Sequence[told.Told]) -> None:
        await self._record(batch)
        self._messages += len(batch)


def _begins(happening: told.Happening, root_id: str) -> bool:
    if isinstance(happening, told.InstanceStarted):
        return happening.instance_id == root_id
    return isinstance(happening, told.TaskCreated) and happening.task_id == root_id
