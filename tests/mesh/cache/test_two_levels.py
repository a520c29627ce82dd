"""The two levels against a real Redis: who answers, what an invalidation reaches, what the loss of Redis costs."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches, TwoLevelCache
from mesh.testing.redis import Redis, redis_is_installed, running_redis

pytestmark = pytest.mark.skipif(not redis_is_installed(), reason="redis-server is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with running_redis() as running:
        yield running


@pytest.fixture
def redis(server: Redis) -> Redis:
    server.restart()  # empty
    return server


class Source:
    """The truth, and how often it was asked."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.asked = 0

    def of(self, key: str) -> Callable[[], Awaitable[str]]:
        async def load() -> str:
            self.asked += 1
            return self.values[key]

        return load


@asynccontextmanager
async def replica(url: str, *, alone: bool = False, **settings: float) -> AsyncIterator[TwoLevelCache[str]]:
    caches = Caches(CacheSettings(url=url, **settings), alone=alone)  # type: ignore[arg-type]
    cache = caches.open("names", str, seconds=60, entries=100)
    await caches.start()
    try:
        if url:
            await until(lambda: caches.attached)
        yield cache
    finally:
        await caches.stop()


async def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - the other side tells nobody
            await asyncio.sleep(0.001)


async def until_seen(cache: TwoLevelCache[str], source: Source, key: str, value: str, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while await cache.get(key, source.of(key)) != value:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)


async def test_memory_answers_before_redis_and_redis_before_the_source(redis: Redis) -> None:
    source = Source(a="one")
    async with replica(redis.url) as first, replica(redis.url) as second:
        found = [await first.get("a", source.of("a")), await first.get("a", source.of("a"))]
        found.append(await second.get("a", source.of("a")))

        assert found == ["one", "one", "one"]
        assert source.asked == 1
        assert (first.source, first.memory, first.redis) == (1, 1, 0)
        assert (second.source, second.memory, second.redis) == (0, 0, 1)


async def test_another_replica_sees_a_change_within_100_milliseconds(redis: Redis) -> None:
    source = Source(a="0")
    took: list[float] = []
    async with replica(redis.url) as writer, replica(redis.url) as reader:
        for turn in range(1, 10):
            await reader.get("a", source.of("a"))
            source.values["a"] = str(turn)
            began = time.monotonic()
            await writer.invalidate("a")
            await until_seen(reader, source, "a", str(turn))
            took.append(time.monotonic() - began)

    assert sorted(took)[len(took) // 2] < 0.1


async def test_a_slow_reader_does_not_put_an_old_value_back(redis: Redis) -> None:
    source = Source(a="old")
    read, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> str:
        value = source.values["a"]
        read.set()
        await go_on.wait()
        return value

    async with replica(redis.url) as slow, replica(redis.url) as writer, replica(redis.url) as other:
        reading = asyncio.create_task(slow.get("a", slowly))
        await read.wait()
        source.values["a"] = "new"
        await writer.invalidate("a")
        await asyncio.sleep(0)
        go_on.set()

        assert await reading == "old"  # it was asked before the change
        assert await other.get("a", source.of("a")) == "new"
        await until(lambda: "a" not in slow._loading)
        assert await slow.get("a", source.of("a")) == "new"


async def test_many_waiters_share_one_load_and_one_of_them_may_leave() -> None:
    asked = 0
    go_on = asyncio.Event()

    async def load() -> str:
        nonlocal asked
        asked += 1
        await go_on.wait()
        return "value"

    async with replica("", alone=True) as cache:
        waiters = [asyncio.create_task(cache.get("a", load)) for _ in range(5)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        await asyncio.sleep(0)
        go_on.set()

        assert await asyncio.gather(*waiters[1:]) == ["value"] * 4
        assert asked == 1


async def test_what_the_source_raises_reaches_the_caller_and_is_not_kept() -> None:
    source = Source()
    async with replica("", alone=True) as cache:
        with pytest.raises(KeyError):
            await cache.get("a", source.of("a"))
        source.values["a"] = "there"

        assert await cache.get("a", source.of("a")) == "there"


async def test_a_value_of_another_version_is_loaded_anew(redis: Redis) -> None:
    caches = Caches(CacheSettings(url=redis.url), alone=False)
    old = caches.open("names", int, seconds=60, entries=10)
    await caches.start()
    await until(lambda: caches.attached)

    async def number() -> int:
        return 5

    await old.get("a", number)
    await caches.stop()

    async with replica(redis.url) as cache:
        assert await cache.get("a", Source(a="one").of("a")) == "one"


async def test_redis_killed_and_back_under_load_fails_no_request_and_hides_no_change(redis: Redis) -> None:
    source = Source(**{str(n): "0" for n in range(20)})
    failures: list[Exception] = []
    answered = 0
    stop = asyncio.Event()

    async def ask(cache: TwoLevelCache[str]) -> None:
        nonlocal answered
        while not stop.is_set():
            for key in source.values:
                try:
                    await cache.get(key, source.of(key))
                    answered += 1
                except Exception as failed:  # every failure counts
                    failures.append(failed)
            await asyncio.sleep(0)

    settings = {"retry_seconds": 0.05, "heartbeat_seconds": 0.1, "detached_seconds": 0.05}
    async with replica(redis.url, **settings) as one, replica(redis.url, **settings) as two:
        asking = [asyncio.create_task(ask(cache)) for cache in (one, two)]
        await until(lambda: answered > 200)
        await asyncio.to_thread(redis.kill)
        source.values["3"] = "changed while away"
        await one.invalidate("3")
        assert await one.get("3", source.of("3")) == "changed while away"
        before = answered
        await until(lambda: answered > before + 200)
        # Nobody could tell the other replica: it asks the source again by itself.
        await until_seen(two, source, "3", "changed while away")
        await asyncio.to_thread(redis.start)
        await until(lambda: one._freshness.seconds() > 1 and two._freshness.seconds() > 1)
        before = answered
        await until(lambda: answered > before + 200)
        assert await two.get("3", source.of("3")) == "changed while away"
        stop.set()
        await asyncio.gather(*asking)

    assert failures == []


async def test_an_invalidation_that_redis_missed_is_told_when_it_is_back(redis: Redis) -> None:
    source = Source(a="old")
    settings = {"retry_seconds": 0.05, "heartbeat_seconds": 0.1, "timeout_seconds": 0.05}
    async with replica(redis.url, **settings) as writer, replica(redis.url, **settings) as reader:
        await reader.get("a", source.of("a"))
        source.values["a"] = "new"
        redis_stopped(redis, True)
        await writer.invalidate("a")  # times out
        redis_stopped(redis, False)

        await until_seen(reader, source, "a", "new")
        async with replica(redis.url) as third:
            assert await third.get("a", source.of("a")) == "new"


def redis_stopped(redis: Redis, stopped: bool) -> None:
    os.kill(redis._daemon.pid, signal.SIGSTOP if stopped else signal.SIGCONT)


async def test_without_redis_other_processes_changes_are_seen_soon() -> None:
    source = Source(a="old")
    async with replica("", detached_seconds=0.05) as cache:
        await cache.get("a", source.of("a"))
        source.values["a"] = "new"

        await until_seen(cache, source, "a", "new")


async def test_the_least_recently_used_makes_room() -> None:
    caches = Caches(CacheSettings(), alone=True)
    cache = caches.open("small", str, seconds=60, entries=2)
    source = Source(a="1", b="2", c="3")
    for key in ("a", "b", "a", "c", "a", "b"):
        await cache.get(key, source.of(key))

    assert source.asked == 4  # a, b, c, and b again
    assert len(cache) == 2


async def test_hits_are_metrics(redis: Redis) -> None:
    registry = CollectorRegistry()
    caches = Caches(CacheSettings(url=redis.url), registry, alone=False)
    cache = caches.open("names", str, seconds=60, entries=10)
    await caches.start()
    await until(lambda: caches.attached)
    source = Source(a="one")
    for _ in range(3):
        await cache.get("a", source.of("a"))

    def count(level: str) -> float | None:
        return registry.get_sample_value("flowloom_cache_requests_total", {"cache": "names", "answered_by": level})

    assert (count("memory"), count("redis"), count("source")) == (2, 0, 1)
    assert registry.get_sample_value("flowloom_cache_redis_up") == 1
    await caches.stop()


def test_two_caches_cannot_have_one_name() -> None:
    caches = Caches(CacheSettings(), alone=True)
    caches.open("names", str, seconds=60, entries=10)

    with pytest.raises(ValueError, match="names"):
        caches.open("names", str, seconds=60, entries=10)
