"""Tables of sagas. A saga is one row whose `body` holds its plan and where it stands as readable JSON."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, UniqueConstraint

from engine.storage.tables import metadata
from mesh.db.types import UtcDateTime, identifier, long_text, text

_OPTIONS: Final[dict[str, Any]] = {
    f"{prefix}_{name}": value
    for prefix in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
NAME_LENGTH: Final = 64

saga: Final = Table(
    "saga",
    metadata,
    Column("id", identifier(), primary_key=True, nullable=False),
    Column("name", identifier(32), nullable=False),
    Column("state", identifier(32), nullable=False),
    Column("lane", identifier(32), nullable=False),
    Column("instance_id", identifier(), nullable=False),
    Column("definition_key", text(), nullable=False),
    Column("task_id", identifier(), nullable=False),
    Column("tenant_id", text(), nullable=False),
    Column("owner", text(), nullable=False),
    Column("token", identifier(), nullable=False),
    Column("available_at", UtcDateTime(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("ended_at", UtcDateTime(), nullable=True),
    Column("body", long_text(), nullable=False),
    Index("ix_saga_lane_available_at", "lane", "available_at"),
    Index("ix_saga_instance_id", "instance_id"),
    Index("ix_saga_definition_key", "definition_key"),
    Index("ix_saga_task_id", "task_id"),
    Index("ix_saga_created_at", "created_at"),
    **_OPTIONS,
)
"""A saga. `lane`: open, bad (over, and a person may go on) or over. `available_at`: from when on somebody may take it:
the end of the lease while it is held (`owner`, `token`), else when it is due, or when it ended."""

transaction_log: Final = Table(
    "transaction_log",
    metadata,
    Column("saga_id", identifier(), primary_key=True, nullable=False),
    Column("number", Integer(), primary_key=True, autoincrement=False, nullable=False),
    Column("step_id", text(), nullable=False),
    Column("state", identifier(32), nullable=False),
    Column("attempt", Integer(), nullable=False),
    Column("started_at", UtcDateTime(), nullable=False),
    Column("ended_at", UtcDateTime(), nullable=False),
    Column("duration_ms", Integer(), nullable=False),
    Column("error", long_text(), nullable=False),
    **_OPTIONS,
)
"""What happened in sagas, each in the order of `number`. An empty `step_id` concerns the saga as a whole."""

saga_participant: Final = Table(
    "saga_participant",
    metadata,
    Column("id", identifier(), primary_key=True, nullable=False),
    Column("name", text(NAME_LENGTH), nullable=False),
    Column("saga_name", text(32), nullable=False),
    Column("definition_key", text(), nullable=False),
    Column("tenant_id", text(), nullable=False),
    Column("target", text(), nullable=False),
    Column("topic", text(), nullable=False),
    Column("timeout_seconds", Double(), nullable=False),
    Column("tries", Integer(), nullable=False),
    Column("position", Integer(), nullable=False),
    Column("compensates", Boolean(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    UniqueConstraint("name", "saga_name", "definition_key", "tenant_id"),
    **_OPTIONS,
)
"""Who takes part in which saga. Few rows: all of them are kept in memory."""
