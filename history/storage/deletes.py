"""Finding what a deletion takes along, and deleting it by primary key."""

from __future__ import annotations

from typing import Any, Final

from history.app.deleting import Doomed, instance_runs, no_such_instance, no_such_task, task_is_open
from history.storage import tables
from mesh.clock import Clock
from mesh.db.statements import Delete, Insert, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer

_ANSWERED: Final = Sql("SELECT request_id FROM answered_request WHERE request_id = ?")
_ROOT: Final = Sql("SELECT root_id, ended_at FROM historic_process_instance WHERE id = ? {for update}")
_TREE: Final = Sql("SELECT id, super_instance_id, ended_at FROM historic_process_instance WHERE root_id = ?")
_TASK: Final = Sql("SELECT ended_at FROM historic_task WHERE id = ? {for update}")
_ACTIVITIES_OF: Final = Sql("SELECT id FROM historic_activity WHERE instance_id IN ?*")
_TASKS_OF: Final = Sql("SELECT id FROM historic_task WHERE instance_id IN ?*")
_VARIABLES_OF: Final = Sql("SELECT id FROM historic_variable WHERE instance_id IN ?*")
_VARIABLES_OF_TASKS: Final = Sql("SELECT id FROM historic_variable WHERE task_id IN ?*")
_LINKS_OF: Final = Sql("SELECT owner_id, kind, user_id, group_id FROM historic_identity_link WHERE owner_id IN ?*")

_DROP_INSTANCES: Final = Delete((tables.process_instance, ("id",)))
_DROP_ACTIVITIES: Final = Delete((tables.activity, ("id",)))
_DROP_TASKS: Final = Delete((tables.task, ("id",)))
_DROP_VARIABLES: Final = Delete((tables.variable, ("id",)))
_DROP_LINKS: Final = Delete((tables.identity_link, ("owner_id", "kind", "user_id", "group_id")))
_PUT_REQUEST: Final = Insert(tables.request, replace=True)


def doomed_instance(writer: Writer, instance_id: str, request_id: str) -> Doomed | None:
    """What goes with the instance; None if the request was answered before. Raises NotFound, FailedPrecondition."""
    if _was_answered(writer, request_id):
        return None
    rows = writer.run([_ROOT.of(instance_id)])[0].rows
    if not rows:
        raise no_such_instance(instance_id)
    tree = writer.run([_TREE.of(rows[0][0])])[0].rows
    ids = _with_called(instance_id, tree)
    running = next((row[0] for row in tree if row[0] in ids and row[2] is None), None)
    if running is not None:
        raise instance_runs(running)
    listed = sorted(ids)
    activities, tasks, variables = writer.run([sql.of(listed) for sql in (_ACTIVITIES_OF, _TASKS_OF, _VARIABLES_OF)])
    task_ids = tuple(row[0] for row in tasks.rows)
    links = writer.run([_LINKS_OF.of([*listed, *task_ids])])[0]
    return Doomed(
        instances=tuple(listed),
        activities=tuple(row[0] for row in activities.rows),
        tasks=task_ids,
        variables=tuple(row[0] for row in variables.rows),
        links=tuple(_link(row) for row in links.rows),
        request_id=request_id,
    )


def doomed_task(writer: Writer, task_id: str, request_id: str) -> Doomed | None:
    """What goes with the task; None if the request was answered before. Raises NotFound, FailedPrecondition."""
    if _was_answered(writer, request_id):
        return None
    rows = writer.run([_TASK.of(task_id)])[0].rows
    if not rows:
        raise no_such_task(task_id)
    if rows[0][0] is None:
        raise task_is_open(task_id)
    variables, links = writer.run([_VARIABLES_OF_TASKS.of([task_id]), _LINKS_OF.of([task_id])])
    return Doomed(
        tasks=(task_id,),
        variables=tuple(row[0] for row in variables.rows),
        links=tuple(_link(row) for row in links.rows),
        request_id=request_id,
    )


def statements(doomed: Doomed, clock: Clock) -> list[Statement]:
    """Delete, and remember the request."""
    packet: list[Statement] = []
    for delete, ids in (
        (_DROP_VARIABLES, doomed.variables),
        (_DROP_TASKS, doomed.tasks),
        (_DROP_ACTIVITIES, doomed.activities),
        (_DROP_INSTANCES, doomed.instances),
    ):
        if ids:
            packet.append(delete.of([(key,) for key in ids]))
    if doomed.links:
        packet.append(_DROP_LINKS.of(doomed.links))
    if doomed.request_id:
        packet.append(_PUT_REQUEST.of([(doomed.request_id, text_of_moment(clock.now()))]))
    return packet


def _was_answered(writer: Writer, request_id: str) -> bool:
    return bool(request_id) and bool(writer.run([_ANSWERED.of(request_id)])[0].rows)


def _with_called(instance_id: str, tree: Any) -> set[str]:
    """The instance and all that it called, at all levels."""
    called: dict[str, list[str]] = {}
    for key, super_id, _ in tree:
        called.setdefault(super_id, []).append(key)
    found: set[str] = set()
    waiting = [instance_id]
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += called.get(key, ())
    return found


def _link(row: Any) -> tuple[str, str, str, str]:
    return (row[0], row[1], row[2], row[3])
