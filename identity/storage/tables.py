"""Identity's tables. Texts that are not given are empty, never NULL; moments that are not given are NULL.

Every name begins with `identity_`, so that several services can share a database.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Table

from mesh.db.columns import (
    OPTIONS,
    flag_column,
    id_column,
    index_on,
    long_column,
    moment_column,
    new_metadata,
    number_column,
    text_column,
)
from mesh.db.types import identifier, long_bytes

metadata: Final = new_metadata()

user: Final = Table(
    "identity_user",
    metadata,
    text_column("id", key=True),
    text_column("first_name"),
    text_column("last_name"),
    text_column("display_name"),
    text_column("email"),
    text_column("tenant_id"),
    flag_column("disabled"),
    text_column("issuer"),
    number_column("token_generation"),
    index_on("identity_user", "first_name"),
    index_on("identity_user", "last_name"),
    index_on("identity_user", "display_name"),
    index_on("identity_user", "email"),
    index_on("identity_user", "tenant_id"),
    **OPTIONS,
)
password: Final = Table(
    "identity_password",
    metadata,
    text_column("user_id", key=True),
    text_column("hash"),
    flag_column("must_change"),
    moment_column("changed_at"),
    **OPTIONS,
)
"""Apart from the user, so that reading users never reads a hash."""
picture: Final = Table(
    "identity_picture",
    metadata,
    text_column("user_id", key=True),
    text_column("content_type"),
    Column("data", long_bytes(), nullable=False),
    **OPTIONS,
)
info: Final = Table(
    "identity_user_info",
    metadata,
    text_column("user_id", key=True),
    text_column("info_key", key=True),
    long_column("value"),
    **OPTIONS,
)
group: Final = Table(
    "identity_group",
    metadata,
    text_column("id", key=True),
    text_column("name"),
    text_column("type"),
    text_column("tenant_id"),
    index_on("identity_group", "name"),
    index_on("identity_group", "type"),
    index_on("identity_group", "tenant_id"),
    **OPTIONS,
)
membership: Final = Table(
    "identity_membership",
    metadata,
    text_column("user_id", key=True),
    text_column("group_id", key=True),
    flag_column("from_issuer"),
    index_on("identity_membership", "group_id"),
    **OPTIONS,
)
"""`from_issuer`: kept in step with what the outside issuer says."""
privilege: Final = Table(
    "identity_privilege",
    metadata,
    id_column("id", key=True),
    text_column("name"),
    Index("ix_identity_privilege_name", "name", unique=True),
    **OPTIONS,
)
user_privilege: Final = Table(
    "identity_user_privilege",
    metadata,
    text_column("user_id", key=True),
    id_column("privilege_id", key=True),
    index_on("identity_user_privilege", "privilege_id"),
    **OPTIONS,
)
group_privilege: Final = Table(
    "identity_group_privilege",
    metadata,
    text_column("group_id", key=True),
    id_column("privilege_id", key=True),
    index_on("identity_group_privilege", "privilege_id"),
    **OPTIONS,
)
tenant: Final = Table(
    "identity_tenant",
    metadata,
    text_column("id", key=True),
    text_column("name"),
    moment_column("created_at"),
    index_on("identity_tenant", "name"),
    index_on("identity_tenant", "created_at"),
    **OPTIONS,
)
session: Final = Table(
    "identity_session",
    metadata,
    id_column("id", key=True),
    text_column("user_id"),
    moment_column("created_at"),
    moment_column("expires_at"),
    index_on("identity_session", "user_id"),
    index_on("identity_session", "expires_at"),
    **OPTIONS,
)
refresh_token: Final = Table(
    "identity_refresh_token",
    metadata,
    id_column("hash", key=True),
    id_column("session_id"),
    moment_column("expires_at"),
    moment_column("replaced_at", optional=True),
    id_column("replaced_by"),
    id_column("replaced_request"),
    index_on("identity_refresh_token", "session_id"),
    index_on("identity_refresh_token", "expires_at"),
    index_on("identity_refresh_token", "replaced_at"),
    **OPTIONS,
)
api_token: Final = Table(
    "identity_api_token",
    metadata,
    id_column("id", key=True),
    id_column("hash"),
    text_column("user_id"),
    text_column("name"),
    id_column("prefix"),
    moment_column("created_at"),
    moment_column("expires_at", optional=True),
    moment_column("last_used_at", optional=True),
    moment_column("revoked_at", optional=True),
    Index("ix_identity_api_token_hash", "hash", unique=True),
    index_on("identity_api_token", "user_id"),
    index_on("identity_api_token", "name"),
    index_on("identity_api_token", "created_at"),
    index_on("identity_api_token", "expires_at"),
    **OPTIONS,
)
revoked_token: Final = Table(
    "identity_revoked_token",
    metadata,
    id_column("token_id", key=True),
    text_column("user_id"),
    moment_column("until"),
    index_on("identity_revoked_token", "user_id"),
    index_on("identity_revoked_token", "until"),
    **OPTIONS,
)
"""Claims `jti` and `sid` that are refused, until the last access token that has them has expired."""
attempts: Final = Table(
    "identity_attempts",
    metadata,
    Column("kind", identifier(16), primary_key=True, nullable=False),
    id_column("subject", key=True),
    number_column("count"),
    moment_column("last_at"),
    moment_column("blocked_until"),
    index_on("identity_attempts", "last_at"),
    **OPTIONS,
)
"""Wrong credentials by user and by address; `subject` is a digest of either."""
signing_key: Final = Table(
    "identity_signing_key",
    metadata,
    id_column("kid", key=True),
    id_column("x"),
    id_column("y"),
    Column("private", long_bytes(), nullable=False),
    flag_column("sealed"),
    moment_column("created_at"),
    moment_column("signs_from"),
    number_column("token_seconds"),
    **OPTIONS,
)
latch: Final = Table("identity_latch", metadata, id_column("name", key=True), **OPTIONS)
"""Rows that are locked by whoever does what only one may do at a time."""
invalidation: Final = Table(
    "identity_invalidation",
    metadata,
    id_column("id", key=True),
    long_column("user_ids"),
    moment_column("created_at"),
    index_on("identity_invalidation", "created_at"),
    **OPTIONS,
)
"""Users whose permissions changed and of whom caches may not have been told yet; a JSON array."""
answer: Final = Table(
    "identity_answer",
    metadata,
    id_column("request", key=True),
    id_column("about"),
    text_column("user_id"),
    long_column("answer"),
    moment_column("answered_at"),
    index_on("identity_answer", "user_id"),
    index_on("identity_answer", "answered_at"),
    **OPTIONS,
)
"""The first answers to requests with a request_id, as JSON; `request`, `about`: digests of who asked under which
request_id and of what was asked for; `user_id`: whose personal data is in the answer, if any.
"""

LATCHES: Final = ("administrators", "signing-keys")
