"""Whose rows they are is asked for in every list: by tenant, and by the owner of a task."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = (("instance", "tenant_id"), ("task", "tenant_id"), ("task", "owner"), ("job", "tenant_id"))


def upgrade() -> None:
    """Add the indexes."""
    for table, column in INDEXES:
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    """Take them away."""
    for table, column in INDEXES:
        op.drop_index(f"ix_{table}_{column}", table)
