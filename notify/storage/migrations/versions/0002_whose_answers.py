"""Answers to requests know whose data they show."""

import sqlalchemy as sa
from alembic import op

from mesh.db.types import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What was answered before is nobody's: it is over after the retention of answers."""
    op.add_column("answered_request", sa.Column("user_id", text(255), nullable=False, server_default=""))
    op.create_index("ix_answered_request_user_id", "answered_request", ["user_id"])


def downgrade() -> None:
    """Forget whose they are."""
    op.drop_index("ix_answered_request_user_id", "answered_request")
    op.drop_column("answered_request", "user_id")
