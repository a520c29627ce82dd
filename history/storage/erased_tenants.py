"""Deleting all that the database has of a tenant: one statement a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from history.app.deleting import ERASED
from history.model.erasure import Rows
from history.model.ids import tenant_digest
from history.storage import erasure_tables
from mesh.db.statements import Insert, Sql, Statement
from mesh.db.writer import Writer
from mesh.errors import FailedPrecondition

_RUNNING: Final = Sql("SELECT id FROM historic_process_instance WHERE tenant_id = ? AND ended_at IS NULL LIMIT 1")
_OPEN_TASK: Final = Sql("SELECT id FROM historic_task WHERE tenant_id = ? AND ended_at IS NULL LIMIT 1")
_FORGET: Final = tuple(
    Sql(f"REPLACE INTO forgotten (id, reason, forgotten_at) SELECT id, '{ERASED}', ? FROM {table} WHERE tenant_id = ?")
    for table in ("historic_process_instance", "historic_task")
)
_PUT_FORGOTTEN: Final = Insert(erasure_tables.forgotten, replace=True)
_PUT_TENANT: Final = Insert(erasure_tables.erased_person, replace=True)
_OF_OWNERS: Final = (
    ("historic_identity_link", "owner_id", "historic_process_instance"),
    ("historic_identity_link", "owner_id", "historic_task"),
    ("historic_comment", "instance_id", "historic_process_instance"),
    ("historic_comment", "task_id", "historic_task"),
    ("statistic_duration", "id", "statistic_day"),
)
_OWN: Final = (
    "historic_detail",
    "historic_task_log",
    "historic_variable",
    "historic_activity",
    "historic_task",
    "historic_process_instance",
    "search_term",
    "statistic_day",
    "statistic_user_day",
    "statistic_open",
    "archive_policy",
)
_DROP: Final = (
    *(
        (table, Sql(f"DELETE FROM {table} WHERE {column} IN (SELECT id FROM {owner} WHERE tenant_id = ?)"))
        for table, column, owner in _OF_OWNERS
    ),
    *((table, Sql(f"DELETE FROM {table} WHERE tenant_id = ?")) for table in _OWN),
)


def check_over(writer: Writer, tenant_id: str) -> None:
    """Raise FailedPrecondition while something of the tenant is open."""
    for result in writer.run([_RUNNING.of(tenant_id), _OPEN_TASK.of(tenant_id)]):
        if result.rows:
            message = f"expected everything of the tenant to be over, found '{result.rows[0][0]}' open"
            raise FailedPrecondition("tenant-active", message, tenant_id=tenant_id)


def drop_tenant(writer: Writer, tenant_id: str, archived: Sequence[str], now: str) -> dict[str, Rows]:
    """Delete, remember what is gone, and count; `archived`: instances of the tenant that were in the archive."""
    packet: list[Statement] = [sql.of(now, tenant_id) for sql in _FORGET]
    packet.append(_PUT_TENANT.of([(tenant_digest(tenant_id), "", False, now)]))
    if archived:
        packet.append(_PUT_FORGOTTEN.of(sorted((key, ERASED, now) for key in archived)))
    writer.run(packet)
    results = writer.run([sql.of(tenant_id) for _, sql in _DROP])
    counts: dict[str, Rows] = {}
    for (table, _), result in zip(_DROP, results, strict=True):
        before = counts[table].deleted if table in counts else 0
        if result.affected > 0 or before:
            counts[table] = Rows(table=table, deleted=before + result.affected)
    return counts
