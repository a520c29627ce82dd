"""Records what notify is told: a batch, a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeAlias

from notify.app.projecting import Changes, Loaded, Projection, Wanted, wanted
from notify.model.happenings import Told

Project: TypeAlias = Callable[[Loaded], Changes]


class RecordStore(Protocol):
    """Loads and writes in one transaction, with a number of statements that does not depend on the batch."""

    def transact(self, wants: Wanted, project: Project) -> Awaitable[None]:
        """Lock and load what is wanted, write what `project` makes of it, commit. Raises Unavailable."""
        ...


class Recorder:
    """Applies batches, at most once each: the last sequence of a root is written with its effects."""

    def __init__(self, store: RecordStore, due_soon: timedelta, wake: Callable[[], None]) -> None:
        """`wake` is called when there are new notices."""
        self._store = store
        self._due_soon = due_soon
        self._wake = wake

    async def record(self, batch: Sequence[Told]) -> None:
        """Record the batch; those of one root in the order of their sequence. Raises Unavailable."""
        told_of = 0

        def project(loaded: Loaded) -> Changes:
            nonlocal told_of
            projection = Projection(loaded, self._due_soon)
            for command in batch:
                projection.apply(command)
            changes = projection.changes()
            told_of = len(changes.notices)
            return changes

        await self._store.transact(wanted(batch), project)
        if told_of:
            self._wake()
