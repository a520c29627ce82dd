"""Identity's tables. Texts that are not given are empty, never NULL; moments that are not given are NULL.

Every name begins with `identity_`, so that several services can share a database.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, Column, Index, Integer, MetaData, Table

from mesh.db.types import UtcDateTime, identifier, long_bytes, long_text, text

metadata: Final = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})
_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _id(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, identifier(), primary_key=key, nullable=False)


def _text(name: str, length: int = 255, *, key: bool = False) -> Column[str]:
    return Column(name, text(length), primary_key=key, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, Integer(), nullable=False)


def _moment(name: str, *, optional: bool = False) -> Column[Any]:
    return Column(name, UtcDateTime(), nullable=optional)


def _index(table: str, *columns: str) -> Index:
    return Index(f"ix_{table}_{'_'.join(columns)}", *columns)


user: Final = Table(
    "identity_user",
    metadata,
    _text("id", key=True),
    _text("first_name"),
    _text("last_name"),
    _text("display_name"),
    _text("email"),
    _text("tenant_id"),
    _flag("disabled"),
    _text("issuer"),
    _number("token_generation"),
    _index("identity_user", "first_name"),
    _index("identity_user", "last_name"),
    _index("identity_user", "display_name"),
    _index("identity_user", "email"),
    _index("identity_user", "tenant_id"),
    **_OPTIONS,
)
password: Final = Table(
    "identity_password",
    metadata,
    _text("user_id", key=True),
    _text("hash"),
    _flag("must_change"),
    _moment("changed_at"),
    **_OPTIONS,
)
"""Apart from the user, so that reading users never reads a hash."""
picture: Final = Table(
    "identity_picture",
    metadata,
    _text("user_id", key=True),
    _text("content_type"),
    Column("data", long_bytes(), nullable=False),
    **_OPTIONS,
)
info: Final = Table(
    "identity_user_info",
    metadata,
    _text("user_id", key=True),
    _text("info_key", key=True),
    Column("value", long_text(), nullable=False),
    **_OPTIONS,
)
group: Final = Table(
    "identity_group",
    metadata,
    _text("id", key=True),
    _text("name"),
    _text("type"),
    _text("tenant_id"),
    _index("identity_group", "name"),
    _index("identity_group", "type"),
    _index("identity_group", "tenant_id"),
    **_OPTIONS,
)
membership: Final = Table(
    "identity_membership",
    metadata,
    _text("user_id", key=True),
    _text("group_id", key=True),
    _flag("from_issuer"),
    _index("identity_membership", "group_id"),
    **_OPTIONS,
)
"""`from_issuer`: kept in step with what the outside issuer says."""
privilege: Final = Table(
    "identity_privilege",
    metadata,
    _id("id", key=True),
    _text("name"),
    Index("ix_identity_privilege_name", "name", unique=True),
    **_OPTIONS,
)
user_privilege: Final = Table(
    "identity_user_privilege",
    metadata,
    _text("user_id", key=True),
    _id("privilege_id", key=True),
    _index("identity_user_privilege", "privilege_id"),
    **_OPTIONS,
)
group_privilege: Final = Table(
    "identity_group_privilege",
    metadata,
    _text("group_id", key=True),
    _id("privilege_id", key=True),
    _index("identity_group_privilege", "privilege_id"),
    **_OPTIONS,
)
tenant: Final = Table(
    "identity_tenant",
    metadata,
    _text("id", key=True),
    _text("name"),
    _moment("created_at"),
    _index("identity_tenant", "name"),
    _index("identity_tenant", "created_at"),
    **_OPTIONS,
)
session: Final = Table(
    "identity_session",
    metadata,
    _id("id", key=True),
    _text("user_id"),
    _moment("created_at"),
    _moment("expires_at"),
    _index("identity_session", "user_id"),
    _index("identity_session", "expires_at"),
    **_OPTIONS,
)
refresh_token: Final = Table(
    "identity_refresh_token",
    metadata,
    _id("hash", key=True),
    _id("session_id"),
    _moment("expires_at"),
    _moment("replaced_at", optional=True),
    _id("replaced_by"),
    _id("replaced_request"),
    _index("identity_refresh_token", "session_id"),
    _index("identity_refresh_token", "expires_at"),
    _index("identity_refresh_token", "replaced_at"),
    **_OPTIONS,
)
api_token: Final = Table(
    "identity_api_token",
    metadata,
    _id("id", key=True),
    _id("hash"),
    _text("user_id"),
    _text("name"),
    _id("prefix"),
    _moment("created_at"),
    _moment("expires_at", optional=True),
    _moment("last_used_at", optional=True),
    _moment("revoked_at", optional=True),
    Index("ix_identity_api_token_hash", "hash", unique=True),
    _index("identity_api_token", "user_id"),
    _index("identity_api_token", "name"),
    _index("identity_api_token", "created_at"),
    _index("identity_api_token", "expires_at"),
    **_OPTIONS,
)
revoked_token: Final = Table(
    "identity_revoked_token",
    metadata,
    _id("token_id", key=True),
    _text("user_id"),
    _moment("until"),
    _index("identity_revoked_token", "user_id"),
    _index("identity_revoked_token", "until"),
    **_OPTIONS,
)
"""Claims `jti` and `sid` that are refused, until the last access token that has them has expired."""
attempts: Final = Table(
    "identity_attempts",
    metadata,
    Column("kind", identifier(16), primary_key=True, nullable=False),
    _id("subject", key=True),
    _number("count"),
    _moment("last_at"),
    _moment("blocked_until"),
    _index("identity_attempts", "last_at"),
    **_OPTIONS,
)
"""Wrong credentials by user and by address; `subject` is a digest of either."""
signing_key: Final = Table(
    "identity_signing_key",
    metadata,
    _id("kid", key=True),
    _id("x"),
    _id("y"),
    Column("private", long_bytes(), nullable=False),
    _flag("sealed"),
    _moment("created_at"),
    _moment("signs_from"),
    _number("token_seconds"),
    **_OPTIONS,
)
latch: Final = Table("identity_latch", metadata, _id("name", key=True), **_OPTIONS)
"""Rows that are locked by whoever does what only one may do at a time."""
invalidation: Final = Table(
    "identity_invalidation",
    metadata,
    _id("id", key=True),
    Column("user_ids", long_text(), nullable=False),
    _moment("created_at"),
    _index("identity_invalidation", "created_at"),
    **_OPTIONS,
)
"""Users whose permissions changed and of whom caches may not have been told yet; a JSON array."""
answer: Final = Table(
    "identity_answer",
    metadata,
    _id("request", key=True),
    _id("about"),
    _text("user_id"),
    Column("answer", long_text(), nullable=False),
    _moment("answered_at"),
    _index("identity_answer", "user_id"),
    _index("identity_answer", "answered_at"),
    **_OPTIONS,
)
"""The first answers to requests with a request_id, as JSON; `request`, `about`: digests of who asked under which
request_id and of what was asked for; `user_id`: whose personal data is in the answer, if any.
"""

LATCHES: Final = ("administrators", "signing-keys")
