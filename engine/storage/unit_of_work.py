"""The group commit's conversations with MySQL, MariaDB or SQLite (the port is `engine.app.unit_of_work.UnitOfWork`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from engine.app.unit_of_work import Changes, Delivery, DueJob, Found, Loaded, Targets, Wanted
from engine.storage import deliveries, finding, flushing, jobs, loading
from engine.storage.loading import LoadedRows
from mesh.db.database import Database
from mesh.db.writer import Writer


class SqlUnitOfWork:
    """One writer's connection. `writer` serves further transactions of the storage (leases, the outbox)."""

    def __init__(self, database: Database) -> None:
        """Connect. Raises DatabaseAway if nobody answers."""
        self.writer: Writer = database.writer()

    @property
    def is_open(self) -> bool:
        """Tell whether the connection has not been lost."""
        return self.writer.is_open

    def find(self, targets: Targets) -> Found:
        """Look up targets without locking any tree."""
        return finding.find(self.writer, targets)

    def load(self, wanted: Wanted) -> LoadedRows:
        """Lock trees, then read what is wanted of them."""
        return loading.load(self.writer, wanted)

    def load_variables(self, loaded: Loaded, root_id: str) -> None:
        """Read the variables of all scopes of a locked tree."""
        assert isinstance(loaded, LoadedRows), "expected what `load` returned"
        loading.load_variables(self.writer, loaded, root_id)

    def load_tasks(self, loaded: Loaded, root_id: str) -> None:
        """Read all tasks of a locked tree."""
        assert isinstance(loaded, LoadedRows), "expected what `load` returned"
        loading.load_tasks(self.writer, loaded, root_id)

    def flush(self, changes: Changes, loaded: Loaded | None) -> int:
        """Write everything and commit."""
        assert loaded is None or isinstance(loaded, LoadedRows), "expected what `load` returned"
        return flushing.flush(self.writer, changes, loaded)

    def committed(self, command_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Tell which of the commands were committed."""
        return finding.committed(self.writer, list(command_ids))

    def due_jobs(self, now: datetime, limit: int) -> list[DueJob]:
        """Timers and asynchronous continuations that are due."""
        return jobs.due_jobs(self.writer, now, limit)

    def deliveries(self, throw_ids: Sequence[str], now: datetime, limit: int) -> list[Delivery]:
        """Deliveries of these throws, or all that are due."""
        return deliveries.deliveries(self.writer, throw_ids, now, limit)

    def rollback(self) -> None:
        """Undo what was not committed."""
        self.writer.rollback()

    def close(self) -> None:
        """Give the connection up."""
        self.writer.close()
