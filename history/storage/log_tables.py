"""Tables of what was said and done one by one: values of variables, what was done with tasks, remarks."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Index, Table

from history.storage.metadata import metadata
from mesh.db.columns import OPTIONS, big_column, id_column, long_column, moment_column, number_column, text_column
from mesh.db.types import identifier, long_bytes

detail: Final = Table(
    "historic_detail",
    metadata,
    id_column("id", key=True),
    big_column("ordinal"),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    id_column("activity_id"),
    id_column("task_id"),
    id_column("variable_id"),
    text_column("name"),
    Column("type", identifier(32), nullable=False),
    long_column("value"),
    Column("bytes", long_bytes(), nullable=True),
    number_column("revision"),
    text_column("tenant_id"),
    moment_column("recorded_at"),
    Index("ix_historic_detail_instance_id_ordinal", "instance_id", "ordinal"),
    Index("ix_historic_detail_execution_id", "execution_id"),
    Index("ix_historic_detail_activity_id", "activity_id"),
    Index("ix_historic_detail_task_id", "task_id"),
    Index("ix_historic_detail_variable_id", "variable_id"),
    Index("ix_historic_detail_name", "name"),
    Index("ix_historic_detail_tenant_id", "tenant_id"),
    Index("ix_historic_detail_recorded_at_ordinal", "recorded_at", "ordinal"),
    **OPTIONS,
)
"""A `records.Detail`: one value that a variable had."""

task_log: Final = Table(
    "historic_task_log",
    metadata,
    id_column("id", key=True),
    big_column("ordinal"),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("task_id"),
    id_column("execution_id"),
    id_column("definition_id"),
    text_column("tenant_id"),
    text_column("type", 64),
    text_column("user_id"),
    long_column("data"),
    moment_column("recorded_at"),
    Index("ix_historic_task_log_ordinal", "ordinal"),
    Index("ix_historic_task_log_instance_id", "instance_id"),
    Index("ix_historic_task_log_task_id", "task_id"),
    Index("ix_historic_task_log_definition_id", "definition_id"),
    Index("ix_historic_task_log_tenant_id", "tenant_id"),
    Index("ix_historic_task_log_type", "type"),
    Index("ix_historic_task_log_user_id", "user_id"),
    Index("ix_historic_task_log_recorded_at", "recorded_at"),
    **OPTIONS,
)
"""A `records.TaskLogEntry`."""

comment: Final = Table(
    "historic_comment",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("task_id"),
    text_column("author"),
    long_column("message"),
    moment_column("created_at"),
    Column("told", Boolean(), nullable=False),
    Index("ix_historic_comment_root_id", "root_id"),
    Index("ix_historic_comment_instance_id", "instance_id"),
    Index("ix_historic_comment_task_id", "task_id"),
    Index("ix_historic_comment_author", "author"),
    **OPTIONS,
)
"""A `records.Comment`. `told`: the engine told of it; what was said to history itself is no part of the stream."""
