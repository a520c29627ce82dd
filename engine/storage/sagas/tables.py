"""Tables of sagas. A saga is one row whose `body` holds its plan and where it stands as readable JSON."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Double, Index, Integer, Table, UniqueConstraint

from engine.storage.tables import metadata
from mesh.db.columns import (
    OPTIONS,
    flag_column,
    id_column,
    long_column,
    moment_column,
    number_column,
    text_column,
    word_column,
)

NAME_LENGTH: Final = 64

saga: Final = Table(
    "saga",
    metadata,
    id_column("id", key=True),
    word_column("name"),
    word_column("state"),
    word_column("lane"),
    id_column("instance_id"),
    text_column("definition_key"),
    id_column("task_id"),
    text_column("tenant_id"),
    text_column("owner"),
    id_column("token"),
    moment_column("available_at"),
    moment_column("created_at"),
    moment_column("ended_at", optional=True),
    long_column("body"),
    Index("ix_saga_lane_available_at", "lane", "available_at"),
    Index("ix_saga_instance_id", "instance_id"),
    Index("ix_saga_definition_key", "definition_key"),
    Index("ix_saga_task_id", "task_id"),
    Index("ix_saga_created_at", "created_at"),
    **OPTIONS,
)
"""A saga. `lane`: open, bad (over, and a person may go on) or over. `available_at`: from when on somebody may take it:
the end of the lease while it is held (`owner`, `token`), else when it is due, or when it ended."""

transaction_log: Final = Table(
    "transaction_log",
    metadata,
    id_column("saga_id", key=True),
    Column("number", Integer(), primary_key=True, autoincrement=False, nullable=False),
    text_column("step_id"),
    word_column("state"),
    number_column("attempt"),
    moment_column("started_at"),
    moment_column("ended_at"),
    number_column("duration_ms"),
    long_column("error"),
    **OPTIONS,
)
"""What happened in sagas, each in the order of `number`. An empty `step_id` concerns the saga as a whole."""

saga_participant: Final = Table(
    "saga_participant",
    metadata,
    id_column("id", key=True),
    text_column("name", NAME_LENGTH),
    text_column("saga_name", 32),
    text_column("definition_key"),
    text_column("tenant_id"),
    text_column("target"),
    text_column("topic"),
    Column("timeout_seconds", Double(), nullable=False),
    number_column("tries"),
    number_column("position"),
    flag_column("compensates"),
    moment_column("created_at"),
    UniqueConstraint("name", "saga_name", "definition_key", "tenant_id"),
    **OPTIONS,
)
"""Who takes part in which saga. Few rows: all of them are kept in memory."""
