"""The second level: Redis, and the channel on which processes tell each other what is no longer true.

A value is written only if its key was not invalidated since it was looked up: beside each value there may be a mark
that counts the invalidations. Otherwise a slow reader could put an old value back after somebody else's change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

import redis.asyncio as redis
from redis.exceptions import RedisError

from mesh.cache.settings import CacheSettings

T = TypeVar("T")
_LOGGER: Final = logging.getLogger(__name__)

MARK_SECONDS: Final = 300
"""How long an invalidation is remembered; a load that takes longer is not kept (`two_level`)."""
CANCEL_SECONDS: Final = 0.5
_SEPARATOR: Final = "\x1f"
_EVERYTHING: Final = "*"

_PUT: Final = """
if redis.call('GET', KEYS[2]) == (ARGV[1] ~= '' and ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
return 0
"""
_DROP: Final = """
for i = 1, #KEYS, 2 do
  redis.call('INCR', KEYS[i + 1])
  redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
  redis.call('DEL', KEYS[i])
end
for i = 3, #ARGV do redis.call('PUBLISH', ARGV[2], ARGV[i]) end
return 1
"""


class Remote:
    """Redis as this process sees it. Nothing here raises because Redis is away."""

    def __init__(self, settings: CacheSettings, on_dropped: Callable[[str, str], None]) -> None:
        """`on_dropped(cache, key)` is told what others invalidated; two empty texts mean everything."""
        self._settings = settings
        self._on_dropped = on_dropped
        self._channel = f"{settings.prefix}:invalidated"
        # One try: who waits for an answer has the database to go to, and the next request tries Redis again.
        self._client = redis.Redis.from_url(
            settings.url,
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=None,
        )
        self._put = self._client.register_script(_PUT)
        self._drop = self._client.register_script(_DROP)
        self._away_until = 0.0
        self._pending: set[tuple[str, str]] = set()
        self._forget_all = False
        self._listener: asyncio.Task[None] | None = None
        self._teller: asyncio.Task[None] | None = None
        self.attached = False
        """Invalidations of other processes arrive."""

    def start(self) -> None:
        """Begin to listen for invalidations."""
        self._listener = asyncio.create_task(self._listen(), name="cache invalidations")

    async def stop(self) -> None:
        """Listen no more and hang up."""
        if self._teller is not None:
            await asyncio.wait((self._teller,))
        if self._listener is not None:
            # A cancellation that meets a time limit inside of the client can get lost there, so it is repeated.
            while not self._listener.done():
                self._listener.cancel()
                await asyncio.wait((self._listener,), timeout=CANCEL_SECONDS)
            self._listener = None
        self.attached = False
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def get(self, cache: str, key: str) -> tuple[bytes | None, str] | None:
        """Return the value and its mark; None if Redis is away."""
        if not self._is_usable(cache, key):
            return None
        found = await self._attempt(self._client.mget(self._value(cache, key), self._mark(cache, key)))
        if found is None:
            return None
        value, mark = cast("list[bytes | None]", found)
        return value, "" if mark is None else mark.decode()

    async def put(self, cache: str, key: str, value: bytes, mark: str, seconds: float) -> None:
        """Keep the value unless the key was invalidated since `mark` was read."""
        if self._is_usable(cache, key):
            keys = [self._value(cache, key), self._mark(cache, key)]
            await self._attempt(self._put(keys=keys, args=[mark, value, round(seconds * 1000)]))

    async def drop(self, cache: str, keys: tuple[str, ...]) -> None:
        """Invalidate for everybody; what Redis cannot be told now, it is told before it is used again."""
        self._note(cache, keys)
        if time.monotonic() >= self._away_until:
            await self._attempt(self._tell())

    def drop_soon(self, cache: str, keys: tuple[str, ...]) -> None:
        """The same without waiting: from here on this process does not ask Redis for these keys until it was told."""
        self._note(cache, keys)
        if self._teller is None and time.monotonic() >= self._away_until:
            self._teller = asyncio.create_task(self._tell_on(), name="cache invalidations to tell")

    async def _tell_on(self) -> None:
        # What comes meanwhile goes along: a busy process tells of hundreds at once.
        await self._attempt(self._tell())
        self._teller = None

    def _note(self, cache: str, keys: tuple[str, ...]) -> None:
        self._pending.update((cache, key) for key in keys)
        if len(self._pending) > self._settings.pending_invalidations:
            self._pending.clear()
            self._forget_all = True

    async def _tell(self) -> bool:
        """Tell Redis of what is pending; raises if it is away."""
        if self._forget_all:
            await self._forget_everything()
            self._forget_all = False
        while batch := tuple(self._pending)[:100]:
            names = [name for cache, key in batch for name in (self._value(cache, key), self._mark(cache, key))]
            told = [_SEPARATOR.join(entry) for entry in batch]
            await self._drop(keys=names, args=[MARK_SECONDS, self._channel, *told])
            self._pending.difference_update(batch)
        return True

    async def _forget_everything(self) -> None:
        pattern = f"{self._settings.prefix}:value:*"
        async for name in self._client.scan_iter(match=pattern, count=1000):
            await self._client.delete(name)
        await self._client.publish(self._channel, _EVERYTHING)

    def _is_usable(self, cache: str, key: str) -> bool:
        # Of what is pending, Redis may hold values that are known to be wrong.
        return (
            self.attached
            and not self._forget_all
            and (cache, key) not in self._pending
            and time.monotonic() >= self._away_until
        )

    async def _attempt(self, asked: Awaitable[T]) -> T | None:
        try:
            return await asked
        except (RedisError, OSError, TimeoutError) as failed:
            if time.monotonic() >= self._away_until:
                _LOGGER.warning("the cache goes on without Redis: %s", failed or type(failed).__name__)
            self._away_until = time.monotonic() + self._settings.retry_seconds
            return None

    def _value(self, cache: str, key: str) -> str:
        return f"{self._settings.prefix}:value:{cache}:{key}"

    def _mark(self, cache: str, key: str) -> str:
        return f"{self._settings.prefix}:mark:{cache}:{key}"

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError, TimeoutError) as failed:
                if self.attached:
                    _LOGGER.warning("invalidations of other processes cannot arrive: %s", failed)
            self.attached = False
            await asyncio.sleep(self._settings.retry_seconds)

    async def _listen_once(self) -> None:
        # The channel is silent for as long as nothing changes, so its connection has no time limit but the heartbeat.
        client = redis.Redis.from_url(
            self._settings.url, socket_connect_timeout=self._settings.timeout_seconds, retry=None
        )
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(self._channel)
                asked = False
                while True:
                    said = await channel.get_message(timeout=self._settings.heartbeat_seconds)
                    if said is not None:
                        asked = False
                        await self._take(said)
                    elif asked:
                        raise TimeoutError(f"no answer within {self._settings.heartbeat_seconds} s")
                    else:
                        await channel.ping()
                        asked = True
                        if self._pending or self._forget_all:
                            await self._attempt(self._tell())
        finally:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()

    async def _take(self, said: Any) -> None:
        if said["type"] == "subscribe":
            # What was said before we listened is unknown: nothing that we remember counts any more.
            await self._tell()
            self._on_dropped("", "")
            self._away_until = 0.0
            self.attached = True
        elif said["type"] == "message":
            cache, _, key = said["data"].decode().partition(_SEPARATOR)
            self._on_dropped("" if cache == _EVERYTHING else cache, key)
