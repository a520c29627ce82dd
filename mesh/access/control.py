"""The check that the guard asks for before each method: who calls, and whether they may."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Any, Final, Protocol

from mesh.access.contract import AccessRules, Rule
from mesh.access.permissions import PermissionCache, Permissions, PermissionSource
from mesh.access.principal import ALL_PRIVILEGES, NOBODY, Principal, lacks
from mesh.access.tokens import TokenVerifier, Verified, invalid_token
from mesh.errors import PermissionDenied, Unauthenticated

_LOGGER: Final = logging.getLogger(__name__)

AUTHORIZATION_KEY: Final = "authorization"
USER_KEY: Final = "x-user"
"""The metadata key that names the caller where access is off."""
_SCHEME: Final = "bearer "

REFUSAL_SECONDS: Final = 0.01
STREAM_SECONDS: Final = 30.0

Metadata = Iterable[Any]
"""Pairs of key and value, as gRPC hands them over."""


class Access(Protocol):
    """Decides about calls."""

    def rule(self, method: str) -> Rule:
        """Return the rule of a method that is being registered. Raises AccessUndeclared if it has none."""
        ...

    async def admit(self, rule: Rule, metadata: Metadata) -> Principal:
        """Return who calls. Raises Unauthenticated, PermissionDenied, or Unavailable if it cannot be told now."""
        ...

    @property
    def stream_seconds(self) -> float | None:
        """How often it is asked whether an open stream may go on; None: never."""
        ...

    async def stands(self, rule: Rule, metadata: Metadata) -> None:
        """Raise as `admit` unless whoever opened a stream may still do so, be their token expired or not."""
        ...


class OpenAccess:
    """Lets everybody do everything: for tests, and for a mesh that only its own machine can reach.

    Whoever calls is whom they say they are, in the metadata `x-user`.
    """

    stream_seconds: float | None = None

    def __init__(self, rules: AccessRules | None = None) -> None:
        """With `rules`, a method without one is refused when it is registered, as where access is enforced."""
        self._rules = rules

    def rule(self, method: str) -> Rule:
        """Return the rule of a method, or one that lets everybody in if no rules were given."""
        return Rule(method=method, public=True) if self._rules is None else self._rules.of(method)

    async def admit(self, rule: Rule, metadata: Metadata) -> Principal:  # noqa: ARG002 - an Access
        """Return the user of the metadata, with all privileges."""
        user_id = next((value for key, value in metadata if key == USER_KEY), "")
        return Principal(user_id=user_id if isinstance(user_id, str) else user_id.decode(), privileges=_ALL)

    async def stands(self, rule: Rule, metadata: Metadata) -> None:
        """Do nothing."""


_ALL: Final = frozenset((ALL_PRIVILEGES,))


class AccessControl:
    """Lets in who brings a token that verifies, is active, and has the privilege of the method.

    What a user may do is looked up for each call, through the cache. Refusals are answered at one time after the call
    began, whatever was found, so that it tells nothing.
    """

    def __init__(
        self,
        rules: AccessRules,
        verifier: TokenVerifier,
        source: PermissionSource,
        cache: PermissionCache,
        *,
        refusal_seconds: float = REFUSAL_SECONDS,
        stream_seconds: float = STREAM_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`refusal_seconds`: how long after its beginning a refused call is answered, if it is not later anyway.

        `stream_seconds`: how often it is looked whether whoever opened a stream may still do so.
        """
        self.stream_seconds: float | None = stream_seconds
        self._rules = rules
        self._verifier = verifier
        self._source = source
        self._cache = cache
        self._refusal_seconds = refusal_seconds
        self._sleep = sleep

    def rule(self, method: str) -> Rule:
        """Return the rule of a method. Raises AccessUndeclared if the contract does not say who may call it."""
        return self._rules.of(method)

    async def admit(self, rule: Rule, metadata: Metadata) -> Principal:
        """Return who calls; nobody in particular for a public method."""
        if rule.public:
            return NOBODY
        began = monotonic()
        try:
            principal = await self.identify(bearer_of(metadata))
            if principal.privileges.isdisjoint(rule.granted_by):
                _LOGGER.info("refused %s to %s: they lack %s", rule.method, principal.user_id, rule.privilege)
                raise lacks(rule.privilege)
        except (Unauthenticated, PermissionDenied) as refused:
            if isinstance(refused, Unauthenticated):
                _LOGGER.info("refused %s: %s", rule.method, refused.reason)
            await self._sleep(max(self._refusal_seconds - (monotonic() - began), 0.0))
            raise
        return principal

    async def stands(self, rule: Rule, metadata: Metadata) -> None:
        """Raise as `admit` unless whoever opened a stream may still do so, be their token expired or not."""
        principal = await self.identify(bearer_of(metadata), or_expired=True)
        if principal.privileges.isdisjoint(rule.granted_by):
            raise lacks(rule.privilege)

    async def identify(self, token: str, *, or_expired: bool = False) -> Principal:
        """Return whose token this is, with what they may do now. Raises Unauthenticated, Unavailable."""
        verified = await self._verifier.verify(token, or_expired=or_expired)
        if verified.is_service:
            return Principal(user_id=verified.subject, privileges=_ALL, is_service=True)
        permissions = await self._cache.get(verified.subject, lambda: self._source.permissions(verified.subject))
        _check_standing(verified, permissions)
        return Principal(
            user_id=verified.subject,
            tenant_id=permissions.tenant_id,
            groups=permissions.groups,
            privileges=permissions.privileges,
        )

    async def forget(self, *user_ids: str) -> None:
        """Look up anew what these users may do, in every process. For whoever changes it."""
        await self._cache.invalidate(*user_ids)


def bearer_of(metadata: Metadata) -> str:
    """Return the one bearer token. Raises Unauthenticated if there is none, or more than one."""
    found = [value for key, value in metadata if key == AUTHORIZATION_KEY]
    if not found:
        raise Unauthenticated("token-missing", "expected a bearer token (metadata 'authorization'), found none")
    value = found[0]
    if len(found) > 1 or not isinstance(value, str) or value[: len(_SCHEME)].lower() != _SCHEME:
        raise invalid_token()
    return value[len(_SCHEME) :].strip()


def _check_standing(verified: Verified, permissions: Permissions) -> None:
    """Raise Unauthenticated for a token that is genuine, and yet no longer to be believed."""
    if (
        not permissions.active
        or verified.tenant_id not in (None, permissions.tenant_id)
        or verified.token_id in permissions.revoked
        or verified.session_id in permissions.revoked
        or verified.generation < permissions.generation
    ):
        raise invalid_token()
