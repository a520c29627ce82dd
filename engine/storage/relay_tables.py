"""Tables of the relay: what it knows of what it shipped, business events where no broker keeps them, dead letters."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Table, UniqueConstraint

from engine.storage.tables import metadata
from mesh.bus.sql import dead_letter_table
from mesh.db.types import UtcDateTime, identifier, long_bytes, long_text, sequence_number

_OPTIONS: Final[dict[str, Any]] = {
    f"{prefix}_{name}": value
    for prefix in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

relay_fact: Final = Table(
    "relay_fact",
    metadata,
    Column("id", identifier(), primary_key=True, nullable=False),
    Column("root_id", identifier(), nullable=False),
    Column("ended_sequence", sequence_number(), nullable=False),
    Column("facts", long_text(), nullable=False),
    Index("ix_relay_fact_root_id", "root_id"),
    Index("ix_relay_fact_ended_sequence", "ended_sequence"),
    **_OPTIONS,
)
"""An instance or a task as it was told (`engine.app.relaying.Fact` as JSON).

`ended_sequence`: of the row that ended it, 0 while it lives. It goes when the relay's offset is beyond that row: until
then the row may come again.
"""

business_event: Final = Table(
    "business_event",
    metadata,
    Column("position", sequence_number(), primary_key=True, autoincrement=True),
    Column("topic", identifier(), nullable=False),
    Column("event_id", identifier(128), nullable=False),
    Column("root_id", identifier(), nullable=False),
    Column("payload", long_bytes(), nullable=False),
    Column("headers", long_text(), nullable=False),
    Column("occurred_at", UtcDateTime(), nullable=False),
    UniqueConstraint("event_id"),
    Index("ix_business_event_topic_position", "topic", "position"),
    sqlite_autoincrement=True,
    **_OPTIONS,
)
"""The business topics of the embedded bus; written only once somebody has subscribed to one."""

dead_letter: Final = dead_letter_table(metadata, "engine_dead_letter", **_OPTIONS)
"""Outbox rows that the relay could not ship, with those behind them."""
