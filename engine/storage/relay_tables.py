"""Tables of the relay: what it knows of what it shipped, business events where no broker keeps them, dead letters."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table, UniqueConstraint

from engine.storage.tables import metadata
from mesh.bus.sql import dead_letter_table
from mesh.db.columns import OPTIONS, id_column, long_column, moment_column
from mesh.db.types import identifier, long_bytes, sequence_number

relay_fact: Final = Table(
    "relay_fact",
    metadata,
    id_column("id", key=True),
    id_column("root_id"),
    Column("ended_sequence", sequence_number(), nullable=False),
    long_column("facts"),
    Index("ix_relay_fact_root_id", "root_id"),
    Index("ix_relay_fact_ended_sequence", "ended_sequence"),
    **OPTIONS,
)
"""An instance or a task as it was told (`engine.app.relaying.Fact` as JSON).

`ended_sequence`: of the row that ended it, 0 while it lives. It goes when the relay's offset is beyond that row: until
then the row may come again.
"""

business_event: Final = Table(
    "business_event",
    metadata,
    Column("position", sequence_number(), primary_key=True, autoincrement=True),
    id_column("topic"),
    Column("event_id", identifier(128), nullable=False),
    id_column("root_id"),
    Column("payload", long_bytes(), nullable=False),
    long_column("headers"),
    moment_column("occurred_at"),
    UniqueConstraint("event_id"),
    Index("ix_business_event_topic_position", "topic", "position"),
    sqlite_autoincrement=True,
    **OPTIONS,
)
"""The business topics of the embedded bus; written only once somebody has subscribed to one."""

dead_letter: Final = dead_letter_table(metadata, "engine_dead_letter", **OPTIONS)
"""Outbox rows that the relay could not ship, with those behind them."""
