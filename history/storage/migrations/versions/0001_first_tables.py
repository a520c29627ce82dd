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
    "historic_variable",
    "historic_task",
    "historic_process_instance",
    "historic_identity_link",
    "historic_activity",
    "dead_letter",
    "applied_command",
    "answered_request",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "answered_request",
        sa.Column("request_id", text(128), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_answered_request")),
        **OPTIONS,
    )
    op.create_index("ix_answered_request_answered_at", "answered_request", ["answered_at"])

    op.create_table(
        "applied_command",
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("sequence", sequence_number(), nullable=False),
        sa.PrimaryKeyConstraint("root_id", name=op.f("pk_applied_command")),
        **OPTIONS,
    )
    op.create_index("ix_applied_command_sequence", "applied_command", ["sequence"])

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
        "historic_activity",
        sa.Column("id", text(64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("parent_id", text(64), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("element_name", text(255), nullable=False),
        sa.Column("element_type", text(64), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("called_instance_id", text(64), nullable=False),
        sa.Column("assignee", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("canceled", sa.Boolean(), nullable=False),
        sa.Column("delete_reason", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_activity")),
        **OPTIONS,
    )
    op.create_index("ix_historic_activity_assignee", "historic_activity", ["assignee"])
    op.create_index("ix_historic_activity_called_instance_id", "historic_activity", ["called_instance_id"])
    op.create_index("ix_historic_activity_definition_id", "historic_activity", ["definition_id"])
    op.create_index("ix_historic_activity_element_id_ended_at", "historic_activity", ["element_id", "ended_at"])
    op.create_index("ix_historic_activity_ended_at", "historic_activity", ["ended_at"])
    op.create_index("ix_historic_activity_instance_id", "historic_activity", ["instance_id"])
    op.create_index("ix_historic_activity_started_at_ordinal", "historic_activity", ["started_at", "ordinal"])

    op.create_table(
        "historic_identity_link",
        sa.Column("owner_id", text(64), nullable=False),
        sa.Column("kind", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("group_id", text(255), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "kind", "user_id", "group_id", name=op.f("pk_historic_identity_link")),
        **OPTIONS,
    )
    op.create_index("ix_historic_identity_link_group_id", "historic_identity_link", ["group_id"])
    op.create_index("ix_historic_identity_link_user_id", "historic_identity_link", ["user_id"])

    op.create_table(
        "historic_process_instance",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("super_instance_id", text(64), nullable=False),
        sa.Column("super_execution_id", text(64), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("definition_version", sa.Integer(), nullable=False),
        sa.Column("definition_name", text(255), nullable=False),
        sa.Column("definition_category", text(255), nullable=False),
        sa.Column("deployment_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("business_key", text(255), nullable=False),
        sa.Column("business_status", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("start_user_id", text(255), nullable=False),
        sa.Column("end_user_id", text(255), nullable=False),
        sa.Column("start_activity_id", text(255), nullable=False),
        sa.Column("end_activity_id", text(255), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("state", text(16), nullable=False),
        sa.Column("delete_reason", long_text(), nullable=False),
        sa.Column("callback_id", text(255), nullable=False),
        sa.Column("callback_type", text(255), nullable=False),
        sa.Column("reference_id", text(255), nullable=False),
        sa.Column("reference_type", text(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_process_instance")),
        **OPTIONS,
    )
    op.create_index("ix_historic_process_instance_business_key", "historic_process_instance", ["business_key"])
    op.create_index("ix_historic_process_instance_business_status", "historic_process_instance", ["business_status"])
    op.create_index("ix_historic_process_instance_callback_id", "historic_process_instance", ["callback_id"])
    op.create_index("ix_historic_process_instance_definition_id", "historic_process_instance", ["definition_id"])
    op.create_index("ix_historic_process_instance_definition_key", "historic_process_instance", ["definition_key"])
    op.create_index("ix_historic_process_instance_deployment_id", "historic_process_instance", ["deployment_id"])
    op.create_index("ix_historic_process_instance_duration_ms", "historic_process_instance", ["duration_ms"])
    op.create_index("ix_historic_process_instance_end_user_id", "historic_process_instance", ["end_user_id"])
    op.create_index("ix_historic_process_instance_ended_at", "historic_process_instance", ["ended_at"])
    op.create_index("ix_historic_process_instance_name", "historic_process_instance", ["name"])
    op.create_index("ix_historic_process_instance_reference_id", "historic_process_instance", ["reference_id"])
    op.create_index("ix_historic_process_instance_root_id", "historic_process_instance", ["root_id"])
    op.create_index("ix_historic_process_instance_start_user_id", "historic_process_instance", ["start_user_id"])
    op.create_index("ix_historic_process_instance_started_at", "historic_process_instance", ["started_at"])
    op.create_index("ix_historic_process_instance_state", "historic_process_instance", ["state"])
    op.create_index(
        "ix_historic_process_instance_super_instance_id", "historic_process_instance", ["super_instance_id"]
    )
    op.create_index("ix_historic_process_instance_tenant_id", "historic_process_instance", ["tenant_id"])

    op.create_table(
        "historic_task",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("task_definition_key", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("assignee", text(255), nullable=False),
        sa.Column("owner", text(255), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_date", UtcDateTime(), nullable=True),
        sa.Column("category", text(255), nullable=False),
        sa.Column("form_key", text(255), nullable=False),
        sa.Column("parent_task_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("claim_time", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("delete_reason", long_text(), nullable=False),
        sa.Column("completed_by", text(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_task")),
        **OPTIONS,
    )
    op.create_index("ix_historic_task_assignee", "historic_task", ["assignee"])
    op.create_index("ix_historic_task_completed_by", "historic_task", ["completed_by"])
    op.create_index("ix_historic_task_created_at", "historic_task", ["created_at"])
    op.create_index("ix_historic_task_definition_id", "historic_task", ["definition_id"])
    op.create_index("ix_historic_task_due_date", "historic_task", ["due_date"])
    op.create_index("ix_historic_task_ended_at", "historic_task", ["ended_at"])
    op.create_index("ix_historic_task_execution_id", "historic_task", ["execution_id"])
    op.create_index("ix_historic_task_instance_id", "historic_task", ["instance_id"])
    op.create_index("ix_historic_task_name", "historic_task", ["name"])
    op.create_index("ix_historic_task_owner", "historic_task", ["owner"])
    op.create_index("ix_historic_task_parent_task_id", "historic_task", ["parent_task_id"])
    op.create_index("ix_historic_task_root_id", "historic_task", ["root_id"])
    op.create_index("ix_historic_task_task_definition_key", "historic_task", ["task_definition_key"])

    op.create_table(
        "historic_variable",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("type", text(32), nullable=False),
        sa.Column("value", long_text(), nullable=False),
        sa.Column("bytes", long_bytes(), nullable=True),
        sa.Column("text_value", text(255), nullable=True),
        sa.Column("number_value", sa.Double(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_variable")),
        **OPTIONS,
    )
    op.create_index("ix_historic_variable_execution_id", "historic_variable", ["execution_id"])
    op.create_index("ix_historic_variable_instance_id", "historic_variable", ["instance_id"])
    op.create_index("ix_historic_variable_name_text_value", "historic_variable", ["name", "text_value"])
    op.create_index("ix_historic_variable_root_id", "historic_variable", ["root_id"])
    op.create_index("ix_historic_variable_task_id", "historic_variable", ["task_id"])
    op.create_index("ix_historic_variable_text_value", "historic_variable", ["text_value"])


def downgrade() -> None:
    """Take them away."""
    for name in TABLES:
        op.drop_table(name)
