"""What was erased and deleted, for those who read the stream without recording it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select

from history.app.batches import Loaded, wanted
from history.model.happenings import Told
from history.storage import erasure_tables
from history.storage.loading import load_erased
from history.storage.store import Store
from mesh.db.database import Database
from mesh.outbox import in_database

_forgotten: Final = erasure_tables.forgotten.c


class ErasedGate:
    """A `history.app.indexing.Gate`."""

    def __init__(self, store: Store, database: Database) -> None:
        self._store = store
        self._database = database

    async def erased(self, batch: Sequence[Told]) -> Loaded:
        """The people, variables and tenants of the batch that were erased."""

        def run() -> Loaded:
            loaded = Loaded()
            load_erased(self._store.writer, wanted(batch), loaded)
            self._store.writer.rollback()
            return loaded

        return await self._store.in_thread(run)

    async def forgotten(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of these instances and tasks that are here no more."""
        if not ids:
            return frozenset()
        statement = select(_forgotten.id).where(_forgotten.id.in_(ids))
        return await in_database(self._database, lambda connection: frozenset(connection.execute(statement).scalars()))
