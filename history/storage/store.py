"""Writes what happened: two round trips and one transaction for a batch of any size.

One connection of its own, used by one thread: batches come one after the other anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from history.app.deleting import Doomed
from history.app.projecting import Changes, Loaded, Wanted
from history.app.recording import Project
from history.model.records import Variable
from history.storage import deletes, tables
from history.storage.rows import ACTIVITIES, INSTANCES, PUT_VARIABLES, TASKS, variable_row
from mesh.clock import Clock
from mesh.db.database import Database
from mesh.db.errors import DatabaseError
from mesh.db.statements import COMMIT, Delete, Insert, Result, Sql, Statement
from mesh.db.types import moment_of_text
from mesh.db.writer import Writer
from mesh.errors import Unavailable

T = TypeVar("T")

_APPLIED: Final = Sql("SELECT root_id, sequence FROM applied_command WHERE root_id IN ?* {for update}")
_VARIABLES: Final = Sql("SELECT id, created_at FROM historic_variable WHERE id IN ?*")
_PUT_APPLIED: Final = Insert(tables.applied, replace=True)
_PUT_LINKS: Final = Insert(tables.identity_link, ("owner_id", "kind", "user_id", "group_id", "root_id"), replace=True)
_DROP_VARIABLES: Final = Delete((tables.variable, ("id",)))
_DROP_LINKS: Final = Delete((tables.identity_link, ("owner_id", "kind", "user_id", "group_id")))
_MOVE_ACTIVITIES: Final = Sql("UPDATE historic_activity SET definition_id = ? WHERE instance_id IN ?*")
_MOVE_TASKS: Final = Sql("UPDATE historic_task SET definition_id = ? WHERE instance_id IN ?*")


class Store:
    """A `RecordStore`, and the `Deletions`. Raises Unavailable while the database is away or busy."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Nothing is opened yet."""
        self._database = database
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history-store")
        self._open: Writer | None = None

    @property
    def writer(self) -> Writer:
        """The connection; opened when it is needed, anew if it was lost. For the store's thread, and for counting."""
        if self._open is None or not self._open.is_open:
            self._open = self._database.writer()
        return self._open

    async def transact(self, wants: Wanted, project: Project) -> None:
        """Lock and load what is wanted, write what `project` makes of it, commit."""

        def run() -> None:
            loaded = _load(self.writer, wants)
            self.writer.run([*_statements(project(loaded)), COMMIT])

        await self._in_thread(run)

    async def delete_instance(self, instance_id: str, request_id: str) -> None:
        """Delete an instance that is over and those it called. Raises NotFound, FailedPrecondition, Unavailable."""
        await self._delete(lambda writer: deletes.doomed_instance(writer, instance_id, request_id))

    async def delete_task(self, task_id: str, request_id: str) -> None:
        """Delete a task that is over. Raises NotFound, FailedPrecondition, Unavailable."""
        await self._delete(lambda writer: deletes.doomed_task(writer, task_id, request_id))

    async def _delete(self, doom: Callable[[Writer], Doomed | None]) -> None:
        def run() -> None:
            writer = self.writer
            doomed = doom(writer)
            if doomed is None:
                writer.rollback()
            else:
                writer.run([*deletes.statements(doomed, self._clock), COMMIT])

        await self._in_thread(run)

    async def close(self) -> None:
        """Let what is under way end, and close the connection."""

        def run() -> None:
            if self._open is not None:
                self._open.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, run)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
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


def _load(writer: Writer, wants: Wanted) -> Loaded:
    loaded = Loaded()
    packet: list[Statement] = []
    takers: list[Callable[[Result], None]] = []

    def ask(statement: Statement, take: Callable[[Result], None]) -> None:
        packet.append(statement)
        takers.append(take)

    # Roots in one order in every process, so that two of them wait for each other and never in a circle.
    ask(_APPLIED.of(sorted(wants.roots)), lambda found: loaded.applied.update((row[0], row[1]) for row in found.rows))
    if wants.instances:
        ask(INSTANCES.by_ids.of(_listed(wants.instances)), lambda found: _take_instances(loaded, found))
    if wants.activities:
        ask(ACTIVITIES.by_ids.of(_listed(wants.activities)), lambda found: _take_activities(loaded, found))
    if wants.tasks:
        ask(TASKS.by_ids.of(_listed(wants.tasks)), lambda found: _take_tasks(loaded, found))
    if wants.variables:
        ask(_VARIABLES.of(_listed(wants.variables)), lambda found: _take_variables(loaded, found))
    if wants.open_of:
        ask(ACTIVITIES.open_of.of(_listed(wants.open_of)), lambda found: _take_activities(loaded, found))
        ask(TASKS.open_of.of(_listed(wants.open_of)), lambda found: _take_tasks(loaded, found))
    for take, result in zip(takers, writer.run(packet), strict=True):
        take(result)
    return loaded


def _listed(ids: set[str]) -> Sequence[str]:
    return sorted(ids)


def _take_instances(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.instances[row[0]] = INSTANCES.record(row)


def _take_activities(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.activities.setdefault(row[0], ACTIVITIES.record(row))


def _take_tasks(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.tasks.setdefault(row[0], TASKS.record(row))


def _take_variables(loaded: Loaded, found: Result) -> None:
    """Only since when it exists matters: all else is replaced."""
    for key, created_at in found.rows:
        at = moment_of_text(created_at)
        loaded.variables[key] = Variable(
            id=key,
            root_id="",
            instance_id="",
            execution_id="",
            task_id="",
            name="",
            type="null",
            value=None,
            created_at=at,
            updated_at=at,
        )


def _statements(changes: Changes) -> list[Statement]:
    packet: list[Statement] = []
    for definition_id, instance_ids in changes.moved.items():
        packet += (_MOVE_ACTIVITIES.of(definition_id, instance_ids), _MOVE_TASKS.of(definition_id, instance_ids))
    if changes.applied:
        packet.append(_PUT_APPLIED.of(sorted(changes.applied.items())))
    if changes.instances:
        packet.append(INSTANCES.put.of([INSTANCES.row(record) for record in changes.instances]))
    if changes.activities:
        packet.append(ACTIVITIES.put.of([ACTIVITIES.row(record) for record in changes.activities]))
    if changes.tasks:
        packet.append(TASKS.put.of([TASKS.row(record) for record in changes.tasks]))
    if changes.removed_variables:
        packet.append(_DROP_VARIABLES.of([(key,) for key in changes.removed_variables]))
    if changes.variables:
        packet.append(PUT_VARIABLES.of([variable_row(record) for record in changes.variables]))
    if changes.removed_links:
        keys = [(link.owner_id, link.kind, link.user_id, link.group_id) for link in changes.removed_links]
        packet.append(_DROP_LINKS.of(keys))
    if changes.links:
        rows = [(link.owner_id, link.kind, link.user_id, link.group_id, link.root_id) for link in changes.links]
        packet.append(_PUT_LINKS.of(rows))
    return packet
