"""The third conversation of a batch: one statement per table and kind of change, the outbox, COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from engine.app.unit_of_work import LATER_SIGNAL, Accepted, Changes, Throw
from engine.kernel import events as ev
from engine.kernel import state as st
from engine.kernel.values import variables_of
from engine.storage import remark_tables, rows, tables, task_notes
from engine.storage.codec import encode_variables, to_json
from engine.storage.gathering import Gathered
from engine.storage.loading import LoadedRows
from engine.storage.sagas.writing import rows_of as saga_rows
from engine.storage.task_notes import Note, notes_of
from mesh.db.statements import COMMIT, Delete, Insert, Sql, Statement
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer

_INSTANCES: Final = Insert(tables.instance, rows.INSTANCE_COLUMNS, replace=True)
_VARIABLES: Final = Insert(tables.variable, rows.VARIABLE_COLUMNS, replace=True)
_TASKS: Final = Insert(tables.task, rows.TASK_COLUMNS, replace=True)
_LINKS: Final = Insert(tables.identity_link, rows.LINK_COLUMNS)
_JOBS: Final = Insert(tables.job, rows.JOB_COLUMNS, replace=True)
_SUBSCRIPTIONS: Final = Insert(tables.subscription, rows.SUBSCRIPTION_COLUMNS)
_OUTBOX: Final = Insert(
    tables.outbox, ("command_id", "root_id", "tenant_id", "request_id", "reply", "events", "created_at")
)
_NOTES: Final = Insert(remark_tables.comment, task_notes.COLUMNS)

_END: Final = Delete((tables.task, ("id",)), (tables.instance, ("id",)), (tables.identity_link, ("owner_id",)))
"""Tasks and instances that ended, with their identity links: ids of both kinds are keys of one statement."""
_DROP_TREES: Final = Delete((tables.variable, ("root_id",)))
_DROP_SCOPES: Final = Delete((tables.variable, ("root_id", "scope_id")))
_DROP_VARIABLES: Final = Delete((tables.variable, ("root_id", "scope_id", "name")))
_DROP_LINKS: Final = Delete((tables.identity_link, ("owner_id", "id")))
_DROP_JOBS: Final = Delete((tables.job, ("id",)))
_DROP_SUBSCRIPTIONS: Final = Delete((tables.subscription, ("id",)))
_DROP_DELIVERIES: Final = Delete((tables.delivery, ("throw_id", "subscription_id")))

_SUSPEND_TASKS: Final = Sql("UPDATE task SET suspended = ? WHERE instance_id IN ?*")
_SUSPEND_JOBS: Final = Sql(
    "UPDATE job SET suspended = ?, lane = CASE WHEN dead = 1 THEN 'dead' WHEN ? = 1 THEN 'suspended' "
    "WHEN kind IN ('timer', 'async') THEN 'engine' ELSE kind END WHERE instance_id IN ?*"
)
_MOVE_JOB: Final = Sql("UPDATE job SET due_at = ?, available_at = ?, `repeat` = ? WHERE id = ?")
_POSTPONE_JOB: Final = Sql("UPDATE job SET available_at = ?, error = ? WHERE id = ?")
_FAIL_DELIVERY: Final = Sql(
    "UPDATE delivery SET attempts = ?, error = ?, due_at = ?, dead = ? WHERE throw_id = ? AND subscription_id = ?"
)
_INTO_DELIVERY: Final = (
    "INSERT INTO delivery (throw_id, subscription_id, kind, name, root_id, instance_id, execution_id, definition_id, "
    "element_id, tenant_id, business_key, variables, attempts, dead, error, due_at, created_at) "
    "SELECT ?, s.id, s.kind, s.name, s.root_id, s.instance_id, s.execution_id, s.definition_id, s.element_id, "
    "s.tenant_id, ?, ?, 0, 0, '', ?, ? FROM subscription s "
)
_SIGNALLED: Final = (
    "WHERE s.name = ? AND s.kind = 'signal' AND s.tenant_id = ? "
    "AND (s.root_id = '' OR s.root_id <> ?) AND s.configuration <> 'processInstance'"
)
THROW_SIGNAL: Final = Sql(_INTO_DELIVERY + _SIGNALLED)
THROW_SIGNAL_LATER: Final = Sql(_INTO_DELIVERY.replace("s.kind", f"'{LATER_SIGNAL}'", 1) + _SIGNALLED)
# One receiver: whoever waits before whoever starts, the same business key before others, the longest wait first.
THROW_MESSAGE: Final = Sql(
    _INTO_DELIVERY + "LEFT JOIN instance i ON i.id = s.instance_id "
    "WHERE s.name = ? AND s.kind = 'message' AND s.tenant_id = ? "
    "AND (? = 0 OR s.instance_id = '' OR i.business_key = ?) "
    "ORDER BY CASE WHEN s.instance_id = '' THEN 2 WHEN i.business_key = ? THEN 0 ELSE 1 END, s.created_at, s.id LIMIT 1"
)


def flush(writer: Writer, changes: Changes, loaded: LoadedRows | None) -> int:
    """Write and commit in one packet; returns how many deliveries the throws made."""
    gathered = Gathered(loaded)
    for accepted in changes.accepted:
        gathered.take(accepted)
    gathered.finish(changes.trees)
    packet: list[Statement] = []
    _migrations(packet, gathered)
    _suspensions(packet, gathered)
    _instances(packet, gathered, changes.trees)
    _variables(packet, gathered)
    _tasks(packet, gathered, changes.trees)
    _jobs(packet, gathered, changes)
    if gathered.subscriptions_removed:
        packet.append(_DROP_SUBSCRIPTIONS.of([(key,) for key in gathered.subscriptions_removed]))
    if gathered.subscriptions:
        packet.append(_SUBSCRIPTIONS.of(list(gathered.subscriptions.values())))
    _deliveries(packet, changes)
    first_throw = len(packet)
    packet += _throws(changes.accepted)
    after_throws = len(packet)
    if changes.accepted:
        packet.append(_OUTBOX.of([_outbox_row(accepted) for accepted in changes.accepted]))
    if notes := [
        _note_row(note) for one in changes.accepted for note in notes_of(one.command, one.command_id, one.events)
    ]:
        packet.append(_NOTES.of(notes))
    if sagas := [change for one in changes.accepted for change in one.sagas]:
        packet += saga_rows(sagas, changes.accepted[0].at)
    packet.append(COMMIT)
    results = writer.run(packet)
    return sum(result.affected for result in results[first_throw:after_throws])


def _migrations(packet: list[Statement], gathered: Gathered) -> None:
    """What stays as it is in a migrated instance goes by the other definition from now on."""
    for event in gathered.migrated:
        pairs = [text for pair in event.elements.items() for text in pair]
        case = (
            "CASE element_id" + " WHEN ? THEN ?" * len(event.elements) + " ELSE element_id END"
            if pairs
            else "element_id"
        )
        for table in ("task", "job", "subscription"):
            sql = _compiled(f"UPDATE {table} SET definition_id = ?, element_id = {case} WHERE instance_id = ?")
            packet.append(sql.of(event.definition_id, *pairs, event.instance_id))


@lru_cache(maxsize=256)
def _compiled(template: str) -> Sql:
    return Sql(template)


def _suspensions(packet: list[Statement], gathered: Gathered) -> None:
    for wanted in (True, False):
        instances = [instance_id for instance_id, suspended in gathered.suspended.items() if suspended is wanted]
        if instances:
            packet.append(_SUSPEND_TASKS.of(wanted, instances))
            packet.append(_SUSPEND_JOBS.of(wanted, wanted, instances))


def _instances(packet: list[Statement], gathered: Gathered, trees: dict[str, st.Tree]) -> None:
    living = [
        instance
        for instance_id, root_id in gathered.instances.items()
        if not (instance := trees[root_id].instances[instance_id]).is_ended
    ]
    if living:
        packet.append(_INSTANCES.of([rows.instance_row(instance) for instance in living]))
    ended = [(key,) for key in (*gathered.tasks_ended, *gathered.instances_ended)]
    if ended:
        packet.append(_END.of(ended))


def _variables(packet: list[Statement], gathered: Gathered) -> None:
    for statement, keys in (
        (_DROP_TREES, [(root_id,) for root_id in gathered.roots_removed]),
        (_DROP_SCOPES, list(gathered.scopes_removed)),
        (_DROP_VARIABLES, list(gathered.variables_removed)),
    ):
        if keys:
            packet.append(statement.of(keys))
    written = gathered.variable_rows()
    if written:
        packet.append(_VARIABLES.of(written))


def _tasks(packet: list[Statement], gathered: Gathered, trees: dict[str, st.Tree]) -> None:
    written = []
    for task_id, root_id in gathered.tasks.items():
        tree = trees[root_id]
        task = tree.tasks[task_id]
        if task_id not in gathered.tasks_new:
            task.element_id, task.definition_id = _migrated(
                gathered, task.instance_id, task.element_id, task.definition_id
            )
        suspended = tree.instances[task.instance_id].state == st.SUSPENDED
        written.append(rows.task_row(root_id, task, suspended=suspended))
    if written:
        packet.append(_TASKS.of(written))
    for task_id, patch in gathered.tasks_patched.items():
        columns = ", ".join(f"{name} = ?" for name in patch)
        packet.append(_compiled(f"UPDATE task SET {columns} WHERE id = ?").of(*patch.values(), task_id))
    if gathered.links_removed:
        packet.append(_DROP_LINKS.of(list(gathered.links_removed)))
    links = gathered.link_rows()
    if links:
        packet.append(_LINKS.of(links))


def _migrated(gathered: Gathered, instance_id: str, element_id: str, definition_id: str) -> tuple[str, str]:
    for event in gathered.migrated:
        if event.instance_id == instance_id:
            element_id, definition_id = event.elements.get(element_id, element_id), event.definition_id
    return element_id, definition_id


def _jobs(packet: list[Statement], gathered: Gathered, changes: Changes) -> None:
    ended = [(job_id,) for job_id in (*gathered.jobs_ended, *changes.jobs_ended)]
    if ended:
        packet.append(_DROP_JOBS.of(ended))
    written = []
    for job_id, (root_id, job, facts) in gathered.jobs.items():
        if job_id not in gathered.jobs_new:
            job.element_id, facts.definition_id = _migrated(
                gathered, job.instance_id, job.element_id, facts.definition_id
            )
        suspended = changes.trees[root_id].instances[job.instance_id].state == st.SUSPENDED
        written.append(rows.job_row(root_id, job, facts, suspended=suspended))
    if written:
        packet.append(_JOBS.of(written))
    for job_id, due_at, repeat in changes.jobs_moved:
        due = text_of_moment(due_at)
        packet.append(_MOVE_JOB.of(due, due, repeat, job_id))
    for job_id, not_before, error in changes.jobs_postponed:
        packet.append(_POSTPONE_JOB.of(text_of_moment(not_before), error, job_id))


def _deliveries(packet: list[Statement], changes: Changes) -> None:
    if changes.deliveries_made:
        packet.append(_DROP_DELIVERIES.of(changes.deliveries_made))
    packet += [
        _FAIL_DELIVERY.of(failed.attempts, failed.error, text_of_moment(failed.due_at), failed.dead, *failed.key)
        for failed in changes.deliveries_failed
    ]


def _throws(accepted: Sequence[Accepted]) -> list[Statement]:
    found: list[Statement] = []
    for one in accepted:
        if not one.throw_ids:
            continue
        ids = iter(one.throw_ids)
        strict = isinstance(one.command, Throw) and bool(one.command.business_key)
        for event in one.events:
            if isinstance(event, ev.SignalThrown):
                found.append(_throw_signal(next(ids), one.root_id, event))
            elif isinstance(event, ev.MessageThrown):
                found.append(_throw_message(next(ids), event, strict=strict))
    return found


def _throw_signal(throw_id: str, root_id: str, event: ev.SignalThrown) -> Statement:
    at = text_of_moment(event.at)
    variables = encode_variables(variables_of(event.variables))
    throw = THROW_SIGNAL_LATER if event.asynchronous else THROW_SIGNAL
    return throw.of(throw_id, "", variables, at, at, event.name, event.tenant_id, root_id)


def _throw_message(throw_id: str, event: ev.MessageThrown, *, strict: bool) -> Statement:
    at = text_of_moment(event.at)
    variables = encode_variables(variables_of(event.variables))
    key = event.business_key
    return THROW_MESSAGE.of(throw_id, key, variables, at, at, event.name, event.tenant_id, strict, key, key)


def _note_row(note: Note) -> tuple[Any, ...]:
    return (*note[:-1], text_of_moment(note[-1]))


def _outbox_row(accepted: Accepted) -> tuple[Any, ...]:
    return (
        accepted.command_id,
        accepted.root_id,
        accepted.tenant_id,
        accepted.request_id or None,
        to_json(accepted.reply),
        accepted.payload,
        text_of_moment(accepted.at),
    )
