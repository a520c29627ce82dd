"""Finding what a deletion takes along, and deleting it by primary key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from history.app.deleting import (
    DELETED,
    Doomed,
    instance_runs,
    no_such_instance,
    no_such_task,
    task_is_open,
)
from history.app.queries import Scope
from history.storage import erasure_tables, log_tables, tables
from history.storage.recording import DROP_COMMENTS, DROP_LINKS, DROP_TERMS, DROP_VARIABLES
from mesh.clock import Clock
from mesh.db.statements import Delete, Insert, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer

_ANSWERED: Final = Sql("SELECT request_id FROM answered_request WHERE request_id = ?")
_REPLY: Final = Sql("SELECT reply FROM answered_request WHERE request_id = ?")
_ROOTS: Final = Sql("SELECT id, root_id, tenant_id FROM historic_process_instance WHERE id IN ?* {for update}")
_TREES: Final = Sql("SELECT id, super_instance_id, ended_at FROM historic_process_instance WHERE root_id IN ?*")
_TASKS: Final = Sql("SELECT id, ended_at, tenant_id FROM historic_task WHERE id IN ?* {for update}")
_OF_INSTANCES: Final = tuple(
    Sql(f"SELECT id FROM {table} WHERE instance_id IN ?*")
    for table in (
        "historic_activity",
        "historic_task",
        "historic_variable",
        "historic_detail",
        "historic_task_log",
        "historic_comment",
    )
)
_OF_TASKS: Final = tuple(
    Sql(f"SELECT id FROM {table} WHERE task_id IN ?*")
    for table in ("historic_variable", "historic_detail", "historic_task_log", "historic_comment")
)
_LINKS_OF: Final = Sql("SELECT owner_id, kind, user_id, group_id FROM historic_identity_link WHERE owner_id IN ?*")
_TERMS_OF_INSTANCES: Final = Sql("SELECT DISTINCT owner_id, field FROM search_term WHERE instance_id IN ?*")
_TERMS_OF_TASKS: Final = Sql("SELECT DISTINCT owner_id, field FROM search_term WHERE owner_id IN ?*")

_DROP_INSTANCES: Final = Delete((tables.process_instance, ("id",)))
_DROP_ACTIVITIES: Final = Delete((tables.activity, ("id",)))
_DROP_TASKS: Final = Delete((tables.task, ("id",)))
_DROP_DETAILS: Final = Delete((log_tables.detail, ("id",)))
_DROP_TASK_LOG: Final = Delete((log_tables.task_log, ("id",)))
_PUT_REQUEST: Final = Insert(tables.request, replace=True)
_FORGET: Final = Insert(erasure_tables.forgotten, replace=True)


def first_reply(writer: Writer, request_id: str) -> str | None:
    """What was answered to this request; None if it was not carried out yet."""
    if not request_id:
        return None
    rows = writer.run([_REPLY.of(request_id)])[0].rows
    return (rows[0][0] or "") if rows else None


def was_answered(writer: Writer, request_id: str) -> bool:
    """Tell whether this request was carried out before."""
    return bool(request_id) and bool(writer.run([_ANSWERED.of(request_id)])[0].rows)


def doomed_instances(writer: Writer, instance_ids: Sequence[str], scope: Scope, request_id: str) -> Doomed | None:
    """What goes with the instances; None if the request was answered before. Raises NotFound, FailedPrecondition."""
    if was_answered(writer, request_id):
        return None
    rows = writer.run([_ROOTS.of(sorted(set(instance_ids)))])[0].rows
    known = {row[0] for row in rows if scope is None or row[2] == scope}
    missing = next((wanted for wanted in instance_ids if wanted not in known), None)
    if missing is not None:
        raise no_such_instance(missing)
    tree = writer.run([_TREES.of(sorted({row[1] for row in rows}))])[0].rows
    ids = _with_called(instance_ids, tree)
    running = next((row[0] for row in tree if row[0] in ids and row[2] is None), None)
    if running is not None:
        raise instance_runs(running)
    return collect(writer, sorted(ids), (), request_id)


def doomed_tasks(writer: Writer, task_ids: Sequence[str], scope: Scope, request_id: str) -> Doomed | None:
    """What goes with the tasks; None if the request was answered before. Raises NotFound, FailedPrecondition."""
    if was_answered(writer, request_id):
        return None
    rows = writer.run([_TASKS.of(sorted(set(task_ids)))])[0].rows
    ended = {row[0]: row[1] for row in rows if scope is None or row[2] == scope}
    for task_id in task_ids:
        if task_id not in ended:
            raise no_such_task(task_id)
        if ended[task_id] is None:
            raise task_is_open(task_id)
    return collect(writer, (), sorted(set(task_ids)), request_id)


def collect(
    writer: Writer,
    instance_ids: Sequence[str],
    task_ids: Sequence[str],
    request_id: str = "",
    comments: Sequence[str] = (),
) -> Doomed:
    """All that belongs to these instances and tasks, in three round trips for any number of them."""
    found = [[row[0] for row in result.rows] for result in writer.run([sql.of(instance_ids) for sql in _OF_INSTANCES])]
    activities, tasks, variables, details, log, remarks = found
    tasks = sorted({*tasks, *task_ids})
    more = [[row[0] for row in result.rows] for result in writer.run([sql.of(tasks) for sql in _OF_TASKS])]
    links, terms, task_terms = writer.run(
        [
            _LINKS_OF.of([*instance_ids, *tasks]),
            _TERMS_OF_INSTANCES.of(instance_ids),
            _TERMS_OF_TASKS.of(tasks),
        ]
    )
    return Doomed(
        instances=tuple(instance_ids),
        activities=tuple(activities),
        tasks=tuple(tasks),
        variables=_both(variables, more[0]),
        details=_both(details, more[1]),
        task_log=_both(log, more[2]),
        comments=_both((*comments, *remarks), more[3]),
        links=tuple((row[0], row[1], row[2], row[3]) for row in links.rows),
        terms=tuple(sorted({(row[0], row[1]) for row in (*terms.rows, *task_terms.rows)})),
        request_id=request_id,
    )


def _both(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))


def statements(doomed: Doomed, clock: Clock, reason: str = DELETED) -> list[Statement]:
    """Delete, and remember the request and what is here no more (but without a reason)."""
    packet: list[Statement] = []
    for delete, ids in (
        (DROP_VARIABLES, doomed.variables),
        (_DROP_DETAILS, doomed.details),
        (_DROP_TASK_LOG, doomed.task_log),
        (DROP_COMMENTS, doomed.comments),
        (_DROP_TASKS, doomed.tasks),
        (_DROP_ACTIVITIES, doomed.activities),
        (_DROP_INSTANCES, doomed.instances),
    ):
        if ids:
            packet.append(delete.of([(key,) for key in ids]))
    if doomed.links:
        packet.append(DROP_LINKS.of(doomed.links))
    if doomed.terms:
        packet.append(DROP_TERMS.of(doomed.terms))
    now = text_of_moment(clock.now())
    forgotten = [(key, reason, now) for key in (*doomed.instances, *doomed.tasks, *doomed.comments)]
    if forgotten and reason:
        packet.append(_FORGET.of(sorted(forgotten)))
    if doomed.request_id:
        packet.append(remember(doomed.request_id, clock))
    return packet


def remember(request_id: str, clock: Clock, reply: str | None = None) -> Statement:
    """Keep that this request was carried out, and what was answered."""
    return _PUT_REQUEST.of([(request_id, text_of_moment(clock.now()), reply)])


def _with_called(instance_ids: Sequence[str], tree: Any) -> set[str]:
    """The instances and all that they called, at all levels."""
    called: dict[str, list[str]] = {}
    for key, super_id, _ in tree:
        called.setdefault(super_id, []).append(key)
    found: set[str] = set()
    waiting = list(instance_ids)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += called.get(key, ())
    return found
