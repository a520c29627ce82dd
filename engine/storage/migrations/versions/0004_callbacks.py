"""Where an instance is found by what it stands for elsewhere: its callback and its reference."""

import sqlalchemy as sa
from alembic import op

from mesh.db.types import text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both ids, empty for what is there, and their indexes."""
    for name in ("callback_id", "reference_id"):
        with op.batch_alter_table("instance") as table:
            table.add_column(sa.Column(name, text(255), nullable=False, server_default=""))
        with op.batch_alter_table("instance") as table:
            table.alter_column(name, existing_type=text(255), existing_nullable=False, server_default=None)
        op.create_index(f"ix_instance_{name}", "instance", [name])


def downgrade() -> None:
    """Take them away."""
    for name in ("callback_id", "reference_id"):
        op.drop_index(f"ix_instance_{name}", "instance")
        with op.batch_alter_table("instance") as table:
            table.drop_column(name)
