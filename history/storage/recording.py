"""What a batch writes, as statements: one for each table and kind of change, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from history.app.batches import Changes
from history.app.counting import Counted
from history.model.records import Comment, Detail, TaskLogEntry
from history.model.search import SearchEntry, words_of
from history.storage import codec, log_tables, search_tables, statistics_tables, tables
from history.storage.adding import AddUp
from history.storage.rows import ACTIVITIES, INSTANCES, PUT_VARIABLES, TASKS, variable_row
from mesh.db.statements import Delete, Insert, Row, Sql, Statement
from mesh.db.types import text_of_moment

PUT_LINKS: Final = Insert(tables.identity_link, ("owner_id", "kind", "user_id", "group_id", "root_id"), replace=True)
PUT_DETAILS: Final = Insert(log_tables.detail, replace=True)
PUT_TASK_LOG: Final = Insert(log_tables.task_log, replace=True)
PUT_COMMENTS: Final = Insert(log_tables.comment, replace=True)
PUT_TERMS: Final = Insert(search_tables.term, replace=True)
DROP_VARIABLES: Final = Delete((tables.variable, ("id",)))
DROP_LINKS: Final = Delete((tables.identity_link, ("owner_id", "kind", "user_id", "group_id")))
DROP_COMMENTS: Final = Delete((log_tables.comment, ("id",)))
DROP_TERMS: Final = Delete((search_tables.term, ("owner_id", "field")))
_PUT_APPLIED: Final = Insert(tables.applied, replace=True)
_MOVE_ACTIVITIES: Final = Sql("UPDATE historic_activity SET definition_id = ? WHERE instance_id IN ?*")
_MOVE_TASKS: Final = Sql("UPDATE historic_task SET definition_id = ? WHERE instance_id IN ?*")
_COUNTERS: Final = ("started", "completed", "canceled", "failed", "duration_count", "duration_sum_ms")
_ADD_DAYS: Final = AddUp(statistics_tables.statistic, _COUNTERS)
_ADD_DURATIONS: Final = AddUp(statistics_tables.duration, ("count",))
ADD_WORK: Final = AddUp(statistics_tables.workload, ("assigned", "completed", "work_count", "work_sum_ms"))
ADD_STANDING: Final = AddUp(statistics_tables.standing, ("open",))
_DROP_STANDING: Final = Sql("DELETE FROM statistic_open WHERE id IN ?* AND `open` = 0")


def statements(changes: Changes, *, with_terms: bool) -> list[Statement]:
    """All that a batch changes; `with_terms`: the words for searching too."""
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
        packet.append(DROP_VARIABLES.of([(key,) for key in changes.removed_variables]))
    if changes.variables:
        packet.append(PUT_VARIABLES.of([variable_row(record) for record in changes.variables]))
    if changes.removed_links:
        keys = [(link.owner_id, link.kind, link.user_id, link.group_id) for link in changes.removed_links]
        packet.append(DROP_LINKS.of(keys))
    if changes.links:
        rows = [(link.owner_id, link.kind, link.user_id, link.group_id, link.root_id) for link in changes.links]
        packet.append(PUT_LINKS.of(rows))
    packet += _logs(changes)
    packet += _statistics(changes.counted)
    if with_terms:
        packet += term_statements(changes.entries)
    return packet


def _logs(changes: Changes) -> list[Statement]:
    packet: list[Statement] = []
    if changes.details:
        packet.append(PUT_DETAILS.of([detail_row(record) for record in changes.details]))
    if changes.task_log:
        packet.append(PUT_TASK_LOG.of([task_log_row(record) for record in changes.task_log]))
    if changes.removed_comments:
        packet.append(DROP_COMMENTS.of([(key,) for key in changes.removed_comments]))
    if changes.comments:
        packet.append(PUT_COMMENTS.of([comment_row(record) for record in changes.comments]))
    return packet


def _statistics(counted: Counted) -> list[Statement]:
    packet: list[Statement] = []
    if counted.days:
        rows: list[Row] = [
            (
                key.id,
                *key,
                c.element_name,
                c.element_type,
                c.started,
                c.completed,
                c.canceled,
                c.failed,
                c.duration_count,
                c.duration_sum_ms,
            )
            for key, c in counted.days.items()
        ]
        packet.append(_ADD_DAYS.of(sorted(rows)))
    if counted.durations:
        packet.append(
            _ADD_DURATIONS.of(sorted((k.id, bucket, count) for (k, bucket), count in counted.durations.items()))
        )
    if counted.users:
        work: list[Row] = [
            (key.id, *key, c.assigned, c.completed, c.work_count, c.work_sum_ms) for key, c in counted.users.items()
        ]
        packet.append(ADD_WORK.of(sorted(work)))
    standing: list[Row] = sorted((key.id, *key, delta) for key, delta in counted.standing.items() if delta)
    if standing:
        packet.append(ADD_STANDING.of(standing))
        packet.append(_DROP_STANDING.of([row[0] for row in standing]))
    return packet


def term_statements(entries: Sequence[SearchEntry]) -> list[Statement]:
    """Put the words of these texts in the place of those that their fields had."""
    if not entries:
        return []
    packet: list[Statement] = [DROP_TERMS.of(sorted((entry.owner_id, entry.field) for entry in entries))]
    rows: list[Row] = [
        (entry.owner_id, entry.field, word, entry.instance_id, entry.root_id, entry.tenant_id)
        for entry in entries
        for word in words_of(entry.text)
    ]
    if rows:
        packet.append(PUT_TERMS.of(sorted(rows)))
    return packet


def detail_row(record: Detail) -> Row:
    """A detail as values of a row."""
    value = codec.encode(record.type, record.value)
    return (
        record.id,
        record.ordinal,
        record.root_id,
        record.instance_id,
        record.execution_id,
        record.activity_id,
        record.task_id,
        record.variable_id,
        record.name,
        record.type,
        value.value,
        value.bytes,
        record.revision,
        record.tenant_id,
        text_of_moment(record.recorded_at),
    )


def task_log_row(record: TaskLogEntry) -> Row:
    """A log entry as values of a row."""
    return (
        record.id,
        record.ordinal,
        record.root_id,
        record.instance_id,
        record.task_id,
        record.execution_id,
        record.definition_id,
        record.tenant_id,
        record.type,
        record.user_id,
        record.data,
        text_of_moment(record.recorded_at),
    )


def comment_row(record: Comment) -> Row:
    """A remark as values of a row."""
    return (
        record.id,
        record.root_id,
        record.instance_id,
        record.task_id,
        record.author,
        record.message,
        text_of_moment(record.created_at),
        record.told,
    )
