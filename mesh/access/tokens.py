"""Verifying tokens: whose signature, still valid, meant for us. A token that was verified once is remembered.

Only what is signed by an issuer that we trust, with an algorithm that this issuer uses, is believed: the algorithm that
a token itself names chooses nothing (RFC 8725, 3.1).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import jwt

from mesh.errors import Unauthenticated

KEPT_TOKENS: Final = 20_000
MAX_TOKEN_LENGTH: Final = 8 * 1024
LEEWAY_SECONDS: Final = 5.0
# Times are compared by ourselves, with a clock that can be told.
_OPTIONS: Final[Any] = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
    "require": ["exp", "iss", "aud"],
}


class FindKey(Protocol):
    """Finds the key that verifies a signature."""

    def __call__(self, key_id: str, algorithm: str) -> Awaitable[Any]:
        """Return the key, or None if there is none. Raises Unavailable if that cannot be told now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Whose tokens are believed: `name` is their `iss`, `audience` must be among their `aud`.

    `user_claim` holds our user id, `tenant_claim` the tenant; without the name of one, tokens say nothing of tenants.
    """

    name: str
    audience: str
    algorithms: tuple[str, ...]
    find_key: FindKey
    is_service: bool = False
    user_claim: str = "sub"
    tenant_claim: str = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verified token says. `expires_at` in seconds since 1970; `token_id` and `session_id` may be empty.

    `tenant_id` is empty for a user without tenant, None if this issuer's tokens do not tell. `generation` counts how
    often all tokens of the user were revoked before this one was issued.
    """

    subject: str
    tenant_id: str | None
    token_id: str
    session_id: str
    generation: int
    expires_at: float
    is_service: bool
    issuer: str


def invalid_token() -> Unauthenticated:
    """Return the one refusal of every token that is not believed: why it is not helps only whoever forges them."""
    return Unauthenticated("token-invalid", "expected a token that can be verified, found another")


def expired_token() -> Unauthenticated:
    """Return the refusal of a genuine token whose time is over."""
    return Unauthenticated("token-expired", "expected a token that is still valid, found one that has expired")


class TokenVerifier:
    """Verifies tokens of the trusted issuers, and remembers them by their hash until they expire."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        *,
        now: Callable[[], datetime],
        leeway_seconds: float = LEEWAY_SECONDS,
        kept: int = KEPT_TOKENS,
    ) -> None:
        """`leeway_seconds`: how far the clocks of issuer and verifier may be apart; `kept`: tokens remembered at most.

        Raises ValueError for two issuers of one name.
        """
        self._issuers = {issuer.name: issuer for issuer in issuers}
        if len(self._issuers) != len(issuers):
            raise ValueError("expected issuers with different names, found two with one")
        self._now = now
        self._leeway_seconds = leeway_seconds
        self._kept = kept
        self._known: OrderedDict[bytes, Verified] = OrderedDict()

    async def verify(self, token: str, *, or_expired: bool = False) -> Verified:
        """Return what the token says. Raises Unauthenticated, or Unavailable if keys cannot be had.

        `or_expired`: also what one says whose time is over, for those who are asked about again.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            known = await self._verify(token)
            self._known[digest] = known
            if len(self._known) > self._kept:
                self._known.popitem(last=False)
        if not or_expired and known.expires_at + self._leeway_seconds <= self._now().timestamp():
            self._known.pop(digest, None)
            raise expired_token()
        return known

    async def _verify(self, token: str) -> Verified:
        if len(token) > MAX_TOKEN_LENGTH:
            raise invalid_token()
        try:
            header = jwt.get_unverified_header(token)
            named = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise invalid_token() from None
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        algorithm, key_id = header.get("alg"), header.get("kid", "")
        if issuer is None or algorithm not in issuer.algorithms or not isinstance(key_id, str):
            raise invalid_token()
        key = await issuer.find_key(key_id, algorithm)
        if key is None:
            raise invalid_token()
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=issuer.audience,
                issuer=issuer.name,
                options=_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            raise invalid_token() from None
        return self._believed(issuer, claims)

    def _believed(self, issuer: Issuer, claims: dict[str, Any]) -> Verified:
        """Read the claims; times are compared here, with our clock."""
        subject = claims.get(issuer.user_claim)
        tenant = claims.get(issuer.tenant_claim) or "" if issuer.tenant_claim else None
        numbers = [claims.get(name, 0) for name in ("exp", "iat", "nbf", "gen")]
        if not isinstance(subject, str) or not subject or not isinstance(tenant, str | None):
            raise invalid_token()
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise invalid_token()
        expires_at, issued_at, not_before, generation = numbers
        if max(issued_at, not_before) > self._now().timestamp() + self._leeway_seconds:
            raise invalid_token()
        return Verified(
            subject=subject,
            tenant_id=tenant,
            token_id=str(claims.get("jti", "")),
            session_id=str(claims.get("sid", "")),
            generation=int(generation),
            expires_at=float(expires_at),
            is_service=issuer.is_service,
            issuer=issuer.name,
        )
