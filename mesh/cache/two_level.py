"""A cache by name, and the caches of a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.cache.local import LocalEntries
from mesh.cache.settings import CacheSettings

if TYPE_CHECKING:
    from mesh.cache.remote import Remote

V = TypeVar("V")

LONGEST_LOAD_SECONDS: Final = 60.0
"""What took longer to load is not kept in Redis: the mark that tells of a change meanwhile may be gone."""

REQUESTS_TOTAL: Final = "flowloom_cache_requests"
"""Counter; labels cache, answered_by (memory, redis, source)."""
REDIS_UP: Final = "flowloom_cache_redis_up"
"""Gauge: 1 while invalidations of other processes arrive."""


class TwoLevelCache(Generic[V]):
    """Values of one kind by key. Used on the event loop of one process."""

    def __init__(
        self,
        name: str,
        kind: Any,
        *,
        seconds: float,
        entries: int,
        freshness: Freshness,
        remote: Remote | None,
        on_forgotten: Callable[[str], None] | None = None,
    ) -> None:
        """`kind` is what msgspec can encode; `seconds` is how long an entry lives, `entries` how many memory keeps."""
        self.name = name
        self.memory = self.redis = self.source = 0
        self._seconds = seconds
        self._local: LocalEntries[V] = LocalEntries(entries)
        self._loading: dict[str, asyncio.Future[V]] = {}
        self._freshness = freshness
        self._remote = remote
        self._on_forgotten = on_forgotten
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self.hearers: list[Callable[[str | None], None]] = []
        """Told of each key that this process forgets, whoever changed it; None: of all keys."""

    def __len__(self) -> int:
        return len(self._local)

    async def get(self, key: str, load: Callable[[], Awaitable[V]]) -> V:
        """Return the value: from memory, from Redis, or from `load`, which many waiters share.

        Raises what `load` raises; nothing is kept then.
        """
        now = time.monotonic()
        oldest = now - min(self._seconds, self._freshness.seconds())
        # Not even what was kept this very moment, where nothing may be old.
        found = self._local.get(key, oldest) if oldest < now else None
        if found is not None:
            self.memory += 1
            return found[0]
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._fetch(key, load))
            loading.add_done_callback(_retrieved)
        # Whoever gives up waiting must not take the value from the others.
        return await asyncio.shield(loading)

    async def invalidate(self, *keys: str) -> None:
        """Forget the values, here at once and everywhere else as soon as the message arrives."""
        for key in keys:
            self.forget(key)
        if self._remote is not None and keys:
            await self._remote.drop(self.name, keys)

    def invalidate_soon(self, *keys: str) -> None:
        """The same without waiting for Redis: this process has forgotten the values when it returns."""
        for key in keys:
            self.forget(key)
        if self._remote is not None and keys:
            self._remote.drop_soon(self.name, keys)

    def forget(self, key: str) -> None:
        """Forget a value in this process; a load under way is no longer kept, nor joined."""
        self._local.drop(key)
        self._loading.pop(key, None)
        for hearer in self.hearers:
            hearer(key)
        if self._on_forgotten is not None:
            self._on_forgotten(key)

    def forget_all(self) -> None:
        """Forget all values in this process."""
        self._local.clear()
        self._loading.clear()
        for hearer in self.hearers:
            hearer(None)
        if self._on_forgotten is not None:
            self._on_forgotten("")

    async def _fetch(self, key: str, load: Callable[[], Awaitable[V]]) -> V:
        mine = asyncio.current_task()
        began = time.monotonic()
        try:
            remote = None if self._remote is None else await self._remote.get(self.name, key)
            if remote is not None and remote[0] is not None:
                value = self._read(remote[0])
                if value is not None:
                    self.redis += 1
                    self._keep(key, value[0], mine, began)
                    return value[0]
            loaded = await load()
            self.source += 1
            self._keep(key, loaded, mine, began)
            if self._remote is not None and remote is not None and time.monotonic() - began < LONGEST_LOAD_SECONDS:
                await self._remote.put(self.name, key, self._encode(loaded), remote[1], self._seconds)
            return loaded
        finally:
            if self._loading.get(key) is mine:
                del self._loading[key]

    def _keep(self, key: str, value: V, mine: object, began: float) -> None:
        # The age counts from before the source was asked: what changed meanwhile is not hidden for longer.
        if self._loading.get(key) is mine:
            self._local.put(key, value, began)

    def _read(self, data: bytes) -> tuple[V] | None:
        try:
            return (self._decode(data),)
        except msgspec.MsgspecError:
            # Another version of the process wrote it.
            return None


class Freshness:
    """How old an entry may be at present."""

    def __init__(self, detached_seconds: float, remote: Remote | None, *, alone: bool) -> None:
        self._detached_seconds = detached_seconds
        self._remote = remote
        self._alone = alone

    def of(self, detached_seconds: float) -> Freshness:
        """Return the same with another bound."""
        return Freshness(detached_seconds, self._remote, alone=self._alone)

    def seconds(self) -> float:
        """Return the greatest age: without limit where every invalidation arrives."""
        if self._alone or (self._remote is not None and self._remote.attached):
            return float("inf")
        return self._detached_seconds


class Caches(Collector):
    """All caches of a process: they share a connection to Redis and the channel of invalidations."""

    def __init__(self, settings: CacheSettings, registry: CollectorRegistry | None = None, *, alone: bool) -> None:
        """`alone`: no other process changes what is cached here, so that no channel is needed to hear of it."""
        self._caches: dict[str, TwoLevelCache[Any]] = {}
        self._remote = self._open_remote(settings)
        self._freshness = Freshness(settings.detached_seconds, self._remote, alone=alone and not settings.url)
        if registry is not None:
            registry.register(self)

    def open(
        self,
        name: str,
        kind: type[V],
        *,
        seconds: float,
        entries: int,
        detached_seconds: float | None = None,
        on_forgotten: Callable[[str], None] | None = None,
    ) -> TwoLevelCache[V]:
        """Return a new cache. Raises ValueError if there is one of that name.

        `detached_seconds` in place of the setting, where an old entry does more or less harm than elsewhere.
        `on_forgotten` is told of each key that is forgotten, by whomever; of an empty one if all are.
        """
        if name in self._caches:
            raise ValueError(f"expected a new name for a cache, found {name} a second time")
        cache: TwoLevelCache[V] = TwoLevelCache(
            name,
            kind,
            seconds=seconds,
            entries=entries,
            freshness=self._freshness if detached_seconds is None else self._freshness.of(detached_seconds),
            remote=self._remote,
            on_forgotten=on_forgotten,
        )
        self._caches[name] = cache
        return cache

    def _open_remote(self, settings: CacheSettings) -> Remote | None:
        """The second level, where its URL is set. Its client is only imported then: it takes long to."""
        if not settings.url:
            return None
        from mesh.cache.remote import Remote

        return Remote(settings, self._on_dropped)

    @property
    def attached(self) -> bool:
        """Tell whether invalidations of other processes arrive."""
        return self._remote is not None and self._remote.attached

    async def start(self) -> None:
        """Begin to listen for invalidations; does not wait for Redis."""
        if self._remote is not None:
            self._remote.start()

    async def stop(self) -> None:
        """Hang up."""
        if self._remote is not None:
            await self._remote.stop()

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering collects nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Return the present counts."""
        asked = CounterMetricFamily(REQUESTS_TOTAL, "Lookups in caches.", labels=("cache", "answered_by"))
        for name, cache in tuple(self._caches.items()):
            for level, count in (("memory", cache.memory), ("redis", cache.redis), ("source", cache.source)):
                asked.add_metric((name, level), count)
        yield asked
        yield GaugeMetricFamily(REDIS_UP, "Invalidations of other processes arrive.", value=int(self.attached))

    def _on_dropped(self, name: str, key: str) -> None:
        if not name:
            for cache in self._caches.values():
                cache.forget_all()
        elif name in self._caches:
            self._caches[name].forget(key)


def _retrieved(done: asyncio.Future[Any]) -> None:
    # If every waiter has gone, nobody else looks at the error.
    if not done.cancelled():
        done.exception()
