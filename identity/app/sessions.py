"""Sessions: opened by a login, continued by refreshing, ended by logging out or by a refresh token that comes twice."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from identity.app.accounts import end_everything, revoke_token
from identity.app.authority import Caller, user_in_sight
from identity.app.key_ring import KeyRing
from identity.app.logins import bad_credentials
from identity.app.outcomes import BAD, REFRESH_TOKEN, REUSED, Outcomes
from identity.app.ports import Store, Work
from identity.app.requests import once, refused, request_of
from identity.model.people import User
from identity.model.tokens import (
    MAX_SECRET_CHARACTERS,
    REFRESH_PREFIX,
    SECRET_BYTES,
    Claims,
    Opened,
    RefreshToken,
    Session,
    digest,
    spell,
    successor,
)
from identity.settings import TokenSettings
from mesh.clock import Clock
from mesh.errors import Unauthenticated
from mesh.ids import IdSource


@dataclass(frozen=True, slots=True, kw_only=True)
class _Renewed:
    """A session that goes on, with its new refresh token; `user` None: it was ended instead."""

    user: User | None
    session: Session
    refresh_token: str = ""
    expires_at: datetime | None = None


class Sessions:
    """The use cases of sessions. Raises Unavailable while the database is away."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        *,
        outcomes: Outcomes,
        clock: Clock,
        ids: IdSource,
        settings: TokenSettings,
    ) -> None:
        self._store = store
        self._ring = ring
        self._outcomes = outcomes
        self._clock = clock
        self._ids = ids
        self._settings = settings

    async def open(self, user: User) -> Opened:
        """Begin a session of a user who has proven who they are. Raises Unauthenticated if they are gone meanwhile."""
        now = self._clock.now()
        session = Session(
            id=self._ids.root(),
            user_id=user.id,
            created_at=now,
            expires_at=now + timedelta(seconds=self._settings.session_seconds),
        )
        secret = spell(REFRESH_PREFIX, secrets.token_bytes(SECRET_BYTES))
        token = self._token(secret, session, now)

        def begin(work: Work) -> User:
            # Locked, so that a password that is changed at this moment ends this session too.
            present = work.users.find(user.id, lock=True)
            if present is None or present.disabled or present.token_generation != user.token_generation:
                raise bad_credentials()
            # Ids are ordered by time: the oldest ones go, and what they gave out expires by itself.
            others = work.tokens.sessions_of(user.id)
            for oldest in others[: max(len(others) + 1 - self._settings.max_sessions, 0)]:
                work.tokens.end_session(oldest)
            work.tokens.add_session(session, token)
            return present

        present = await self._store.write(begin)
        return self._opened(present, session, secret, token.expires_at, now)

    async def refresh(self, secret: str, request_id: str) -> Opened:
        """Continue a session. Raises Unauthenticated; the session is over then if the token was a replaced one."""
        if not secret or len(secret) > MAX_SECRET_CHARACTERS:
            raise bad_credentials()
        now = self._clock.now()
        renewed = await self._store.write(lambda work: self._renew(work, secret, request_id, now))
        if renewed is None:
            self._outcomes.refused(REFRESH_TOKEN, BAD)
            raise bad_credentials()
        if renewed.user is None or renewed.expires_at is None:
            self._outcomes.refused(REFRESH_TOKEN, REUSED, known_user_id=renewed.session.user_id)
            raise Unauthenticated(
                "refresh-token-reused", "expected a refresh token that was not used before, found one that was"
            )
        self._outcomes.good(REFRESH_TOKEN)
        return self._opened(renewed.user, renewed.session, renewed.refresh_token, renewed.expires_at, now)

    async def log_out(self, refresh_token: str, access_token: str, *, all_sessions: bool) -> None:
        """End the session of a token, or all of its user. Raises InvalidArgument without any token."""
        if not refresh_token and not access_token:
            raise refused("refresh_token", "expected a refresh token or an access token, found none")
        claims = await self._ring.read(access_token) if access_token else None
        now = self._clock.now()

        def end(work: Work) -> None:
            token = work.tokens.refresh_token(digest(refresh_token)) if refresh_token else None
            for session_id in {each for each in (token and token.session_id, claims and claims.session_id) if each}:
                self._end(work, session_id, now, all_sessions=all_sessions)
            if claims is not None:
                self._revoke(work, claims, now, all_sessions=all_sessions)

        await self._store.write(end)

    async def revoke_all(self, caller: Caller, user_id: str, request_id: str) -> None:
        """End all sessions of a user. Raises NotFound, PermissionDenied."""
        request = request_of(caller, f"RevokeSessions {user_id}", request_id)
        now = self._clock.now()

        def end(work: Work) -> None:
            user = user_in_sight(work, caller, user_id, lock=True)
            caller.must_equal(work, user.id)
            work.users.put(end_everything(work, user, now))

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: end(work)))

    def _renew(self, work: Work, secret: str, request_id: str, now: datetime) -> _Renewed | None:
        """Replace the token; None for one that opens nothing."""
        old = work.tokens.refresh_token(digest(secret))
        session = None if old is None else work.tokens.session(old.session_id)
        if old is None or session is None:
            return None
        if old.replaced_at is not None:
            return self._come_again(work, old, session, secret, request_id, now)
        if old.expires_at <= now or session.expires_at <= now:
            return None
        user = work.users.find(session.user_id)
        if user is None or user.disabled:
            return None
        fresh = (
            successor(secret, request_id) if request_id else spell(REFRESH_PREFIX, secrets.token_bytes(SECRET_BYTES))
        )
        new = self._token(fresh, session, now)
        replaced = msgspec.structs.replace(
            old, replaced_at=now, replaced_by=new.hash, replaced_request=digest(request_id) if request_id else ""
        )
        work.tokens.replace(replaced, new)
        return _Renewed(user=user, session=session, refresh_token=fresh, expires_at=new.expires_at)

    def _come_again(
        self, work: Work, old: RefreshToken, session: Session, secret: str, request_id: str, now: datetime
    ) -> _Renewed:
        """A replaced token: the retry of the request that replaced it, or one that was stolen."""
        retry_until = (old.replaced_at or now) + timedelta(seconds=self._settings.refresh_retry_seconds)
        same = bool(request_id) and hmac.compare_digest(old.replaced_request, digest(request_id))
        if same and now <= retry_until:
            new = work.tokens.refresh_token(old.replaced_by)
            user = work.users.find(session.user_id)
            if new is not None and new.replaced_at is None and user is not None and not user.disabled:
                fresh = successor(secret, request_id)
                return _Renewed(user=user, session=session, refresh_token=fresh, expires_at=new.expires_at)
        self._end(work, session.id, now, all_sessions=False)
        return _Renewed(user=None, session=session)

    def _end(self, work: Work, session_id: str, now: datetime, *, all_sessions: bool) -> None:
        session = work.tokens.session(session_id)
        if session is None:
            return
        if all_sessions:
            self._end_all(work, session.user_id, now)
            return
        work.tokens.end_session(session_id)
        revoke_token(work, session_id, session.user_id, self._last_expiry(now), now)

    @classmethod
    def _revoke(cls, work: Work, claims: Claims, now: datetime, *, all_sessions: bool) -> None:
        """Of an access token: all sessions of its user, or itself, whatever it comes from."""
        if claims.expires_at <= now or work.users.find(claims.user_id) is None:
            return
        if all_sessions:
            cls._end_all(work, claims.user_id, now)
        else:
            revoke_token(work, claims.token_id, claims.user_id, claims.expires_at, now)

    @staticmethod
    def _end_all(work: Work, user_id: str, now: datetime) -> None:
        user = work.users.find(user_id, lock=True)
        if user is not None:
            work.users.put(end_everything(work, user, now))

    def _last_expiry(self, now: datetime) -> datetime:
        """When the last access token given until now has expired."""
        return now + timedelta(seconds=self._settings.access_seconds)

    def _token(self, secret: str, session: Session, now: datetime) -> RefreshToken:
        until = min(now + timedelta(seconds=self._settings.refresh_seconds), session.expires_at)
        return RefreshToken(hash=digest(secret), session_id=session.id, expires_at=until)

    def _opened(self, user: User, session: Session, secret: str, until: datetime, now: datetime) -> Opened:
        access_token, seconds = self._ring.sign(user, session.id)
        return Opened(
            user_id=user.id,
            tenant_id=user.tenant_id,
            access_token=access_token,
            expires_seconds=seconds,
            refresh_token=secret,
            refresh_seconds=int((until - now).total_seconds()),
        )
