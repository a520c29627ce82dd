"""Sagas, their log, and who takes part in them."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from mesh.db.types import UtcDateTime, long_text, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OPTIONS: Final[dict[str, Any]] = {
    f"{prefix}_{name}": value
    for prefix in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
INDEXES: Final = (("lane", "available_at"), ("instance_id",), ("definition_key",), ("task_id",), ("created_at",))


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "saga",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(32), nullable=False),
        sa.Column("state", text(32), nullable=False),
        sa.Column("lane", text(32), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("owner", text(255), nullable=False),
        sa.Column("token", text(64), nullable=False),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("body", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga")),
        **OPTIONS,
    )
    for columns in INDEXES:
        op.create_index(f"ix_saga_{'_'.join(columns)}", "saga", list(columns))
    op.create_table(
        "transaction_log",
        sa.Column("saga_id", text(64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step_id", text(255), nullable=False),
        sa.Column("state", text(32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("error", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("saga_id", "number", name=op.f("pk_transaction_log")),
        **OPTIONS,
    )
    op.create_table(
        "saga_participant",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("saga_name", text(32), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("target", text(255), nullable=False),
        sa.Column("topic", text(255), nullable=False),
        sa.Column("timeout_seconds", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("compensates", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saga_participant")),
        sa.UniqueConstraint(
            "name",
            "saga_name",
            "definition_key",
            "tenant_id",
            name=op.f("uq_saga_participant_name_saga_name_definition_key_tenant_id"),
        ),
        **OPTIONS,
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("saga_participant", "transaction_log", "saga"):
        op.drop_table(name)
