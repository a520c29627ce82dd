"""The first start: an administrator, with a password that nobody could know before."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Final

from identity.app.accounts import Accounts, generation
from identity.app.authority import ADMINISTRATORS
from identity.app.ports import Passwords, Store, Work
from identity.model.people import Password, Privilege, User
from identity.model.permissions import ALL
from mesh.clock import Clock
from mesh.ids import IdSource

_LOGGER: Final = logging.getLogger(__name__)

ONE_TIME_BYTES: Final = 15
Announce = Callable[[str, str], None]
"""Shows the user id and the one-time password to whoever started us; must not log them."""


class Bootstrap:
    """Makes the administrator, once, whoever of several processes comes first."""

    def __init__(
        self, store: Store, passwords: Passwords, accounts: Accounts, *, clock: Clock, ids: IdSource, announce: Announce
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._accounts = accounts
        self._clock = clock
        self._ids = ids
        self._announce = announce

    async def run(self, user_id: str, password: str | None) -> bool:
        """Make the administrator if there is no user at all; without a password, a one-time one is announced.

        Returns whether they were made. Raises InvalidArgument for a password that is too short, Unavailable.
        """
        if await self._store.read(lambda work: work.users.any_exists()):
            return False
        given = password is not None
        if password is None:
            password = secrets.token_urlsafe(ONE_TIME_BYTES)
        self._accounts.check_password(password)
        kept = Password(hash=await self._passwords.hash(password), must_change=not given)
        made = await self._store.write(lambda work: self._make(work, user_id, kept))
        if made:
            _LOGGER.info("made the administrator", extra={"user_id": user_id})
            if not given:
                self._announce(user_id, password)
        return made

    def _make(self, work: Work, user_id: str, password: Password) -> bool:
        work.lock(ADMINISTRATORS)
        if work.users.any_exists():
            return False
        now = self._clock.now()
        work.users.add(User(id=user_id, token_generation=generation(now)))
        work.users.put_password(user_id, password, now)
        privilege = work.privileges.named(ALL)
        if privilege is None:
            privilege = Privilege(id=self._ids.root(), name=ALL)
            work.privileges.add(privilege)
        work.privileges.give_user(privilege.id, user_id)
        work.changed([user_id])
        return True
