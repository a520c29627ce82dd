"""Records what history is told: a batch, a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from history.app.batches import Changes, Loaded, Wanted, wanted
from history.app.projecting import Projection
from history.app.redacting import redacted
from history.model.happenings import Told
from mesh.errors import Unavailable

Project: TypeAlias = Callable[[Loaded], Changes]


class RebuildUnderWay(Unavailable):
    """Nothing is recorded now but by the rebuild itself."""

    def __init__(self) -> None:
        super().__init__("rebuild-under-way", "expected history to record, found a rebuild under way")


class RecordStore(Protocol):
    """Loads and writes records in one transaction, with a number of statements that does not depend on the batch."""

    def transact(self, wants: Wanted, project: Project, ticket: str) -> Awaitable[None]:
        """Lock and load what is wanted, write what `project` makes of it, commit.

        Raises Unavailable, above all RebuildUnderWay while there is a rebuild with another ticket.
        """
        ...


class Recorder:
    """Applies batches, at most once each: the last sequence of a root is written with its effects."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.applied_commands = 0
        self.skipped_commands = 0
        """Commands that came again."""

    async def record(self, batch: Sequence[Told], ticket: str = "") -> None:
        """Record the batch; those of one root in the order of their sequence.

        `ticket`: of the rebuild that records; empty in everyday life. Raises Unavailable, RebuildUnderWay.
        """
        applied = 0

        def project(loaded: Loaded) -> Changes:
            nonlocal applied
            projection = Projection(loaded)
            people, variables, tenants = loaded.erased_people, loaded.erased_variables, loaded.erased_tenants
            told = batch
            if people or variables or tenants:
                told = [redacted(command, people, variables, tenants) for command in batch]
            applied = sum(projection.apply(command) for command in told)
            return projection.changes()

        await self._store.transact(wanted(batch), project, ticket)
        self.applied_commands += applied
        self.skipped_commands += len(batch) - applied
