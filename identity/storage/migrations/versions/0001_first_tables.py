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
    "identity_user_privilege",
    "identity_user_info",
    "identity_user",
    "identity_tenant",
    "identity_signing_key",
    "identity_session",
    "identity_revoked_token",
    "identity_refresh_token",
    "identity_privilege",
    "identity_picture",
    "identity_password",
    "identity_membership",
    "identity_latch",
    "identity_invalidation",
    "identity_group_privilege",
    "identity_group",
    "identity_attempts",
    "identity_api_token",
    "identity_answer",
)
LATCHES: Final = ("administrators", "signing-keys")


def upgrade() -> None:
    """Make the tables, and the rows that are locked."""
    _people()
    _tokens()
    latch = sa.table("identity_latch", sa.column("name", sa.String()))
    op.bulk_insert(latch, [{"name": name} for name in LATCHES])


def downgrade() -> None:
    """Drop the tables."""
    for name in TABLES:
        op.drop_table(name)


def _people() -> None:
    op.create_table(
        "identity_group",
        sa.Column("id", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("type", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_group")),
        sa.Index("ix_identity_group_name", "name"),
        sa.Index("ix_identity_group_tenant_id", "tenant_id"),
        sa.Index("ix_identity_group_type", "type"),
        **OPTIONS,
    )
    op.create_table(
        "identity_group_privilege",
        sa.Column("group_id", text(255), nullable=False),
        sa.Column("privilege_id", text(64), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "privilege_id", name=op.f("pk_identity_group_privilege")),
        sa.Index("ix_identity_group_privilege_privilege_id", "privilege_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_membership",
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("group_id", text(255), nullable=False),
        sa.Column("from_issuer", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_identity_membership")),
        sa.Index("ix_identity_membership_group_id", "group_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_password",
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("hash", text(255), nullable=False),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_identity_password")),
        **OPTIONS,
    )
    op.create_table(
        "identity_picture",
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("content_type", text(255), nullable=False),
        sa.Column("data", long_bytes(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_identity_picture")),
        **OPTIONS,
    )
    op.create_table(
        "identity_privilege",
        sa.Column("id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_privilege")),
        sa.Index("ix_identity_privilege_name", "name", unique=True),
        **OPTIONS,
    )
    op.create_table(
        "identity_tenant",
        sa.Column("id", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_tenant")),
        sa.Index("ix_identity_tenant_created_at", "created_at"),
        sa.Index("ix_identity_tenant_name", "name"),
        **OPTIONS,
    )
    op.create_table(
        "identity_user",
        sa.Column("id", text(255), nullable=False),
        sa.Column("first_name", text(255), nullable=False),
        sa.Column("last_name", text(255), nullable=False),
        sa.Column("display_name", text(255), nullable=False),
        sa.Column("email", text(255), nullable=False),
        sa.Column("tenant_id", text(255), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("issuer", text(255), nullable=False),
        sa.Column("token_generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_user")),
        sa.Index("ix_identity_user_display_name", "display_name"),
        sa.Index("ix_identity_user_email", "email"),
        sa.Index("ix_identity_user_first_name", "first_name"),
        sa.Index("ix_identity_user_last_name", "last_name"),
        sa.Index("ix_identity_user_tenant_id", "tenant_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_user_info",
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("info_key", text(255), nullable=False),
        sa.Column("value", long_text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "info_key", name=op.f("pk_identity_user_info")),
        **OPTIONS,
    )
    op.create_table(
        "identity_user_privilege",
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("privilege_id", text(64), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "privilege_id", name=op.f("pk_identity_user_privilege")),
        sa.Index("ix_identity_user_privilege_privilege_id", "privilege_id"),
        **OPTIONS,
    )


def _tokens() -> None:
    op.create_table(
        "identity_answer",
        sa.Column("request", text(64), nullable=False),
        sa.Column("about", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("answer", long_text(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_identity_answer")),
        sa.Index("ix_identity_answer_answered_at", "answered_at"),
        sa.Index("ix_identity_answer_user_id", "user_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_api_token",
        sa.Column("id", text(64), nullable=False),
        sa.Column("hash", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("prefix", text(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_api_token")),
        sa.Index("ix_identity_api_token_created_at", "created_at"),
        sa.Index("ix_identity_api_token_expires_at", "expires_at"),
        sa.Index("ix_identity_api_token_hash", "hash", unique=True),
        sa.Index("ix_identity_api_token_name", "name"),
        sa.Index("ix_identity_api_token_user_id", "user_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_attempts",
        sa.Column("kind", text(16), nullable=False),
        sa.Column("subject", text(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("blocked_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_identity_attempts")),
        sa.Index("ix_identity_attempts_last_at", "last_at"),
        **OPTIONS,
    )
    op.create_table(
        "identity_invalidation",
        sa.Column("id", text(64), nullable=False),
        sa.Column("user_ids", long_text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_invalidation")),
        sa.Index("ix_identity_invalidation_created_at", "created_at"),
        **OPTIONS,
    )
    op.create_table(
        "identity_latch",
        sa.Column("name", text(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_identity_latch")),
        **OPTIONS,
    )
    op.create_table(
        "identity_refresh_token",
        sa.Column("hash", text(64), nullable=False),
        sa.Column("session_id", text(64), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("replaced_at", UtcDateTime(), nullable=True),
        sa.Column("replaced_by", text(64), nullable=False),
        sa.Column("replaced_request", text(64), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_identity_refresh_token")),
        sa.Index("ix_identity_refresh_token_expires_at", "expires_at"),
        sa.Index("ix_identity_refresh_token_replaced_at", "replaced_at"),
        sa.Index("ix_identity_refresh_token_session_id", "session_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_revoked_token",
        sa.Column("token_id", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_identity_revoked_token")),
        sa.Index("ix_identity_revoked_token_until", "until"),
        sa.Index("ix_identity_revoked_token_user_id", "user_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_session",
        sa.Column("id", text(64), nullable=False),
        sa.Column("user_id", text(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_session")),
        sa.Index("ix_identity_session_expires_at", "expires_at"),
        sa.Index("ix_identity_session_user_id", "user_id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_signing_key",
        sa.Column("kid", text(64), nullable=False),
        sa.Column("x", text(64), nullable=False),
        sa.Column("y", text(64), nullable=False),
        sa.Column("private", long_bytes(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("signs_from", UtcDateTime(), nullable=False),
        sa.Column("token_seconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_identity_signing_key")),
        **OPTIONS,
    )
