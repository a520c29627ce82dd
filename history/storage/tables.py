"""History's tables. The columns of a record's table are the fields of the record, in their order.

Texts that are not given are empty, never NULL; moments and durations that are not given are NULL.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Table

from history.storage.metadata import metadata
from mesh.bus.sql import dead_letter_table
from mesh.db.columns import OPTIONS, big_column, id_column, long_column, moment_column, number_column, text_column
from mesh.db.types import identifier, long_bytes, long_text, sequence_number, text

process_instance: Final = Table(
    "historic_process_instance",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("super_instance_id"),
    id_column("super_execution_id"),
    id_column("definition_id"),
    text_column("definition_key"),
    number_column("definition_version"),
    text_column("definition_name"),
    text_column("definition_category"),
    id_column("deployment_id"),
    text_column("name"),
    text_column("business_key"),
    text_column("business_status"),
    text_column("tenant_id"),
    text_column("start_user_id"),
    text_column("end_user_id"),
    text_column("start_activity_id"),
    text_column("end_activity_id"),
    moment_column("started_at"),
    moment_column("ended_at", optional=True),
    big_column("duration_ms", optional=True),
    Column("state", identifier(16), nullable=False),
    long_column("delete_reason"),
    text_column("callback_id"),
    text_column("callback_type"),
    text_column("reference_id"),
    text_column("reference_type"),
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
    Index("ix_historic_process_instance_definition_key_ended_at", "definition_key", "ended_at"),
    **OPTIONS,
)
"""A `records.ProcessInstance`."""

activity: Final = Table(
    "historic_activity",
    metadata,
    id_column("id", key=True),
    Column("ordinal", BigInteger(), nullable=False),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("parent_id"),
    id_column("definition_id"),
    text_column("element_id"),
    text_column("element_name"),
    text_column("element_type", 64),
    id_column("task_id"),
    id_column("called_instance_id"),
    text_column("assignee"),
    text_column("tenant_id"),
    moment_column("started_at"),
    moment_column("ended_at", optional=True),
    big_column("duration_ms", optional=True),
    Column("canceled", Boolean(), nullable=False),
    long_column("delete_reason"),
    Index("ix_historic_activity_instance_id", "instance_id"),
    Index("ix_historic_activity_definition_id", "definition_id"),
    Index("ix_historic_activity_element_id_ended_at", "element_id", "ended_at"),
    Index("ix_historic_activity_called_instance_id", "called_instance_id"),
    Index("ix_historic_activity_assignee", "assignee"),
    Index("ix_historic_activity_started_at_ordinal", "started_at", "ordinal"),
    Index("ix_historic_activity_ended_at", "ended_at"),
    Index("ix_historic_activity_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""A `records.Activity`."""

task: Final = Table(
    "historic_task",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    id_column("definition_id"),
    text_column("task_definition_key"),
    text_column("name"),
    long_column("description"),
    text_column("assignee"),
    text_column("owner"),
    number_column("priority"),
    moment_column("due_date", optional=True),
    text_column("category"),
    text_column("form_key"),
    id_column("parent_task_id"),
    text_column("tenant_id"),
    moment_column("created_at"),
    moment_column("claim_time", optional=True),
    moment_column("ended_at", optional=True),
    big_column("duration_ms", optional=True),
    long_column("delete_reason"),
    text_column("completed_by"),
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
    Index("ix_historic_task_ended_at_due_date", "ended_at", "due_date"),
    Index("ix_historic_task_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""A `records.Task`."""

variable: Final = Table(
    "historic_variable",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    id_column("execution_id"),
    id_column("task_id"),
    text_column("name"),
    Column("type", identifier(32), nullable=False),
    long_column("value"),
    Column("bytes", long_bytes(), nullable=True),
    Column("text_value", text(), nullable=True),
    Column("number_value", Double(), nullable=True),
    moment_column("created_at"),
    moment_column("updated_at"),
    number_column("revision"),
    text_column("tenant_id"),
    Index("ix_historic_variable_root_id", "root_id"),
    Index("ix_historic_variable_instance_id", "instance_id"),
    Index("ix_historic_variable_execution_id", "execution_id"),
    Index("ix_historic_variable_task_id", "task_id"),
    Index("ix_historic_variable_name_text_value", "name", "text_value"),
    Index("ix_historic_variable_text_value", "text_value"),
    Index("ix_historic_variable_tenant_id", "tenant_id"),
    **OPTIONS,
)
"""A `records.Variable`. `value` is JSON, `bytes` what is binary; `text_value` and `number_value` are for conditions:

text_value: the first 255 characters of a string, the shortest decimal form of a number, true or false, an ISO moment in
UTC. number_value: a number, 1 or 0 for a boolean, milliseconds since 1970 for a date.
"""

identity_link: Final = Table(
    "historic_identity_link",
    metadata,
    id_column("owner_id", key=True),
    text_column("kind", 64, key=True),
    text_column("user_id", key=True),
    text_column("group_id", key=True),
    id_column("root_id"),
    Index("ix_historic_identity_link_user_id", "user_id"),
    Index("ix_historic_identity_link_group_id", "group_id"),
    **OPTIONS,
)
"""A `records.IdentityLink`."""

applied: Final = Table(
    "applied_command",
    metadata,
    id_column("root_id", key=True),
    Column("sequence", sequence_number(), nullable=False),
    Index("ix_applied_command_sequence", "sequence"),
    **OPTIONS,
)
"""The last sequence of each root whose effects are here, written in their transaction. Outlives the root's history."""

request: Final = Table(
    "answered_request",
    metadata,
    text_column("request_id", 128, key=True),
    moment_column("answered_at"),
    Column("reply", long_text(), nullable=True),
    Index("ix_answered_request_answered_at", "answered_at"),
    **OPTIONS,
)
"""Changes that clients gave a `request_id`, so that a retry gets the first answer; `reply`: its JSON, if it has one."""

dead_letter: Final = dead_letter_table(metadata, "dead_letter", **OPTIONS)
"""Messages that history could not take."""
