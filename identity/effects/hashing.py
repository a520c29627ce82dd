"""argon2id in threads: a bounded number of hashes at once, and a bounded number that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from identity.settings import PasswordSettings
from mesh.errors import ResourceExhausted

T = TypeVar("T")

RETRY_SECONDS: Final = 1.0


class Argon2Passwords:
    """The `Passwords` of argon2id."""

    def __init__(self, settings: PasswordSettings) -> None:
        """Make the hash that stands in where there is none, which takes as long as any."""
        self._settings = settings
        self._hasher = PasswordHasher(
            time_cost=settings.passes,
            memory_cost=settings.memory_kib,
            parallelism=settings.lanes,
            type=Type.ID,
        )
        self._threads = ThreadPoolExecutor(max_workers=settings.threads, thread_name_prefix="identity-hash")
        self._waiting = 0
        self._nobody: str | None = None
        self.verifications = 0
        """Hashes that were compared so far."""

    async def hash(self, password: str) -> str:
        """A hash of the password with a salt of its own. Raises ResourceExhausted."""
        return await self._in_thread(lambda: self._hasher.hash(password.encode(errors="surrogatepass")))

    async def verify(self, hash_: str | None, password: str) -> bool:
        """Whether it is that password; without a hash it takes as long, and is not. Raises ResourceExhausted."""
        return await self._in_thread(lambda: self._verify(hash_, password))

    def is_dated(self, hash_: str) -> bool:
        """Whether it was made with other settings than today's."""
        return self._hasher.check_needs_rehash(hash_)

    async def prepare(self) -> None:
        """Make the stand-in, so that the first unknown user takes no longer than the second."""
        await self._in_thread(self._stand_in)

    async def close(self) -> None:
        """Let what is under way end."""
        await asyncio.to_thread(self._threads.shutdown)

    def _verify(self, hash_: str | None, password: str) -> bool:
        self.verifications += 1
        against = self._stand_in() if hash_ is None else hash_
        try:
            same = self._hasher.verify(against, password.encode(errors="surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False
        return same and hash_ is not None

    def _stand_in(self) -> str:
        if self._nobody is None:
            self._nobody = self._hasher.hash("nobody has this password")
        return self._nobody

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._settings.max_waiting:
            raise ResourceExhausted(
                "too-many-logins",
                f"expected at most {self._settings.max_waiting} passwords to wait (limit: max_waiting), found more",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
