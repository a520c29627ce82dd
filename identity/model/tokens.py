"""Tokens: what is kept of them, and how the secret ones are made and recognised.

A secret has 32 random bytes, so a plain hash of it is as good as a slow one, and can be looked up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

import msgspec

REFRESH_PREFIX: Final = "flr_"
API_PREFIX: Final = "flt_"
SECRET_BYTES: Final = 32
SHOWN_CHARACTERS: Final = 12
"""How much of an API token is kept to recognise it by."""
MAX_SECRET_CHARACTERS: Final = 128


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says. `session_id`: the session or API token that it comes from, if any."""

    user_id: str
    tenant_id: str
    token_id: str
    session_id: str
    generation: int
    issued_at: datetime
    expires_at: datetime


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login that goes on by refreshing, at most until `expires_at`."""

    id: str
    user_id: str
    created_at: datetime
    expires_at: datetime


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """One refresh token of a session. `replaced_at` None: the one that is good now."""

    hash: str
    session_id: str
    expires_at: datetime
    replaced_at: datetime | None = None
    replaced_by: str = ""
    """The hash of the token that came after it."""
    replaced_request: str = ""
    """The digest of the request_id that replaced it; empty without one."""


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """An API token without its secret. `expires_at` None: never."""

    id: str
    user_id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        """Tell whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody gets for their credentials; without a session there is no refresh token."""

    user_id: str
    tenant_id: str
    access_token: str
    expires_seconds: int
    refresh_token: str = ""
    refresh_seconds: int = 0


def spell(prefix: str, random: bytes) -> str:
    """The text of a secret."""
    return prefix + base64.urlsafe_b64encode(random).decode().rstrip("=")


def digest(text: str) -> str:
    """The hash by which a secret, or a request_id, is known."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def successor(secret: str, request_id: str) -> str:
    """The refresh token that follows `secret` when it was asked for under this request_id.

    Whoever has both can be told it again after an answer was lost, though only its hash is kept.
    """
    key = hmac.new(secret.encode(), b"refresh\n" + request_id.encode(), hashlib.sha256).digest()
    return spell(REFRESH_PREFIX, key)
