"""Details, task log and remarks; statistics, archive, erasure, search and rebuilds."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from mesh.db.types import UtcDateTime, long_bytes, long_text, text

revision = "0002"
down_revision = "0001"
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
    "archive_file",
    "archive_policy",
    "archived_instance",
    "erased_person",
    "erased_variable",
    "erasure",
    "forgotten",
    "historic_comment",
    "historic_detail",
    "historic_task_log",
    "rebuild",
    "rebuild_root",
    "search_term",
    "statistic_day",
    "statistic_duration",
    "statistic_open",
    "statistic_user_day",
)
INDEXES: Final = (
    ("historic_task", "ix_historic_task_ended_at_due_date", ["ended_at", "due_date"]),
    ("historic_task", "ix_historic_task_tenant_id", ["tenant_id"]),
    ("historic_activity", "ix_historic_activity_tenant_id", ["tenant_id"]),
    ("historic_variable", "ix_historic_variable_tenant_id", ["tenant_id"]),
    (
        "historic_process_instance",
        "ix_historic_process_instance_definition_key_ended_at",
        ["definition_key", "ended_at"],
    ),
)


def upgrade() -> None:
    """Make the tables; old variables count their values from now on, and a rebuild finds their tenants."""
    op.add_column("historic_variable", sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("historic_variable", sa.Column("tenant_id", text(255), nullable=False, server_default=""))
    op.add_column("answered_request", sa.Column("reply", long_text(), nullable=True))
    for table, name, columns in INDEXES:
        op.create_index(name, table, columns)
    _logs()
    _statistics()
    _archive()
    _others()


def _logs() -> None:
    op.create_table(
        "historic_comment",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("author", text(255), nullable=False),
        sa.Column("message", long_text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_comment")),
        sa.Index("ix_historic_comment_author", "author"),
        sa.Index("ix_historic_comment_instance_id", "instance_id"),
        sa.Index("ix_historic_comment_root_id", "root_id"),
        sa.Index("ix_historic_comment_task_id", "task_id"),
        **OPTIONS,
    )
    op.create_table(
        "historic_detail",
        sa.Column("id", text(64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("activity_id", text(64), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("variable_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("type", text(32), nullable=False),
        sa.Column("value", long_text(), nullable=False),
        sa.Column("bytes", long_bytes(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_detail")),
        sa.Index("ix_historic_detail_activity_id", "activity_id"),
        sa.Index("ix_historic_detail_execution_id", "execution_id"),
        sa.Index("ix_historic_detail_instance_id_ordinal", "instance_id", "ordinal"),
        sa.Index("ix_historic_detail_name", "name"),
        sa.Index("ix_historic_detail_recorded_at_ordinal", "recorded_at", "ordinal"),
        sa.Index("ix_historic_detail_task_id", "task_id"),
        sa.Index("ix_historic_detail_tenant_id", "tenant_id"),
        sa.Index("ix_historic_detail_variable_id", "variable_id"),
        **OPTIONS,
    )
    op.create_table(
        "historic_task_log",
        sa.Column("id", text(64), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("task_id", text(64), nullable=False),
        sa.Column("execution_id", text(64), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("type", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("data", long_text(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_historic_task_log")),
        sa.Index("ix_historic_task_log_definition_id", "definition_id"),
        sa.Index("ix_historic_task_log_instance_id", "instance_id"),
        sa.Index("ix_historic_task_log_ordinal", "ordinal"),
        sa.Index("ix_historic_task_log_recorded_at", "recorded_at"),
        sa.Index("ix_historic_task_log_task_id", "task_id"),
        sa.Index("ix_historic_task_log_tenant_id", "tenant_id"),
        sa.Index("ix_historic_task_log_type", "type"),
        sa.Index("ix_historic_task_log_user_id", "user_id"),
        **OPTIONS,
    )


def _statistics() -> None:
    op.create_table(
        "statistic_day",
        sa.Column("id", text(64), nullable=False),
        sa.Column("day", text(10), nullable=False),
        sa.Column("kind", text(16), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("element_name", text(255), nullable=False),
        sa.Column("element_type", text(64), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("canceled", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("duration_count", sa.BigInteger(), nullable=False),
        sa.Column("duration_sum_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statistic_day")),
        sa.Index("ix_statistic_day_definition_id", "definition_id"),
        sa.Index("ix_statistic_day_kind_day", "kind", "day"),
        sa.Index("ix_statistic_day_kind_definition_key_day", "kind", "definition_key", "day"),
        sa.Index("ix_statistic_day_tenant_id", "tenant_id"),
        **OPTIONS,
    )
    op.create_table(
        "statistic_duration",
        sa.Column("id", text(64), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "bucket", name=op.f("pk_statistic_duration")),
        **OPTIONS,
    )
    op.create_table(
        "statistic_open",
        sa.Column("id", text(64), nullable=False),
        sa.Column("kind", text(16), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("element_id", text(255), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("open", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statistic_open")),
        sa.Index("ix_statistic_open_kind_definition_key", "kind", "definition_key"),
        sa.Index("ix_statistic_open_kind_user_id", "kind", "user_id"),
        sa.Index("ix_statistic_open_tenant_id", "tenant_id"),
        **OPTIONS,
    )
    op.create_table(
        "statistic_user_day",
        sa.Column("id", text(64), nullable=False),
        sa.Column("day", text(10), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("assigned", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("work_count", sa.BigInteger(), nullable=False),
        sa.Column("work_sum_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statistic_user_day")),
        sa.Index("ix_statistic_user_day_day", "day"),
        sa.Index("ix_statistic_user_day_tenant_id", "tenant_id"),
        sa.Index("ix_statistic_user_day_user_id_day", "user_id", "day"),
        **OPTIONS,
    )


def _archive() -> None:
    op.create_table(
        "archive_file",
        sa.Column("id", text(64), nullable=False),
        sa.Column("path", long_text(), nullable=False),
        sa.Column("sha256", text(64), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archive_file")),
        **OPTIONS,
    )
    op.create_table(
        "archive_policy",
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("changed_by", text(255), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "definition_key", name=op.f("pk_archive_policy")),
        **OPTIONS,
    )
    op.create_table(
        "archived_instance",
        sa.Column("id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("file_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("definition_id", text(64), nullable=False),
        sa.Column("definition_key", text(255), nullable=False),
        sa.Column("business_key", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("start_user_id", text(255), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("state", text(16), nullable=False),
        sa.Column("archived_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_instance")),
        sa.Index("ix_archived_instance_archived_at", "archived_at"),
        sa.Index("ix_archived_instance_business_key", "business_key"),
        sa.Index("ix_archived_instance_definition_key_ended_at", "definition_key", "ended_at"),
        sa.Index("ix_archived_instance_ended_at", "ended_at"),
        sa.Index("ix_archived_instance_file_id", "file_id"),
        sa.Index("ix_archived_instance_root_id", "root_id"),
        sa.Index("ix_archived_instance_start_user_id", "start_user_id"),
        sa.Index("ix_archived_instance_tenant_id", "tenant_id"),
        **OPTIONS,
    )


def _others() -> None:
    op.create_table(
        "erased_person",
        sa.Column("person", text(64), nullable=False),
        sa.Column("replacement", text(255), nullable=False),
        sa.Column("with_comments", sa.Boolean(), nullable=False),
        sa.Column("erased_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_erased_person")),
        **OPTIONS,
    )
    op.create_table(
        "erased_variable",
        sa.Column("variable_id", text(64), nullable=False),
        sa.Column("erased_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("variable_id", name=op.f("pk_erased_variable")),
        **OPTIONS,
    )
    op.create_table(
        "erasure",
        sa.Column("id", text(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", text(16), nullable=False),
        sa.Column("subject", text(64), nullable=False),
        sa.Column("requested_by", text(255), nullable=False),
        sa.Column("erased_at", UtcDateTime(), nullable=False),
        sa.Column("counts", long_text(), nullable=False),
        sa.Column("previous_hash", text(64), nullable=False),
        sa.Column("hash", text(64), nullable=False),
        sa.Column("signature", text(64), nullable=False),
        sa.Column("request_id", text(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
        sa.Index("ix_erasure_number", "number", unique=True),
        sa.Index("ix_erasure_request_id", "request_id"),
        sa.Index("ix_erasure_subject", "subject"),
        **OPTIONS,
    )
    op.create_table(
        "forgotten",
        sa.Column("id", text(64), nullable=False),
        sa.Column("reason", text(16), nullable=False),
        sa.Column("forgotten_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgotten")),
        **OPTIONS,
    )
    op.create_table(
        "rebuild",
        sa.Column("id", text(64), nullable=False),
        sa.Column("state", text(16), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("requested_by", text(255), nullable=False),
        sa.Column("error", long_text(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rebuild")),
        sa.Index("ix_rebuild_started_at", "started_at"),
        sa.Index("ix_rebuild_state", "state"),
        **OPTIONS,
    )
    op.create_table(
        "rebuild_root",
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("has_start", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("root_id", name=op.f("pk_rebuild_root")),
        **OPTIONS,
    )
    op.create_table(
        "search_term",
        sa.Column("owner_id", text(64), nullable=False),
        sa.Column("field", text(270), nullable=False),
        sa.Column("term", text(64), nullable=False),
        sa.Column("instance_id", text(64), nullable=False),
        sa.Column("root_id", text(64), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "field", "term", name=op.f("pk_search_term")),
        sa.Index("ix_search_term_instance_id", "instance_id"),
        sa.Index("ix_search_term_root_id", "root_id"),
        sa.Index("ix_search_term_tenant_id", "tenant_id"),
        sa.Index("ix_search_term_term_owner_id_field", "term", "owner_id", "field"),
        **OPTIONS,
    )


def downgrade() -> None:
    """Take them away again."""
    for name in TABLES:
        op.drop_table(name)
    for table, name, _ in INDEXES:
        op.drop_index(name, table)
    op.drop_column("answered_request", "reply")
    op.drop_column("historic_variable", "tenant_id")
    op.drop_column("historic_variable", "revision")
