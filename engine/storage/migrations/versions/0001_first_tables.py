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
    "variable",
    "task",
    "subscription",
    "resource",
    "process_definition",
    "outbox",
    "job",
    "instance",
    "identity_link",
    "engine_property",
    "deployment",
    "delivery",
    "comment",
    "bus_offset",
    "answer",
)


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "answer",
        sa.Column("request_id", text(128), nullable=False),
        sa.Column("reply", long_text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_answer")),
        **OPTIONS,
    )
    op.create_index("ix_answer_created_at", "answer", ["created_at"])
    op.create_table(
        "bus_offset",
        sa.Column("consumer_group", text(255), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sequence_number(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("consumer_group", "partition", name=op.f("pk_bus_offset")),
        **OPTIONS,
    )
    op.create_table(
        "comment",
        sa.Column("id", text(64), nullable=False),
        sa.Column("kind", text(32), nullable=False),
        sa.Column("action", text(32), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("author", text(255), nullable=False),
        sa.Column("parts", long_text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
        **OPTIONS,
    )
    op.create_index("ix_comment_instance_id", "comment", ["instance_id"])
    op.create_index("ix_comment_task_id", "comment", ["task_id"])
    op.create_table(
        "delivery",
        sa.Column("throw_id", text(64), nullable=False),
        sa.Column("subscription_id", text(64), nullable=False),
        sa.Column("kind", text(32), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("business_key", text(255), nullable=False),
        sa.Column("variables", long_text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("error", long_text(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("throw_id", "subscription_id", name=op.f("pk_delivery")),
        **OPTIONS,
    )
    op.create_index("ix_delivery_dead_due_at", "delivery", ["dead", "due_at"])
    op.create_index("ix_delivery_root_id", "delivery", ["root_id"])
    op.create_table(
        "deployment",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("category", text(255), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("parent_deployment_id", text(64), nullable=False),
        sa.Column("deployed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        **OPTIONS,
    )
    op.create_index("ix_deployment_deployed_at", "deployment", ["deployed_at"])
    op.create_index("ix_deployment_name", "deployment", ["name"])
    op.create_table(
        "engine_property",
        sa.Column("name", text(255), nullable=False),
        sa.Column("value", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_engine_property")),
        **OPTIONS,
    )
    op.create_table(
        "identity_link",
        sa.Column("owner_id", text(64), nullable=False),
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("kind", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("group_id", text(255), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "id", name=op.f("pk_identity_link")),
        **OPTIONS,
    )
    op.create_index("ix_identity_link_group_id_kind", "identity_link", ["group_id", "kind"])
    op.create_index("ix_identity_link_user_id_kind", "identity_link", ["user_id", "kind"])
    op.create_table(
        "instance",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("super_instance_id", text(64), nullable=False),
        sa.Column("super_execution_id", text(64), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("definition_name", text(255), nullable=False),
        sa.Column("definition_version", sa.Integer(), nullable=False),
        sa.Column("business_key", text(255), nullable=False),
        sa.Column("business_status", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("start_user_id", text(255), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("state", text(32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("tokens", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        **OPTIONS,
    )
    op.create_index("ix_instance_business_key", "instance", ["business_key"])
    op.create_index("ix_instance_definition_id", "instance", ["definition_id"])
    op.create_index("ix_instance_definition_key", "instance", ["definition_key"])
    op.create_index("ix_instance_name", "instance", ["name"])
    op.create_index("ix_instance_root_id", "instance", ["root_id"])
    op.create_index("ix_instance_started_at", "instance", ["started_at"])
    op.create_index("ix_instance_state", "instance", ["state"])
    op.create_table(
        "job",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("element_name", text(255), nullable=False),
        sa.Column("kind", text(32), nullable=False),
        sa.Column("handler", text(64), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("repeat", text(255), nullable=False),
        sa.Column("topic", text(255), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("error", long_text(), nullable=False),
        sa.Column("error_details", long_text(), nullable=False),
        sa.Column("lock_owner", text(255), nullable=False),
        sa.Column("lock_token", text(64), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("payload", long_text(), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("lane", text(32), nullable=False),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        **OPTIONS,
    )
    op.create_index("ix_job_definition_id", "job", ["definition_id"])
    op.create_index("ix_job_due_at", "job", ["due_at"])
    op.create_index("ix_job_execution_id", "job", ["execution_id"])
    op.create_index("ix_job_instance_id", "job", ["instance_id"])
    op.create_index("ix_job_lane_topic_available_at", "job", ["lane", "topic", "available_at"])
    op.create_table(
        "outbox",
        sa.Column("sequence", sequence_number(), autoincrement=True, nullable=False),
        sa.Column("command_id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("request_id", text(128), nullable=True),
        sa.Column("reply", long_text(), nullable=False),
        sa.Column("events", long_bytes(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox")),
        sa.UniqueConstraint("command_id", name=op.f("uq_outbox_command_id")),
        sa.UniqueConstraint("request_id", name=op.f("uq_outbox_request_id")),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_table(
        "process_definition",
        sa.Column("id", text(64), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("category", text(255), nullable=False),
        sa.Column("deployment_id", text(64), nullable=False),
        sa.Column("resource_name", text(255), nullable=False),
        sa.Column("diagram_resource_name", text(255), nullable=False),
        sa.Column("start_form_key", text(255), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_process_definition")),
        sa.UniqueConstraint("key", "tenant_id", "version", name=op.f("uq_process_definition_key_tenant_id_version")),
        **OPTIONS,
    )
    op.create_index("ix_process_definition_deployment_id", "process_definition", ["deployment_id"])
    op.create_table(
        "resource",
        sa.Column("deployment_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("bytes", long_bytes(), nullable=False),
        sa.Column("generated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "name", name=op.f("pk_resource")),
        **OPTIONS,
    )
    op.create_table(
        "subscription",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("kind", text(32), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("configuration", text(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        **OPTIONS,
    )
    op.create_index("ix_subscription_definition_id", "subscription", ["definition_id"])
    op.create_index("ix_subscription_execution_id", "subscription", ["execution_id"])
    op.create_index("ix_subscription_instance_id", "subscription", ["instance_id"])
    op.create_index("ix_subscription_name_kind_tenant_id", "subscription", ["name", "kind", "tenant_id"])
    op.create_table(
        "task",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("assignee", text(255), nullable=False),
        sa.Column("owner", text(255), nullable=False),
        sa.Column("delegation", text(32), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("category", text(255), nullable=False),
        sa.Column("form_key", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("parent_task_id", text(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=True),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        **OPTIONS,
    )
    op.create_index("ix_task_assignee", "task", ["assignee"])
    op.create_index("ix_task_created_at", "task", ["created_at"])
    op.create_index("ix_task_due_at", "task", ["due_at"])
    op.create_index("ix_task_element_id", "task", ["element_id"])
    op.create_index("ix_task_execution_id", "task", ["execution_id"])
    op.create_index("ix_task_instance_id", "task", ["instance_id"])
    op.create_index("ix_task_name", "task", ["name"])
    op.create_table(
        "variable",
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("scope_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("leaf", sa.Boolean(), nullable=False),
        sa.Column("type", text(32), nullable=False),
        sa.Column("value", long_text(), nullable=False),
        sa.Column("text_value", text(255), nullable=True),
        sa.Column("number_value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("root_id", "scope_id", "name", name=op.f("pk_variable")),
        **OPTIONS,
    )
    op.create_index("ix_variable_name_text_value", "variable", ["name", "text_value"])
    op.create_index("ix_variable_root_id_leaf", "variable", ["root_id", "leaf"])
    op.create_index("ix_variable_scope_id", "variable", ["scope_id"])


def downgrade() -> None:
    """Drop them."""
    for name in TABLES:
        op.drop_table(name)
