"""The gate that keeps recorders out while a rebuild is under way, in whatever process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mesh.db.columns import OPTIONS
from mesh.db.types import UtcDateTime, text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the gate, open."""
    gate = op.create_table(
        "rebuild_gate",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ticket", text(64), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebuild_gate")),
        **OPTIONS,
    )
    op.bulk_insert(gate, [{"id": 1, "ticket": "", "lease_until": None}])


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("rebuild_gate")
