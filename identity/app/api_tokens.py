"""API tokens: made, shown once, listed, revoked."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from identity.app.accounts import revoke_token
from identity.app.authority import Caller, user_in_sight
from identity.app.lists import ApiTokenFilter, Lists
from identity.app.ports import Store, Work
from identity.app.requests import check_id, once, refused, request_of
from identity.model.tokens import API_PREFIX, SECRET_BYTES, SHOWN_CHARACTERS, ApiToken, digest, spell
from identity.settings import TokenSettings
from mesh.clock import Clock
from mesh.errors import AlreadyExists, NotFound, ResourceExhausted
from mesh.ids import IdSource
from mesh.paging import Listed, Page

MANAGE: Final = "identity.api-token.manage"
"""The privilege for API tokens of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A token with its secret, which is seen here and never again."""

    token: ApiToken
    secret: str


class ApiTokens:
    """The use cases of API tokens. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, lists: Lists, *, clock: Clock, ids: IdSource, settings: TokenSettings) -> None:
        self._store = store
        self._lists = lists
        self._clock = clock
        self._ids = ids
        self._settings = settings

    async def create(
        self, caller: Caller, user_id: str, name: str, expires_at: datetime | None, request_id: str
    ) -> Shown:
        """Make a token. Raises NotFound, PermissionDenied, InvalidArgument, AlreadyExists, ResourceExhausted."""
        check_id("name", name)
        whose = user_id or caller.user_id
        now = self._clock.now()
        until = self._expiry(expires_at, now)
        request = request_of(caller, f"CreateApiToken {whose} {name}", request_id)
        secret = spell(API_PREFIX, secrets.token_bytes(SECRET_BYTES))

        def make(work: Work) -> ApiToken:
            user = user_in_sight(work, caller, whose, lock=True)
            if user.id != caller.user_id:
                caller.must_have([MANAGE], "the token is somebody else's")
                caller.must_equal(work, user.id)
            if work.tokens.count_api_tokens(user.id, now) >= self._settings.max_api_tokens:
                raise ResourceExhausted(
                    "too-many-api-tokens",
                    f"expected at most {self._settings.max_api_tokens} API tokens of a user (limit: max_api_tokens)",
                )
            token = ApiToken(
                id=self._ids.root(),
                user_id=user.id,
                name=name,
                prefix=secret[:SHOWN_CHARACTERS],
                created_at=now,
                expires_at=until,
            )
            work.tokens.add_api_token(token, digest(secret))
            return token

        def make_or_show_anew(work: Work) -> ApiToken:
            made = once(work, request, now, ApiToken, lambda: make(work), whose)
            return made if made.prefix == secret[:SHOWN_CHARACTERS] else _shown_anew(work, made.id, secret, now)

        return Shown(token=await self._store.write(make_or_show_anew), secret=secret)

    async def list(self, caller: Caller, wanted: ApiTokenFilter, page: Page) -> Listed[ApiToken]:
        """A page of a user's tokens. Raises PermissionDenied, InvalidArgument."""
        whose = wanted.user_id or caller.user_id
        if whose != caller.user_id:
            caller.must_have([MANAGE], "the tokens are somebody else's")
            if not caller.acts_for_all:
                await self._store.read(lambda work: user_in_sight(work, caller, whose))
        return await self._lists.api_tokens(msgspec.structs.replace(wanted, user_id=whose), self._clock.now(), page)

    async def revoke(self, caller: Caller, token_id: str, request_id: str) -> None:
        """Revoke a token and the access tokens that came of it. Raises NotFound, PermissionDenied."""
        request = request_of(caller, f"RevokeApiToken {token_id}", request_id)
        now = self._clock.now()

        def end(work: Work) -> None:
            token = work.tokens.api_token(token_id)
            if token is None or not (token.user_id == caller.user_id or caller.has(MANAGE)):
                raise _no_such_token(token_id)
            if token.user_id != caller.user_id:
                _in_sight(work, caller, token)
            if token.revoked_at is None:
                work.tokens.put_api_token(msgspec.structs.replace(token, revoked_at=now))
            last_expiry = now + timedelta(seconds=self._settings.access_seconds)
            revoke_token(work, token.id, token.user_id, last_expiry, now)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: end(work)))

    def _expiry(self, wanted: datetime | None, now: datetime) -> datetime | None:
        longest = self._settings.api_token_seconds
        if wanted is not None and wanted <= now:
            raise refused("expire_time", f"expected a moment to come, found {wanted.isoformat()}")
        if not longest:
            return wanted
        last = now + timedelta(seconds=longest)
        if wanted is not None and wanted > last:
            raise refused("expire_time", f"expected a life of at most {longest} s (limit: api_token_seconds)")
        return wanted or last


def _shown_anew(work: Work, token_id: str, secret: str, now: datetime) -> ApiToken:
    """A retry: the answer with the first secret may have been lost, so the same token gets another one."""
    token = work.tokens.api_token(token_id)
    if token is None or token.last_used_at is not None or not token.is_active(now):
        raise AlreadyExists(
            "api-token-made", "expected a request_id of a token that was never used, found one whose secret is at work"
        )
    token = msgspec.structs.replace(token, prefix=secret[:SHOWN_CHARACTERS])
    work.tokens.put_api_token(token, digest(secret))
    return token


def _in_sight(work: Work, caller: Caller, token: ApiToken) -> None:
    try:
        user_in_sight(work, caller, token.user_id)
    except NotFound:
        raise _no_such_token(token.id) from None


def _no_such_token(token_id: str) -> NotFound:
    return NotFound("api-token-not-found", f"expected an API token, found none with id '{token_id}'")
