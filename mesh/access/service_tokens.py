"""Tokens with which services vouch for themselves: signed with a secret that all of them share, and short-lived.

The edge trusts identity's issuer alone, so none of these ever comes in from outside.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import jwt

from mesh.access.tokens import Issuer

ISSUER: Final = "flowloom-service"
ALGORITHM: Final = "HS256"
SUBJECT_PREFIX: Final = "service:"
MIN_KEY_LENGTH: Final = 32
LIFETIME_SECONDS: Final = 60.0
_RENEWED_AT: Final = 0.5
"""After this part of its life a token is minted anew, so that none expires on its way."""


class ServiceTokens:
    """Mints the tokens of one service; one token serves many calls."""

    def __init__(
        self,
        service: str,
        key: str,
        *,
        audience: str,
        now: Callable[[], datetime],
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> None:
        """Raises ValueError for a key of less than `MIN_KEY_LENGTH` characters."""
        self._subject = SUBJECT_PREFIX + service
        self._key = checked_key(key)
        self._audience = audience
        self._now = now
        self._lifetime_seconds = lifetime_seconds
        self._token = ""
        self._renewed_at = 0.0

    def token(self) -> str:
        """Return a token that is valid for a while."""
        now = self._now().timestamp()
        if now >= self._renewed_at or not self._token:
            claims = {
                "iss": ISSUER,
                "aud": self._audience,
                "sub": self._subject,
                "jti": secrets.token_hex(16),
                "iat": int(now),
                "exp": int(now + self._lifetime_seconds),
            }
            self._token = jwt.encode(claims, self._key, algorithm=ALGORITHM)
            self._renewed_at = now + self._lifetime_seconds * _RENEWED_AT
        return self._token


def service_issuer(key: str, *, audience: str) -> Issuer:
    """Return the issuer that verifies what `ServiceTokens` mint. Raises ValueError for a key that is too short."""
    checked = checked_key(key)

    async def find_key(key_id: str, algorithm: str) -> Any:  # noqa: ARG001 - a FindKey: there is only one key
        return checked

    return Issuer(name=ISSUER, audience=audience, algorithms=(ALGORITHM,), find_key=find_key, is_service=True)


def checked_key(key: str) -> str:
    """Return a key that is long enough. Raises ValueError otherwise, without the key."""
    if len(key) < MIN_KEY_LENGTH:
        raise ValueError(
            f"expected a service key (FLOWLOOM_ACCESS_SERVICE_KEY) of at least {MIN_KEY_LENGTH} characters, "
            f"found {len(key)}"
        )
    return key
