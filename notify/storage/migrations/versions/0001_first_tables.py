"""The tables of the first release."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from mesh.db.types import UtcDateTime, long_bytes, long_text, sequence_number, text

revision = "0001"
down_revision = None
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
TABLES: Final = (
    "template",
    "running_process",
    "preferences",
    "open_task",
    "notice",
    "delivery",
    "dead_letter",
    "applied_command",
    "answered_request",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "answered_request",
        sa.Column("request_id", text(128), nullable=False),
        sa.Column("method", text(64), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_answered_request")),
        sa.Index("ix_answered_request_answered_at", "answered_at"),
        **OPTIONS,
    )
    op.create_table(
        "applied_command",
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("sequence", sequence_number(), nullable=False),
        sa.PrimaryKeyConstraint("root_id", name=op.f("pk_applied_command")),
        sa.Index("ix_applied_command_sequence", "sequence"),
        **OPTIONS,
    )
    op.create_table(
        "dead_letter",
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
        sa.PrimaryKeyConstraint("consumer_group", "sequence", name=op.f("pk_dead_letter")),
        **OPTIONS,
    )
    op.create_table(
        "delivery",
        sa.Column("id", text(64), nullable=False),
        sa.Column("event", text(32), nullable=False),
        sa.Column("channel", text(32), nullable=False),
        sa.Column("recipient", text(255), nullable=False),
        sa.Column("address", text(2000), nullable=False),
        sa.Column("state", text(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", long_text(), nullable=False),
        sa.Column("subject", long_text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("digest_id", text(64), nullable=False),
        sa.Column("resends", sa.Integer(), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("language", text(35), nullable=False),
        sa.Column("lease_owner", text(64), nullable=False),
        sa.Column("context", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.Index("ix_delivery_channel_created_at", "channel", "created_at"),
        sa.Index("ix_delivery_created_at", "created_at"),
        sa.Index("ix_delivery_digest_id", "digest_id"),
        sa.Index("ix_delivery_due_at", "due_at"),
        sa.Index("ix_delivery_event_created_at", "event", "created_at"),
        sa.Index("ix_delivery_instance_id", "instance_id"),
        sa.Index("ix_delivery_recipient_created_at", "recipient", "created_at"),
        sa.Index("ix_delivery_state_created_at", "state", "created_at"),
        sa.Index("ix_delivery_task_id", "task_id"),
        sa.Index("ix_delivery_tenant_id_created_at", "tenant_id", "created_at"),
        **OPTIONS,
    )
    op.create_table(
        "notice",
        sa.Column("id", text(64), nullable=False),
        sa.Column("event", text(32), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("occurrence", text(64), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_owner", text(64), nullable=False),
        sa.Column("facts", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.Index("ix_notice_due_at", "due_at"),
        sa.Index("ix_notice_task_id", "task_id"),
        **OPTIONS,
    )
    op.create_table(
        "open_task",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("definition_name", text(255), nullable=False),
        sa.Column("instance_name", text(255), nullable=False),
        sa.Column("business_key", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("assignee", text(255), nullable=False),
        sa.Column("owner", text(255), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_date", UtcDateTime(), nullable=True),
        sa.Column("candidates", long_text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_open_task")),
        sa.Index("ix_open_task_instance_id", "instance_id"),
        **OPTIONS,
    )
    op.create_table(
        "preferences",
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("incidents", sa.Boolean(), nullable=False),
        sa.Column("document", long_text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_preferences")),
        sa.Index("ix_preferences_incidents", "incidents"),
        **OPTIONS,
    )
    op.create_table(
        "running_process",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("super_instance_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("definition_name", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("business_key", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("start_user_id", text(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_running_process")),
        **OPTIONS,
    )
    op.create_table(
        "template",
        sa.Column("id", text(64), nullable=False),
        sa.Column("event", text(32), nullable=False),
        sa.Column("channel", text(32), nullable=False),
        sa.Column("language", text(35), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("subject", long_text(), nullable=False),
        sa.Column("text", long_text(), nullable=False),
        sa.Column("html", long_text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template")),
        sa.Index("ix_template_channel", "channel"),
        sa.Index("ix_template_event_language", "event", "language"),
        sa.Index("ix_template_language", "language"),
        sa.Index("ix_template_tenant_id", "tenant_id"),
        **OPTIONS,
    )


def downgrade() -> None:
    """Take them away."""
    for name in TABLES:
        op.drop_table(name)
