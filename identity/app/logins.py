"""Proving a password, and changing it.

Whether a user is unknown, disabled, of an outside issuer, or the password is wrong: the same statements, one hash, and
the same answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import Final

from identity.app.accounts import Accounts, end_everything
from identity.app.attempts import Source, Throttle, too_many
from identity.app.outcomes import BAD, PASSWORD, TOO_SOON, Outcomes
from identity.app.ports import Passwords, Store, Work
from identity.app.requests import MAX_TEXT_CHARACTERS, refused
from identity.model.people import Password, User
from mesh.clock import Clock
from mesh.errors import FailedPrecondition, Unauthenticated

MAX_GIVEN_CHARACTERS: Final = 4096
"""A longer password is not looked at; it takes as long as one that is."""


class Logins:
    """Checks passwords. Raises Unavailable while the database is away, ResourceExhausted if too many wait."""

    def __init__(
        self,
        store: Store,
        passwords: Passwords,
        throttle: Throttle,
        accounts: Accounts,
        *,
        outcomes: Outcomes,
        clock: Clock,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._throttle = throttle
        self._accounts = accounts
        self._outcomes = outcomes
        self._clock = clock
        self._under_way: dict[bytes, asyncio.Future[User]] = {}
        self._key = secrets.token_bytes(32)

    async def prove(self, user_id: str, password: str, address: str) -> User:
        """The user whose password it is. The same pair many times at once is proven, and counted, once.

        Raises Unauthenticated, ResourceExhausted with the time to wait, FailedPrecondition if it must be changed.
        """
        user, must_change = await self._together(user_id, password, address)
        if must_change:
            raise FailedPrecondition(
                "password-change-required",
                "expected a password of the user's own choice, found one that must be changed",
            )
        return user

    async def change_password(self, user_id: str, password: str, new_password: str, address: str) -> None:
        """Replace a password by the user. Raises as `prove` does, and InvalidArgument for the new one."""
        self._accounts.check_password(new_password)
        if hmac.compare_digest(password.encode(), new_password.encode()):
            raise refused("new_password", "expected another password than the present one, found the same")
        user, _ = await self._together(user_id, password, address)
        hashed = await self._passwords.hash(new_password)
        now = self._clock.now()

        def change(work: Work) -> None:
            present = work.users.find(user.id, lock=True)
            # Somebody else may have set another password since this one was proven.
            if present is None or present.disabled or present.token_generation != user.token_generation:
                raise bad_credentials()
            work.users.put_password(user.id, Password(hash=hashed), now)
            work.users.put(end_everything(work, present, now))

        await self._store.write(change)

    async def _together(self, user_id: str, password: str, address: str) -> tuple[User, bool]:
        """Callers with one and the same pair share one proof: a crowd with a right password is no attack."""
        for field, value in (("user_id", user_id), ("password", password)):
            if not value:
                raise refused(field, f"expected a user id and a password, found '{field}' empty")
        pair = f"{len(user_id)} {user_id} {password} {address}".encode(errors="surrogatepass")
        key = hmac.new(self._key, pair, hashlib.sha256).digest()
        proof = self._under_way.get(key)
        if proof is None:
            proof = self._under_way[key] = asyncio.ensure_future(self._prove(user_id, password, address))
            proof.add_done_callback(lambda done: self._ended(key, done))
        user = await asyncio.shield(proof)
        return user, user.must_change_password

    def _ended(self, key: bytes, done: asyncio.Future[User]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # looked at, so that nobody is told of an error that its waiters did not want

    async def _prove(self, user_id: str, password: str, address: str) -> User:
        source = Source(user_id=user_id, address=address)
        now = self._clock.now()

        def begin(work: Work) -> tuple[float, User | None, Password | None]:
            wait_seconds = self._throttle.begin(work, source, now)
            known = user_id[:MAX_TEXT_CHARACTERS]
            return wait_seconds, work.users.find(known), work.users.password(known)

        wait_seconds, user, kept = await self._store.write(begin)
        known_user_id = "" if user is None else user.id
        if wait_seconds > 0:
            self._outcomes.refused(PASSWORD, TOO_SOON, known_user_id=known_user_id, address=address)
            raise too_many(wait_seconds)
        usable = len(password) <= MAX_GIVEN_CHARACTERS and len(user_id) <= MAX_TEXT_CHARACTERS
        may = usable and user is not None and not user.disabled and not user.issuer and kept is not None
        hash_ = kept.hash if may and kept is not None else None
        right = await self._passwords.verify(hash_, password if usable else "")
        if not right or user is None or hash_ is None:
            self._outcomes.refused(PASSWORD, BAD, known_user_id=known_user_id, address=address)
            raise bad_credentials()
        dated = self._passwords.is_dated(hash_)
        renewed = await self._passwords.hash(password) if dated else None

        def succeed(work: Work) -> None:
            self._throttle.succeeded(work, source)
            if renewed is not None and (present := work.users.password(user.id)) is not None and present.hash == hash_:
                work.users.put_password(user.id, Password(hash=renewed, must_change=present.must_change), now)

        await self._store.write(succeed)
        self._outcomes.good(PASSWORD)
        return user


def bad_credentials() -> Unauthenticated:
    """One answer for everything that is wrong with them."""
    return Unauthenticated("bad-credentials", "expected credentials that are good here, found ones that are not")
