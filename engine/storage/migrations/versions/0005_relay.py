"""What the relay of the outbox keeps: facts, business events of the embedded bus, dead letters."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from mesh.db.types import UtcDateTime, long_bytes, long_text, sequence_number, text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "relay_fact",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("ended_sequence", sequence_number(), nullable=False),
        sa.Column("facts", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_fact")),
        **OPTIONS,
    )
    op.create_index("ix_relay_fact_root_id", "relay_fact", ["root_id"])
    op.create_index("ix_relay_fact_ended_sequence", "relay_fact", ["ended_sequence"])
    op.create_table(
        "business_event",
        sa.Column("position", sequence_number(), autoincrement=True, nullable=False),
        sa.Column("topic", text(64), nullable=False),
        sa.Column("event_id", text(128), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("payload", long_bytes(), nullable=False),
        sa.Column("headers", long_text(), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_business_event")),
        sa.UniqueConstraint("event_id", name=op.f("uq_business_event_event_id")),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_index("ix_business_event_topic_position", "business_event", ["topic", "position"])
    op.create_table(
        "engine_dead_letter",
        sa.Column("consumer_group", text(64), nullable=False),
        sa.Column("sequence", sequence_number(), autoincrement=False, nullable=False),
        sa.Column("topic", text(255), nullable=False),
        sa.Column("message_key", text(255), nullable=False),
        sa.Column("event_id", text(64), nullable=False),
        sa.Column("occurred_at", UtcDateTime(), nullable=False),
        sa.Column("headers", long_text(), nullable=False),
        sa.Column("payload", long_bytes(), nullable=False),
        sa.Column("error", long_text(), nullable=False),
        sa.Column("tries", sequence_number(), nullable=False),
        sa.Column("parked_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("consumer_group", "sequence", name=op.f("pk_engine_dead_letter")),
        **OPTIONS,
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("engine_dead_letter", "business_event", "relay_fact"):
        op.drop_table(table)
