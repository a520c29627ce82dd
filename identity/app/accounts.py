"""Users: making, changing, deleting and erasing them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from identity.app.authority import (
    ADMINISTRATORS,
    Caller,
    existing_tenant,
    keep_an_administrator,
    user_in_sight,
)
from identity.app.ports import Passwords, Store, Work
from identity.app.requests import check_id, check_texts, once, refused, request_of
from identity.model.people import Password, User
from identity.model.permissions import ALL, has
from identity.model.tokens import digest
from identity.settings import PasswordSettings
from mesh.clock import Clock
from mesh.errors import AlreadyExists

MAX_PASSWORD_CHARACTERS: Final = 512
MAX_REVOKED: Final = 200
"""Single tokens and sessions of a user that are refused by name; the answer about their permissions carries them."""
_GENERATIONS_FROM: Final = datetime(2026, 1, 1, tzinfo=UTC)


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user to make. `tenant_id` None: the caller's."""

    user: User
    tenant_id: str | None = None
    password: str | None = None
    must_change_password: bool = False


class UserChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a user; None stays as it is."""

    user_id: str
    first_name: str | None = None
    last_name: str | None = None
    display_name: str | None = None
    email: str | None = None
    password: str | None = None
    must_change_password: bool = False
    tenant_id: str | None = None
    disabled: bool | None = None
    issuer: str | None = None

    @property
    def takes_over(self) -> bool:
        """Tell whether who makes the change could become the user, or shut them out."""
        fields = (self.password, self.tenant_id, self.disabled, self.issuer)
        return self.must_change_password or any(field is not None for field in fields)


class Accounts:
    """The use cases of users. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, passwords: Passwords, clock: Clock, settings: PasswordSettings) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._settings = settings

    async def create(self, caller: Caller, ask: NewUser, request_id: str) -> User:
        """Make a user. Raises AlreadyExists, InvalidArgument, NotFound (tenant), PermissionDenied."""
        wanted = ask.user
        check_id("id", wanted.id)
        _check_names(wanted.first_name, wanted.last_name, wanted.display_name, wanted.email, wanted.issuer)
        tenant_id = caller.tenant_of_new(ask.tenant_id)
        request = request_of(caller, f"CreateUser {wanted.id}", request_id)
        hashed = await self._hashed(ask.password, wanted.issuer)
        now = self._clock.now()

        def make(work: Work) -> User:
            if work.users.find(wanted.id) is not None:
                raise AlreadyExists("user-exists", f"expected a new user id, found that '{wanted.id}' is taken")
            existing_tenant(work, tenant_id)
            user = msgspec.structs.replace(
                wanted,
                tenant_id=tenant_id,
                token_generation=generation(now),
                must_change_password=hashed is not None and ask.must_change_password,
            )
            work.users.add(user)
            if hashed is not None:
                work.users.put_password(user.id, Password(hash=hashed, must_change=ask.must_change_password), now)
            work.changed([user.id])
            return user

        return await self._store.write(lambda work: once(work, request, now, User, lambda: make(work), wanted.id))

    async def get(self, caller: Caller, user_id: str) -> User:
        """One user. Raises NotFound."""
        return await self._store.read(lambda work: user_in_sight(work, caller, user_id))

    async def update(self, caller: Caller, ask: UserChange, request_id: str) -> User:
        """Change a user. Raises NotFound, InvalidArgument, PermissionDenied, FailedPrecondition."""
        _check_names(ask.first_name, ask.last_name, ask.display_name, ask.email, ask.issuer)
        request = request_of(caller, f"UpdateUser {ask.user_id}", request_id)
        hashed = await self._hashed(ask.password, ask.issuer or "")
        now = self._clock.now()

        def change(work: Work) -> User:
            if ask.disabled:
                work.lock(ADMINISTRATORS)
            present = user_in_sight(work, caller, ask.user_id, lock=True)
            privileges = caller.must_equal(work, present.id) if ask.takes_over else ()
            user = _changed(present, ask)
            if user.issuer and hashed is not None:
                raise refused("password", f"expected no password for a user of issuer {user.issuer}, found one")
            if user.tenant_id != present.tenant_id:
                caller.tenant_of_new(user.tenant_id)
                existing_tenant(work, user.tenant_id)
            user = self._change_password(work, user, ask, hashed, now)
            if hashed is not None or _shut_out(present, user):
                user = end_everything(work, user, now)
            work.users.put(user)
            work.changed([user.id])
            if ask.disabled and not present.disabled and has(privileges, ALL):
                keep_an_administrator(work)
            return user

        return await self._store.write(lambda work: once(work, request, now, User, lambda: change(work), ask.user_id))

    async def delete(self, caller: Caller, user_id: str, request_id: str) -> None:
        """Delete a user and all that is theirs. Raises NotFound, PermissionDenied, FailedPrecondition."""
        request = request_of(caller, f"DeleteUser {user_id}", request_id)
        now = self._clock.now()

        def remove(work: Work) -> None:
            work.lock(ADMINISTRATORS)
            user_in_sight(work, caller, user_id, lock=True)
            _drop(work, caller, user_id)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: remove(work)))

    async def erase(self, caller: Caller, user_id: str, request_id: str) -> dict[str, int]:
        """Delete all that holds personal data of an id; rows removed by kind. Raises PermissionDenied."""
        check_id("user_id", user_id)
        request = request_of(caller, f"EraseUser {user_id}", request_id)
        now = self._clock.now()

        def remove(work: Work) -> dict[str, int]:
            work.lock(ADMINISTRATORS)
            if work.users.find(user_id) is not None:
                user_in_sight(work, caller, user_id, lock=True)
            removed = _drop(work, caller, user_id)
            removed["answer"] = work.answers.drop_of(user_id)
            removed["attempts"] = work.counts.drop("user", subject_of(user_id))
            return removed

        return await self._store.write(lambda work: once(work, request, now, dict[str, int], lambda: remove(work)))

    def check_password(self, password: str) -> None:
        """Refuse a new password that is too short or too long. Raises InvalidArgument."""
        shortest = self._settings.min_characters
        if not shortest <= len(password) <= MAX_PASSWORD_CHARACTERS:
            raise refused(
                "password",
                f"expected a password of {shortest} to {MAX_PASSWORD_CHARACTERS} characters, found {len(password)}",
            )

    async def _hashed(self, password: str | None, issuer: str) -> str | None:
        if password is None:
            return None
        if issuer:
            raise refused("password", f"expected no password for a user of issuer {issuer}, found one")
        self.check_password(password)
        return await self._passwords.hash(password)

    @staticmethod
    def _change_password(work: Work, user: User, ask: UserChange, hashed: str | None, now: datetime) -> User:
        if user.issuer:
            work.users.drop_password(user.id)
            return msgspec.structs.replace(user, must_change_password=False)
        if hashed is not None:
            work.users.put_password(user.id, Password(hash=hashed, must_change=ask.must_change_password), now)
            return msgspec.structs.replace(user, must_change_password=ask.must_change_password)
        known = work.users.password(user.id)
        if ask.must_change_password and known is not None:
            work.users.put_password(user.id, Password(hash=known.hash, must_change=True), now)
            return msgspec.structs.replace(user, must_change_password=True)
        return user


def generation(now: datetime) -> int:
    """The generation of a new user's tokens: higher than any of a deleted user of the same id."""
    return max(int((now - _GENERATIONS_FROM).total_seconds()), 0)


def end_everything(work: Work, user: User, now: datetime) -> User:
    """End the user's sessions; the user whose tokens are of the next generation, still to be put."""
    work.tokens.end_sessions_of(user.id)
    work.changed([user.id])
    return _of_next_generation(user, now)


def revoke_token(work: Work, token_id: str, user_id: str, until: datetime, now: datetime) -> None:
    """Refuse access tokens with this `jti` or `sid`; if that makes too many of one user, refuse all given so far."""
    work.tokens.revoke(token_id, user_id, until)
    work.changed([user_id])
    if work.tokens.count_revoked(user_id) > MAX_REVOKED:
        user = work.users.find(user_id, lock=True)
        if user is not None:
            work.users.put(_of_next_generation(user, now))
            work.tokens.drop_revoked(user_id)


def subject_of(name: str) -> str:
    """Under which wrong credentials of a user or an address are counted: nobody's name is in that table."""
    return digest(name)


def _of_next_generation(user: User, now: datetime) -> User:
    return msgspec.structs.replace(user, token_generation=max(user.token_generation + 1, generation(now)))


def _changed(present: User, ask: UserChange) -> User:
    names = ("first_name", "last_name", "display_name", "email", "tenant_id", "disabled", "issuer")
    return msgspec.structs.replace(
        present, **{name: value for name in names if (value := getattr(ask, name)) is not None}
    )


def _shut_out(before: User, after: User) -> bool:
    """Whether what opened the account does so no longer."""
    disabled = after.disabled and not before.disabled
    must_change = after.must_change_password and not before.must_change_password
    return disabled or must_change or after.issuer != before.issuer


def _drop(work: Work, caller: Caller, user_id: str) -> dict[str, int]:
    privileges = caller.must_equal(work, user_id)
    removed = work.tokens.drop_all_of(user_id) | work.users.drop(user_id)
    work.changed([user_id])
    if has(privileges, ALL):
        keep_an_administrator(work)
    return removed


def _check_names(
    first: str | None, last: str | None, display: str | None, email: str | None, issuer: str | None
) -> None:
    check_texts(first_name=first, last_name=last, display_name=display, email=email, issuer=issuer)
