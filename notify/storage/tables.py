"""Notify's tables. The columns of a record's table are the fields of the record, in their order.

Texts that are not given are empty, never NULL; moments that are not given are NULL.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, Column, Index, Integer, MetaData, Table

from mesh.bus.sql import dead_letter_table
from mesh.db.types import UtcDateTime, identifier, long_text, sequence_number, text

metadata: Final = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})
ADDRESS_CHARACTERS: Final = 2000
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


task: Final = Table(
    "open_task",
    metadata,
    _id("id", key=True),
    _id("root_id"),
    _id("instance_id"),
    _text("definition_key"),
    _text("definition_name"),
    _text("instance_name"),
    _text("business_key"),
    _text("tenant_id"),
    _text("name"),
    _long("description"),
    _text("assignee"),
    _text("owner"),
    _number("priority"),
    _moment("due_date", optional=True),
    _long("candidates"),
    _moment("created_at"),
    Index("ix_open_task_instance_id", "instance_id"),
    **_OPTIONS,
)
"""A `records.Task`; `candidates` is JSON."""

process: Final = Table(
    "running_process",
    metadata,
    _id("id", key=True),
    _id("root_id"),
    _id("super_instance_id"),
    _text("definition_key"),
    _text("definition_name"),
    _text("name"),
    _text("business_key"),
    _text("tenant_id"),
    _text("start_user_id"),
    **_OPTIONS,
)
"""A `records.Process`."""

notice: Final = Table(
    "notice",
    metadata,
    _id("id", key=True),
    _text("event", 32),
    _id("task_id"),
    _id("instance_id"),
    _text("tenant_id"),
    _text("occurrence", 64),
    _moment("due_at"),
    _number("attempts"),
    _id("lease_owner"),
    _long("facts"),
    Index("ix_notice_due_at", "due_at"),
    Index("ix_notice_task_id", "task_id"),
    **_OPTIONS,
)
"""A `records.Notice`; `facts` is JSON. A planner that takes it moves `due_at` to the end of its lease."""

delivery: Final = Table(
    "delivery",
    metadata,
    _id("id", key=True),
    _text("event", 32),
    _text("channel", 32),
    _text("recipient"),
    _text("address", ADDRESS_CHARACTERS),
    _text("state", 16),
    _number("attempts"),
    _long("error"),
    _long("subject"),
    _moment("created_at"),
    _moment("due_at", optional=True),
    _moment("sent_at", optional=True),
    _id("task_id"),
    _id("instance_id"),
    _text("definition_key"),
    _id("digest_id"),
    _number("resends"),
    _text("tenant_id"),
    _text("language", 35),
    _id("lease_owner"),
    _long("context"),
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
    **_OPTIONS,
)
"""A `records.Delivery`; `context` is JSON.

Its id is made of event, subject, recipient, channel, address and occurrence, so that nobody is told the same twice.
"""

template: Final = Table(
    "template",
    metadata,
    _id("id", key=True),
    _text("event", 32),
    _text("channel", 32),
    _text("language", 35),
    _text("tenant_id"),
    _long("subject"),
    _long("text"),
    _long("html"),
    _moment("updated_at"),
    Index("ix_template_event_language", "event", "language"),
    Index("ix_template_tenant_id", "tenant_id"),
    Index("ix_template_language", "language"),
    Index("ix_template_channel", "channel"),
    **_OPTIONS,
)
"""A `records.Template`. Its id is made of event, channel, language and tenant."""

preferences: Final = Table(
    "preferences",
    metadata,
    _text("user_id", key=True),
    Column("incidents", Boolean(), nullable=False),
    _long("document"),
    _moment("updated_at"),
    Index("ix_preferences_incidents", "incidents"),
    **_OPTIONS,
)
"""A `records.Preferences` as JSON."""

applied: Final = Table(
    "applied_command",
    metadata,
    _id("root_id", key=True),
    Column("sequence", sequence_number(), nullable=False),
    Index("ix_applied_command_sequence", "sequence"),
    **_OPTIONS,
)
"""The last sequence of each root whose effects are here, written in their transaction."""

request: Final = Table(
    "answered_request",
    metadata,
    _text("request_id", 128, key=True),
    _text("method", 64),
    _long("answer"),
    _moment("answered_at"),
    _text("user_id"),
    Index("ix_answered_request_answered_at", "answered_at"),
    Index("ix_answered_request_user_id", "user_id"),
    **_OPTIONS,
)
"""What clients gave a `request_id`, so that a retry gets the first answer. `user_id`: whose data the answer shows."""

dead_letter: Final = dead_letter_table(metadata, "dead_letter", **_OPTIONS)
"""Messages of the bus that notify could not take."""
