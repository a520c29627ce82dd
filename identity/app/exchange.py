"""Other credentials for a short access token: name and password, API tokens, tokens of the outside issuer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from identity.app.accounts import generation
from identity.app.attempts import Source, Throttle, too_many
from identity.app.key_ring import KeyRing
from identity.app.logins import Logins, bad_credentials
from identity.app.outcomes import API_TOKEN, BAD, OUTSIDE_TOKEN, TOO_SOON, Outcomes
from identity.app.ports import OutsideIssuer, OutsideUser, Store, Work
from identity.app.requests import check_texts
from identity.model.people import Membership, User
from identity.model.tokens import API_PREFIX, MAX_SECRET_CHARACTERS, ApiToken, Opened, digest
from mesh.clock import Clock
from mesh.errors import InvalidArgument, PermissionDenied, Unauthenticated

USE_NOTED_SECONDS: Final = 60
"""How exactly it is known when an API token was last used; more exactly would be a write for each use."""
MAX_OUTSIDE_GROUPS: Final = 1000
"""Groups of a token that are looked at."""


class Exchange:
    """Gives access tokens for credentials. Raises Unavailable while the database is away."""

    def __init__(
        self,
        store: Store,
        logins: Logins,
        ring: KeyRing,
        throttle: Throttle,
        *,
        outside: OutsideIssuer | None,
        provision: bool,
        outcomes: Outcomes,
        clock: Clock,
    ) -> None:
        """`outside` None: no issuer besides us is trusted; `provision`: its users are made when first seen."""
        self._store = store
        self._logins = logins
        self._ring = ring
        self._throttle = throttle
        self._outside = outside
        self._provision = provision
        self._outcomes = outcomes
        self._clock = clock

    async def basic(self, user_id: str, password: str, address: str) -> Opened:
        """For name and password. Raises as `Logins.prove` does."""
        return self._opened(await self._logins.prove(user_id, password, address))

    async def api_token(self, secret: str, address: str) -> Opened:
        """For an API token. Raises Unauthenticated, ResourceExhausted with the time to wait."""
        now = self._clock.now()
        source = Source(address=address)
        usable = secret.startswith(API_PREFIX) and len(secret) <= MAX_SECRET_CHARACTERS

        def look(work: Work) -> tuple[float, User, ApiToken] | float:
            # Nothing slow lies between counting and knowing, so a right one is taken back in the same transaction.
            wait_seconds = self._throttle.begin(work, source, now)
            if wait_seconds > 0:
                return wait_seconds
            token = work.tokens.api_token_of(digest(secret)) if usable else None
            user = None if token is None else work.users.find(token.user_id)
            if token is None or user is None or user.disabled or not token.is_active(now):
                return 0.0
            self._throttle.succeeded(work, source)
            used = token.last_used_at
            if used is None or now - used >= timedelta(seconds=USE_NOTED_SECONDS):
                work.tokens.put_api_token(msgspec.structs.replace(token, last_used_at=now))
            return 0.0, user, token

        found = await self._store.write(look)
        if isinstance(found, float):
            self._outcomes.refused(API_TOKEN, TOO_SOON if found > 0 else BAD, address=address)
            raise too_many(found) if found > 0 else bad_credentials()
        _, user, token = found
        self._outcomes.good(API_TOKEN)
        left = None if token.expires_at is None else (token.expires_at - now).total_seconds()
        return self._opened(user, token.id, left)

    async def outside_token(self, text: str, address: str) -> Opened:
        """For a token of the outside issuer. Raises Unauthenticated, PermissionDenied for a user not known here."""
        try:
            user = await self._outside_user(text)
        except (Unauthenticated, PermissionDenied):
            self._outcomes.refused(OUTSIDE_TOKEN, BAD, address=address)
            raise
        self._outcomes.good(OUTSIDE_TOKEN)
        return self._opened(user)

    async def _outside_user(self, text: str) -> User:
        if self._outside is None:
            raise bad_credentials()
        told = await self._outside.verify(text)
        now = self._clock.now()
        user, settled = await self._store.read(lambda work: _look(work, told))
        if not settled:
            user = await self._store.write(lambda work: self._settle(work, told, now))
        if user is None or user.disabled:
            raise bad_credentials()
        return user

    def _settle(self, work: Work, told: OutsideUser, now: datetime) -> User:
        """Bring the user in step with what the issuer says."""
        user = work.users.find(told.user_id, lock=True)
        if user is None:
            user = self._made(work, told, now)
        elif user.issuer != told.issuer:
            raise _not_linked(told)
        if told.tenant_id is not None and told.tenant_id != user.tenant_id:
            _check_tenant(work, told)
            user = msgspec.structs.replace(user, tenant_id=told.tenant_id)
            work.users.put(user)
            work.changed([user.id])
        if told.groups is not None:
            wanted = _groups_here(work, told.groups, user.tenant_id)
            present = work.groups.of_issuer(user.id)
            for group_id in set(present) - set(wanted):
                work.groups.drop_member(Membership(user_id=user.id, group_id=group_id))
            for group_id in set(wanted) - set(work.groups.of_user(user.id)):
                work.groups.add_member(Membership(user_id=user.id, group_id=group_id), from_issuer=True)
            work.changed([user.id])
        return user

    def _made(self, work: Work, told: OutsideUser, now: datetime) -> User:
        if not self._provision:
            raise _not_linked(told)
        if told.tenant_id:
            _check_tenant(work, told)
        try:
            check_texts(user_id=told.user_id)
        except InvalidArgument as wrong:
            raise PermissionDenied(
                "outside-user-unfit", f"expected a user id that fits here: {wrong.message}"
            ) from wrong
        user = User(
            id=told.user_id,
            first_name=told.first_name,
            last_name=told.last_name,
            display_name=told.display_name,
            email=told.email,
            tenant_id=told.tenant_id or "",
            issuer=told.issuer,
            token_generation=generation(now),
        )
        work.users.add(user)
        work.changed([user.id])
        return user

    def _opened(self, user: User, session_id: str = "", at_most_seconds: float | None = None) -> Opened:
        access_token, seconds = self._ring.sign(user, session_id, at_most_seconds)
        return Opened(user_id=user.id, tenant_id=user.tenant_id, access_token=access_token, expires_seconds=seconds)


def _look(work: Work, told: OutsideUser) -> tuple[User | None, bool]:
    """The user, and whether all is as the issuer says, so that nothing need be written."""
    user = work.users.find(told.user_id)
    if user is None:
        return None, False
    if user.issuer != told.issuer:
        raise _not_linked(told)
    same_tenant = told.tenant_id is None or told.tenant_id == user.tenant_id
    if told.groups is None:
        return user, same_tenant
    wanted = set(_groups_here(work, told.groups, user.tenant_id))
    here = set(work.groups.of_user(user.id))
    same_groups = wanted <= here and set(work.groups.of_issuer(user.id)) <= wanted
    return user, same_tenant and same_groups


def _groups_here(work: Work, told: Sequence[str], tenant_id: str) -> list[str]:
    found = work.groups.existing(told[:MAX_OUTSIDE_GROUPS])
    return [group.id for group in found if group.tenant_id in ("", tenant_id)]


def _check_tenant(work: Work, told: OutsideUser) -> None:
    if told.tenant_id and work.tenants.find(told.tenant_id, lock=True) is None:
        raise PermissionDenied("unknown-tenant", "expected a tenant that is known here, found another one in the token")


def _not_linked(told: OutsideUser) -> PermissionDenied:
    return PermissionDenied(
        "user-not-linked",
        f"expected a user of issuer {told.issuer}, found none with the token's user id",
        issuer=told.issuer,
    )
