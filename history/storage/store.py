"""Writes what happened: two round trips and one transaction for a batch of any size.

One connection of its own, used by one thread: batches come one after the other anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from history.app.batches import Wanted
from history.app.deleting import Doomed
from history.app.queries import Scope
from history.app.recording import Project
from history.storage import deletes
from history.storage.loading import load
from history.storage.recording import statements
from mesh.clock import Clock
from mesh.db.database import Database
from mesh.db.errors import DatabaseError
from mesh.db.statements import COMMIT
from mesh.db.writer import Writer
from mesh.errors import Unavailable

T = TypeVar("T")


class Store:
    """A `RecordStore`, and the `Deletions`. Raises Unavailable while the database is away or busy."""

    def __init__(self, database: Database, clock: Clock, *, with_terms: bool = True) -> None:
        """Nothing is opened yet. `with_terms`: the database is what is searched, so the words go there."""
        self._database = database
        self._clock = clock
        self._with_terms = with_terms
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-store")
        self._open: Writer | None = None

    @property
    def writer(self) -> Writer:
        """The connection; opened when it is needed, anew if it was lost. For the store's thread, and for counting."""
        if self._open is None or not self._open.is_open:
            self._open = self._database.writer()
        return self._open

    async def transact(self, wants: Wanted, project: Project, ticket: str) -> None:
        """See the port."""

        def run() -> None:
            changes = project(load(self.writer, wants, ticket))
            packet = statements(changes, with_terms=self._with_terms)
            if changes.forgotten:
                # What belongs to them is found among all that was written, this batch included.
                self.writer.run(packet)
                packet = deletes.statements(deletes.collect(self.writer, (), changes.forgotten), self._clock)
            self.writer.run([*packet, COMMIT])

        await self.in_thread(run)

    async def delete_instances(self, instance_ids: Sequence[str], scope: Scope, request_id: str) -> Sequence[str]:
        """Delete instances that are over and those they called. Raises NotFound, FailedPrecondition, Unavailable."""
        return await self._delete(lambda writer: deletes.doomed_instances(writer, instance_ids, scope, request_id))

    async def delete_tasks(self, task_ids: Sequence[str], scope: Scope, request_id: str) -> Sequence[str]:
        """Delete tasks that are over. Raises NotFound, FailedPrecondition, Unavailable."""
        return await self._delete(lambda writer: deletes.doomed_tasks(writer, task_ids, scope, request_id))

    async def _delete(self, doom: Callable[[Writer], Doomed | None]) -> Sequence[str]:
        def run() -> Sequence[str]:
            writer = self.writer
            doomed = doom(writer)
            if doomed is None:
                writer.rollback()
                return ()
            writer.run([*deletes.statements(doomed, self._clock), COMMIT])
            return (*doomed.instances, *doomed.tasks)

        return await self.in_thread(run)

    async def close(self) -> None:
        """Let what is under way end, and close the connection."""

        def run() -> None:
            if self._open is not None:
                self._open.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, run)
        self._thread.shutdown()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` alone on the store's thread. Whatever it raises is rolled back; also raises Unavailable."""

        def run() -> T:
            try:
                return work()
            except DatabaseError as error:
                message = f"expected history's database to answer, found: {error}"
                raise Unavailable("database-away", message) from error
            except BaseException:
                if self._open is not None:
                    self._open.rollback()
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)
