"""Writing the search engine from the stream: what was erased or deleted stays out, and order does not matter."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeGuard

from history.app.batches import Loaded
from history.app.redacting import redacted
from history.app.searching import SearchWriter, entries_of
from history.model.happenings import Happening, TaskEnded, Told
from history.model.search import SearchEntry


class Gate(Protocol):
    """Tells what was erased and deleted. Raises Unavailable."""

    def erased(self, batch: Sequence[Told]) -> Awaitable[Loaded]:
        """The people, variables and tenants of the batch that were erased."""
        ...

    def forgotten(self, ids: Sequence[str]) -> Awaitable[frozenset[str]]:
        """Those of these instances and tasks that are here no more."""
        ...


class Indexer:
    """Puts what a batch says into the search engine."""

    def __init__(self, gate: Gate, writer: SearchWriter) -> None:
        self._gate = gate
        self._writer = writer

    async def index(self, batch: Sequence[Told]) -> None:
        """Write the batch; the last text of each field counts. Raises Unavailable."""
        loaded = await self._gate.erased(batch)
        people, variables, tenants = loaded.erased_people, loaded.erased_variables, loaded.erased_tenants
        found: dict[tuple[str, str], SearchEntry] = {}
        for command in batch:
            told = redacted(command, people, variables, tenants) if people or variables or tenants else command
            for entry in entries_of(told):
                found[entry.owner_id, entry.field] = entry
        ids = {key for entry in found.values() for key in (entry.instance_id, entry.owner_id) if key}
        forgotten = {e.task_id for command in batch for e in command.happenings if _forgets(e)}
        gone = await self._gate.forgotten(sorted(ids)) | forgotten
        kept = [e for e in found.values() if e.instance_id not in gone and e.owner_id not in gone]
        await self._writer.write(kept)
        if forgotten:
            await self._writer.forget(sorted(forgotten))


def _forgets(happening: Happening) -> TypeGuard[TaskEnded]:
    return isinstance(happening, TaskEnded) and happening.forgotten
