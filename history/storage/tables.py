"""History's tables. The columns of a record's table are the fields of the record, in their order.

Texts that are not given are empty, never NULL; moments and durations that are not given are NULL.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, Table

from mesh.bus.sql import dead_letter_table
from mesh.db.types import UtcDateTime, identifier, long_bytes, long_text, sequence_number, text

metadata: Final = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})
_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _id(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, identifier(), primary_key=key, nullable=False)


def _text(name: str, length: int = 255, *, key: bool = False) -> Column[str]:
    return Column(name, text(length), primary_key=key, nullable=False)


def _long(name: str) -> Column[str]:
    return Column(name, long_text(), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Integer(), nullable=False)


def _moment(name: str, *, optional: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime(), nullable=optional)


def _duration() -> Column[int]:
    return Column("duration_ms", BigInteger(), nullable=True)


process_instance: Final = Table(
    "historic_process_instance",
    metadata,
    _id("id", key=True),
    _id("root_id"),
    _id("super_instance_id"),
    _id("super_execution_id"),
    _id("definition_id"),
    _text("definition_key"),
    _number("definition_version"),
    _text("definition_name"),
    _text("definition_category"),
    _id("deployment_id"),
    _text("name"),
    _text("business_key"),
    _text("business_status"),
    _text("tenant_id"),
    _text("start_user_id"),
    _text("end_user_id"),
    _text("start_activity_id"),
    _text("end_activity_id"),
    _moment("started_at"),
    _moment("ended_at", optional=True),
    _duration(),
    Column("state", identifier(16), nullable=False),
    _long("delete_reason"),
    _text("callback_id"),
    _text("callback_type"),
    _text("reference_id"),
    _text("reference_type"),
    Index("ix_historic_process_instance_root_id", "root_id"),
    Index("ix_historic_process_instance_super_instance_id", "super_instance_id"),
    Index("ix_historic_process_instance_definition_id", "definition_id"),
    Index("ix_historic_process_instance_definition_key", "definition_key"),
    Index("ix_historic_process_instance_deployment_id", "deployment_id"),
    Index("ix_historic_process_instance_name", "name"),
    Index("ix_historic_process_instance_business_key", "business_key"),
    Index("ix_historic_process_instance_business_status", "business_status"),
    Index("ix_historic_process_instance_start_user_id", "start_user_id"),
    Index("ix_historic_process_instance_end_user_id", "end_user_id"),
    Index("ix_historic_process_instance_started_at", "started_at"),
    Index("ix_historic_process_instance_ended_at", "ended_at"),
    Index("ix_historic_process_instance_duration_ms", "duration_ms"),
    Index("ix_historic_process_instance_state", "state"),
    Index("ix_historic_process_instance_tenant_id", "tenant_id"),
    Index("ix_historic_process_instance_callback_id", "callback_id"),
    Index("ix_historic_process_instance_reference_id", "reference_id"),
    **_OPTIONS,
)
"""A `records.ProcessInstance`."""

activity: Final = Table(
    "historic_activity",
    metadata,
    _id("id", key=True),
    Column("ordinal", BigInteger(), nullable=False),
    _id("root_id"),
    _id("instance_id"),
    _id("parent_id"),
    _id("definition_id"),
    _text("element_id"),
    _text("element_name"),
    _text("element_type", 64),
    _id("task_id"),
    _id("called_instance_id"),
    _text("assignee"),
    _text("tenant_id"),
    _moment("started_at"),
    _moment("ended_at", optional=True),
    _duration(),
    Column("canceled", Boolean(), nullable=False),
    _long("delete_reason"),
    Index("ix_historic_activity_instance_id", "instance_id"),
    Index("ix_historic_activity_definition_id", "definition_id"),
    Index("ix_historic_activity_element_id_ended_at", "element_id", "ended_at"),
    Index("ix_historic_activity_called_instance_id", "called_instance_id"),
    Index("ix_historic_activity_assignee", "assignee"),
    Index("ix_historic_activity_started_at_ordinal", "started_at", "ordinal"),
    Index("ix_historic_activity_ended_at", "ended_at"),
    **_OPTIONS,
)
"""A `records.Activity`."""

task: Final = Table(
    "historic_task",
    metadata,
    _id("id", key=True),
    _id("root_id"),
    _id("instance_id"),
    _id("execution_id"),
    _id("definition_id"),
    _text("task_definition_key"),
    _text("name"),
    _long("description"),
    _text("assignee"),
    _text("owner"),
    _number("priority"),
    _moment("due_date", optional=True),
    _text("category"),
    _text("form_key"),
    _id("parent_task_id"),
    _text("tenant_id"),
    _moment("created_at"),
    _moment("claim_time", optional=True),
    _moment("ended_at", optional=True),
    _duration(),
    _long("delete_reason"),
    _text("completed_by"),
    Index("ix_historic_task_root_id", "root_id"),
    Index("ix_historic_task_instance_id", "instance_id"),
    Index("ix_historic_task_execution_id", "execution_id"),
    Index("ix_historic_task_definition_id", "definition_id"),
    Index("ix_historic_task_task_definition_key", "task_definition_key"),
    Index("ix_historic_task_name", "name"),
    Index("ix_historic_task_assignee", "assignee"),
    Index("ix_historic_task_owner", "owner"),
    Index("ix_historic_task_due_date", "due_date"),
    Index("ix_historic_task_parent_task_id", "parent_task_id"),
    Index("ix_historic_task_created_at", "created_at"),
    Index("ix_historic_task_ended_at", "ended_at"),
    Index("ix_historic_task_completed_by", "completed_by"),
    **_OPTIONS,
)
"""A `records.Task`."""

variable: Final = Table(
    "historic_variable",
    metadata,
    _id("id", key=True),
    _id("root_id"),
    _id("instance_id"),
    _id("execution_id"),
    _id("task_id"),
    _text("name"),
    Column("type", identifier(32), nullable=False),
    _long("value"),
    Column("bytes", long_bytes(), nullable=True),
    Column("text_value", text(), nullable=True),
    Column("number_value", Double(), nullable=True),
    _moment("created_at"),
    _moment("updated_at"),
    Index("ix_historic_variable_root_id", "root_id"),
    Index("ix_historic_variable_instance_id", "instance_id"),
    Index("ix_historic_variable_execution_id", "execution_id"),
    Index("ix_historic_variable_task_id", "task_id"),
    Index("ix_historic_variable_name_text_value", "name", "text_value"),
    Index("ix_historic_variable_text_value", "text_value"),
    **_OPTIONS,
)
"""A `records.Variable`. `value` is JSON, `bytes` what is binary; `text_value` and `number_value` are for conditions:

text_value: the first 255 characters of a string, the shortest decimal form of a number, true or false, an ISO moment in
UTC. number_value: a number, 1 or 0 for a boolean, milliseconds since 1970 for a date.
"""

identity_link: Final = Table(
    "historic_identity_link",
    metadata,
    _id("owner_id", key=True),
    _text("kind", 64, key=True),
    _text("user_id", key=True),
    _text("group_id", key=True),
    _id("root_id"),
    Index("ix_historic_identity_link_user_id", "user_id"),
    Index("ix_historic_identity_link_group_id", "group_id"),
    **_OPTIONS,
)
"""A `records.IdentityLink`."""

applied: Final = Table(
    "applied_command",
    metadata,
    _id("root_id", key=True),
    Column("sequence", sequence_number(), nullable=False),
    Index("ix_applied_command_sequence", "sequence"),
    **_OPTIONS,
)
"""The last sequence of each root whose effects are here, written in their transaction. Outlives the root's history."""

request: Final = Table(
    "answered_request",
    metadata,
    _text("request_id", 128, key=True),
    _moment("answered_at"),
    Index("ix_answered_request_answered_at", "answered_at"),
    **_OPTIONS,
)
"""Deletions that clients gave a `request_id`, so that a retry gets the first answer."""

dead_letter: Final = dead_letter_table(metadata, "dead_letter", **_OPTIONS)
"""Messages that history could not take."""
