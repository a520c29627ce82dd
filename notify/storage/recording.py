"""Writes what happened: two round trips and one transaction for a batch of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mesh.db.statements import COMMIT, Delete, Insert, Result, Sql, Statement
from mesh.db.writer import Writer
from notify.app.projecting import Changes, Loaded, Wanted
from notify.app.recording import Project
from notify.storage import tables
from notify.storage.connection import Connection
from notify.storage.rows import NOTICES, PROCESSES, TASKS

_APPLIED: Final = Sql("SELECT root_id, sequence FROM applied_command WHERE root_id IN ?* {for update}")
_TASKS_OF: Final = Sql(f"SELECT {TASKS.columns} FROM open_task WHERE instance_id IN ?*")
_NOTICES_OF: Final = Sql("SELECT n.id, n.event, n.task_id FROM notice n WHERE n.task_id IN ?*")
_NOTICES_OF_ENDED: Final = Sql(
    "SELECT n.id, n.event, n.task_id FROM open_task t JOIN notice n ON n.task_id = t.id WHERE t.instance_id IN ?*"
)
_PUT_APPLIED: Final = Insert(tables.applied, replace=True)
_DROP_TASKS: Final = Delete((tables.task, ("id",)))
_DROP_PROCESSES: Final = Delete((tables.process, ("id",)))
_DROP_NOTICES: Final = Delete((tables.notice, ("id",)))
_SUPPRESS: Final = Sql(
    "UPDATE delivery SET state = 'suppressed', error = 'the task is over', due_at = NULL, lease_owner = ''"
    " WHERE task_id IN ?* AND state IN ('pending', 'failed') AND lease_owner = '' AND event <> 'message'"
)


class RecordingStore:
    """A `RecordStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def transact(self, wants: Wanted, project: Project) -> None:
        """Lock and load what is wanted, write what `project` makes of it, commit. Raises Unavailable."""

        def run(writer: Writer) -> None:
            loaded = _load(writer, wants)
            writer.run([*_statements(project(loaded)), COMMIT])

        await self._connection.run(run)


def _load(writer: Writer, wants: Wanted) -> Loaded:
    loaded = Loaded()
    packet: list[Statement] = []
    takers: list[Callable[[Result], None]] = []

    def ask(statement: Statement, take: Callable[[Result], None]) -> None:
        packet.append(statement)
        takers.append(take)

    # Roots in one order in every process, so that two of them wait for each other and never in a circle.
    ask(_APPLIED.of(sorted(wants.roots)), lambda found: loaded.applied.update((row[0], row[1]) for row in found.rows))
    if wants.processes:
        ask(PROCESSES.by_ids.of(sorted(wants.processes)), lambda found: _take_processes(loaded, found))
    if wants.tasks:
        ask(TASKS.by_ids.of(sorted(wants.tasks)), lambda found: _take_tasks(loaded, found))
        ask(_NOTICES_OF.of(sorted(wants.tasks)), lambda found: _take_notices(loaded, found))
    if wants.ended:
        ask(_TASKS_OF.of(sorted(wants.ended)), lambda found: _take_tasks(loaded, found))
        ask(_NOTICES_OF_ENDED.of(sorted(wants.ended)), lambda found: _take_notices(loaded, found))
    for take, result in zip(takers, writer.run(packet), strict=True):
        take(result)
    return loaded


def _take_processes(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.processes[row[0]] = PROCESSES.record(row)


def _take_tasks(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.tasks.setdefault(row[0], TASKS.record(row))


def _take_notices(loaded: Loaded, found: Result) -> None:
    for row in found.rows:
        loaded.notices[row[0]] = (row[1], row[2])


def _statements(changes: Changes) -> list[Statement]:
    packet: list[Statement] = []
    if changes.tasks:
        packet.append(TASKS.put.of([TASKS.row(task) for task in changes.tasks]))
    if changes.dropped_tasks:
        packet.append(_DROP_TASKS.of([(key,) for key in changes.dropped_tasks]))
    if changes.processes:
        packet.append(PROCESSES.put.of([PROCESSES.row(process) for process in changes.processes]))
    if changes.dropped_processes:
        packet.append(_DROP_PROCESSES.of([(key,) for key in changes.dropped_processes]))
    # First those that go: a notice that comes again under the same id must stay.
    if changes.dropped_notices:
        packet.append(_DROP_NOTICES.of([(key,) for key in changes.dropped_notices]))
    if changes.notices:
        packet.append(NOTICES.add.of([NOTICES.row(notice) for notice in changes.notices]))
    if changes.over_tasks:
        packet.append(_SUPPRESS.of(list(changes.over_tasks)))
    if changes.applied:
        packet.append(_PUT_APPLIED.of(sorted(changes.applied.items())))
    return packet
