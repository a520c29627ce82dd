"""The tables of the first release."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from mesh.db.types import UtcDateTime, long_bytes, long_text, text

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
    "form_answered_request",
    "form_definition",
    "form_deployment",
    "form_instance",
    "form_resource",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "form_answered_request",
        sa.Column("request_id", text(128), nullable=False),
        sa.Column("kind", text(64), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_form_answered_request")),
        sa.Index("ix_form_answered_request_answered_at", "answered_at"),
        **OPTIONS,
    )
    op.create_table(
        "form_definition",
        sa.Column("id", text(64), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", long_text(), nullable=False),
        sa.Column("category", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("deployment_id", text(64), nullable=False),
        sa.Column("parent_deployment_id", text(64), nullable=False),
        sa.Column("resource_name", text(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_form_definition")),
        sa.UniqueConstraint("key", "tenant_id", "version", name=op.f("uq_form_definition_key_tenant_id_version")),
        sa.Index("ix_form_definition_category", "category"),
        sa.Index("ix_form_definition_deployment_id", "deployment_id"),
        sa.Index("ix_form_definition_name", "name"),
        sa.Index("ix_form_definition_parent_deployment_id_key", "parent_deployment_id", "key"),
        sa.Index("ix_form_definition_resource_name", "resource_name"),
        sa.Index("ix_form_definition_tenant_id", "tenant_id"),
        sa.Index("ix_form_definition_version", "version"),
        **OPTIONS,
    )
    op.create_table(
        "form_deployment",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("category", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("parent_deployment_id", text(64), nullable=True),
        sa.Column("state", text(16), nullable=False),
        sa.Column("deployed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_form_deployment")),
        sa.UniqueConstraint("parent_deployment_id", name=op.f("uq_form_deployment_parent_deployment_id")),
        sa.Index("ix_form_deployment_category", "category"),
        sa.Index("ix_form_deployment_deployed_at", "deployed_at"),
        sa.Index("ix_form_deployment_name", "name"),
        sa.Index("ix_form_deployment_state_deployed_at", "state", "deployed_at"),
        sa.Index("ix_form_deployment_tenant_id", "tenant_id"),
        **OPTIONS,
    )
    op.create_table(
        "form_instance",
        sa.Column("id", text(64), nullable=False),
        sa.Column("saga_id", text(128), nullable=False),
        sa.Column("step_id", text(128), nullable=False),
        sa.Column("state", text(16), nullable=False),
        sa.Column("form_definition_id", text(64), nullable=False),
        sa.Column("form_key", text(255), nullable=False),
        sa.Column("form_version", sa.Integer(), nullable=False),
        sa.Column("outcome", text(255), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("process_instance_id", text(64), nullable=False),
        sa.Column("process_definition_id", text(64), nullable=False),
        sa.Column("submitted_by", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("submitted_at", UtcDateTime(), nullable=False),
        sa.Column("content", long_text(), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_form_instance")),
        sa.UniqueConstraint("saga_id", "step_id", name=op.f("uq_form_instance_saga_id_step_id")),
        sa.Index("ix_form_instance_form_definition_id", "form_definition_id"),
        sa.Index("ix_form_instance_form_key", "form_key"),
        sa.Index("ix_form_instance_process_definition_id", "process_definition_id"),
        sa.Index("ix_form_instance_process_instance_id", "process_instance_id"),
        sa.Index("ix_form_instance_state_created_at", "state", "created_at"),
        sa.Index("ix_form_instance_submitted_at", "submitted_at"),
        sa.Index("ix_form_instance_submitted_by", "submitted_by"),
        sa.Index("ix_form_instance_task_id", "task_id"),
        sa.Index("ix_form_instance_tenant_id", "tenant_id"),
        **OPTIONS,
    )
    op.create_table(
        "form_resource",
        sa.Column("deployment_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("data", long_bytes(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "name", name=op.f("pk_form_resource")),
        **OPTIONS,
    )


def downgrade() -> None:
    """Take them away."""
    for name in TABLES:
        op.drop_table(name)
