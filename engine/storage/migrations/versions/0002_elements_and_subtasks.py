"""Indexes by which jobs and subscriptions at an element, and the tasks below a task, are found."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the indexes by definition, and add the one by parent."""
    for table in ("job", "subscription"):
        op.create_index(f"ix_{table}_definition_id_element_id", table, ["definition_id", "element_id"])
        op.drop_index(f"ix_{table}_definition_id", table)
    op.create_index("ix_task_parent_task_id", "task", ["parent_task_id"])


def downgrade() -> None:
    """Go back to the indexes of the first release."""
    op.drop_index("ix_task_parent_task_id", "task")
    for table in ("job", "subscription"):
        op.create_index(f"ix_{table}_definition_id", table, ["definition_id"])
        op.drop_index(f"ix_{table}_definition_id_element_id", table)
