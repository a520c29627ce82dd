"""Notify's tables. The columns of a record's table are the fields of the record, in their order.

Texts that are not given are empty, never NULL; moments that are not given are NULL.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from mesh.bus.sql import dead_letter_table
from mesh.db.columns import (
    OPTIONS,
    flag_column,
    id_column,
    long_column,
    moment_column,
    new_metadata,
    number_column,
    text_column,
)
from mesh.db.types import sequence_number

metadata: Final = new_metadata()
ADDRESS_CHARACTERS: Final = 2000

task: Final = Table(
    "open_task",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("instance_id"),
    text_column("definition_key"),
    text_column("definition_name"),
    text_column("instance_name"),
    text_column("business_key"),
    text_column("tenant_id"),
    text_column("name"),
    long_column("description"),
    text_column("assignee"),
    text_column("owner"),
    number_column("priority"),
    moment_column("due_date", optional=True),
    long_column("candidates"),
    moment_column("created_at"),
    Index("ix_open_task_instance_id", "instance_id"),
    **OPTIONS,
)
"""A `records.Task`; `candidates` is JSON."""

process: Final = Table(
    "running_process",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    id_column("super_instance_id"),
    text_column("definition_key"),
    text_column("definition_name"),
    text_column("name"),
    text_column("business_key"),
    text_column("tenant_id"),
    text_column("start_user_id"),
    **OPTIONS,
)
"""A `records.Process`."""

notice: Final = Table(
    "notice",
    metadata,
    id_column("id", key=True),
    text_column("event", 32),
    id_column("task_id"),
    id_column("instance_id"),
    text_column("tenant_id"),
    text_column("occurrence", 64),
    moment_column("due_at"),
    number_column("attempts"),
    id_column("lease_owner"),
    long_column("facts"),
    Index("ix_notice_due_at", "due_at"),
    Index("ix_notice_task_id", "task_id"),
    **OPTIONS,
)
"""A `records.Notice`; `facts` is JSON. A planner that takes it moves `due_at` to the end of its lease."""

delivery: Final = Table(
    "delivery",
    metadata,
    id_column("id", key=True),
    text_column("event", 32),
    text_column("channel", 32),
    text_column("recipient"),
    text_column("address", ADDRESS_CHARACTERS),
    text_column("state", 16),
    number_column("attempts"),
    long_column("error"),
    long_column("subject"),
    moment_column("created_at"),
    moment_column("due_at", optional=True),
    moment_column("sent_at", optional=True),
    id_column("task_id"),
    id_column("instance_id"),
    text_column("definition_key"),
    id_column("digest_id"),
    number_column("resends"),
    text_column("tenant_id"),
    text_column("language", 35),
    id_column("lease_owner"),
    long_column("context"),
    Index("ix_delivery_due_at", "due_at"),
    Index("ix_delivery_created_at", "created_at"),
    Index("ix_delivery_recipient_created_at", "recipient", "created_at"),
    Index("ix_delivery_state_created_at", "state", "created_at"),
    Index("ix_delivery_event_created_at", "event", "created_at"),
    Index("ix_delivery_channel_created_at", "channel", "created_at"),
    Index("ix_delivery_tenant_id_created_at", "tenant_id", "created_at"),
    Index("ix_delivery_task_id", "task_id"),
    Index("ix_delivery_instance_id", "instance_id"),
    Index("ix_delivery_digest_id", "digest_id"),
    **OPTIONS,
)
"""A `records.Delivery`; `context` is JSON.

Its id is made of event, subject, recipient, channel, address and occurrence, so that nobody is told the same twice.
"""

template: Final = Table(
    "template",
    metadata,
    id_column("id", key=True),
    text_column("event", 32),
    text_column("channel", 32),
    text_column("language", 35),
    text_column("tenant_id"),
    long_column("subject"),
    long_column("text"),
    long_column("html"),
    moment_column("updated_at"),
    Index("ix_template_event_language", "event", "language"),
    Index("ix_template_tenant_id", "tenant_id"),
    Index("ix_template_language", "language"),
    Index("ix_template_channel", "channel"),
    **OPTIONS,
)
"""A `records.Template`. Its id is made of event, channel, language and tenant."""

preferences: Final = Table(
    "preferences",
    metadata,
    text_column("user_id", key=True),
    flag_column("incidents"),
    long_column("document"),
    moment_column("updated_at"),
    Index("ix_preferences_incidents", "incidents"),
    **OPTIONS,
)
"""A `records.Preferences` as JSON."""

applied: Final = Table(
    "applied_command",
    metadata,
    id_column("root_id", key=True),
    Column("sequence", sequence_number(), nullable=False),
    Index("ix_applied_command_sequence", "sequence"),
    **OPTIONS,
)
"""The last sequence of each root whose effects are here, written in their transaction."""

request: Final = Table(
    "answered_request",
    metadata,
    text_column("request_id", 128, key=True),
    text_column("method", 64),
    long_column("answer"),
    moment_column("answered_at"),
    text_column("user_id"),
    Index("ix_answered_request_answered_at", "answered_at"),
    Index("ix_answered_request_user_id", "user_id"),
    **OPTIONS,
)
"""What clients gave a `request_id`, so that a retry gets the first answer. `user_id`: whose data the answer shows."""

dead_letter: Final = dead_letter_table(metadata, "dead_letter", **OPTIONS)
"""Messages of the bus that notify could not take."""
