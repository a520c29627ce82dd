"""How many requests the edge takes: of a method, of a user, of a tenant; and with the counters away."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from gateway.app.counting import Addition, CountRequests, limit_table
from gateway.effects.redis_counters import RedisCounters
from gateway.model.contract import RouteClass
from gateway.model.counting import Counted
from gateway.model.policies import Rates
from gateway.settings import RateSettings
from mesh.testing.redis import Redis
from tests.gateway.edges import opened, until
from tests.gateway.guarded import GuardedEdge, bearer, guarded
from tests.gateway.sample_service import SERVICE

ITEM = "/process-api/items/7"
KERMIT_READS = Counted(route_class="read", kind="user", value="kermit")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.mark.envoy
async def test_a_method_has_its_local_rate_and_others_do_not_notice(tmp_path: Path) -> None:
    rates = Rates(local_per_second={RouteClass.READ: 3})
    async with opened(tmp_path, rates=rates) as edge:
        answers = [await edge.client.get(ITEM) for _ in range(12)]
        others = [await edge.client.post("/process-api/items", json={}) for _ in range(6)]
        async with grpc.aio.insecure_channel(edge.target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as native:
                for _ in range(12):
                    await channel.unary_unary(f"/{SERVICE}/Get")(b"")

    limited = next(answer for answer in answers if answer.status_code == 429)
    assert limited.json()["code"] == "RESOURCE_EXHAUSTED"
    assert limited.json()["reason"] == "too-many-requests"
    assert limited.headers["retry-after"] == "1"
    assert limited.headers["x-ratelimit-limit"].startswith("3")
    assert limited.headers["x-ratelimit-remaining"] == "0"
    assert [answer.status_code for answer in others] == [201] * 6
    assert native.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.envoy
async def test_the_requests_of_a_principal_are_counted_over_redis(tmp_path: Path, redis: Redis) -> None:
    settings = RateSettings(
        redis_url=redis.url, user_reads_per_minute=20, user_writes_per_minute=10_000, tenant_reads_per_minute=28
    )
    counters = RedisCounters(settings, time.monotonic)
    async with guarded(tmp_path, counters=counters, rates=settings) as edge:
        kermit = [await read(edge, "kermit") for _ in range(21)]
        writes = [await edge.client.post("/process-api/items", json={}, headers=as_user(edge, "kermit"))]
        piggy = [await read(edge, "piggy") for _ in range(9)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{edge.port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as native:
                await channel.unary_unary(f"/{SERVICE}/Get")(
                    b"", metadata=tuple(bearer(edge.key.token("kermit")).items())
                )

        await _with_redis_away(edge, redis)
        await counters.close()

    assert kermit[-1].status_code == 429
    assert int(kermit[-1].headers["retry-after"]) in range(1, 61)
    assert kermit[-1].headers["x-ratelimit-limit"].startswith("20, 20;w=60")
    assert kermit[-1].headers["x-ratelimit-remaining"] == "0"
    assert kermit[0].headers["x-ratelimit-limit"].startswith("20, ")
    assert kermit[-1].json()["reason"] == "too-many-requests"
    # Users are counted apart, classes too, and a tenant's users together.
    assert [answer.status_code for answer in writes] == [201]
    assert piggy[0].status_code == 200
    assert piggy[-1].status_code == 429
    assert native.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _with_redis_away(edge: GuardedEdge, redis: Redis) -> None:
    redis.kill()
    try:
        began = time.perf_counter()
        answers = [await read(edge, "kermit") for _ in range(10)]
        assert [answer.status_code for answer in answers] == [200] * 10
        assert time.perf_counter() - began < 5.0
    finally:
        redis.start()

    async def counted_again() -> bool:
        return "x-ratelimit-limit" in (await read(edge, "gonzo")).headers

    await until(counted_again)
    await edge.gateway.stop()
    assert [(await read(edge, "kermit")).status_code for _ in range(3)] == [200] * 3
    await edge.gateway.start()


async def test_all_counters_of_a_request_are_raised_at_once_and_end_by_themselves(redis: Redis) -> None:
    counters = RedisCounters(RateSettings(redis_url=redis.url, redis_timeout_seconds=5.0), time.monotonic)
    both = [
        Addition(name="one", hits=1, expires_in_seconds=100),
        Addition(name="five", hits=5, expires_in_seconds=200),
    ]

    counts = await asyncio.gather(*(counters.add(both) for _ in range(10)))
    ends = [await counters._redis.ttl(name) for name in ("one", "five")]
    await counters.close()

    assert sorted(count[0] for count in counts if count) == list(range(1, 11))
    assert max(count[1] for count in counts if count) == 50
    assert 0 < ends[0] <= 100 < ends[1] <= 200


class Memory:
    """Counters of one process; None says that they are away."""

    def __init__(self) -> None:
        self.counts: dict[str, int] | None = {}

    async def add(self, additions: list[Addition]) -> list[int] | None:
        if self.counts is None:
            return None
        for each in additions:
            self.counts[each.name] = self.counts.get(each.name, 0) + each.hits
        return [self.counts[each.name] for each in additions]


async def test_a_window_ends_and_another_begins() -> None:
    now, memory = [600.0], Memory()
    count = CountRequests(memory, limit_table(RateSettings(user_reads_per_minute=2)), lambda: now[0])  # type: ignore[arg-type]

    (first,) = await count([KERMIT_READS], 2)
    now[0] = 659.9
    (second,) = await count([KERMIT_READS], 1)
    now[0] = 660.0
    (third,) = await count([KERMIT_READS], 1)

    assert first is not None and second is not None and third is not None
    assert [each.over for each in (first, second, third)] == [False, True, False]
    assert [each.ends_in_seconds for each in (first, second, third)] == [60, 1, 60]
    assert (first.remaining, third.remaining) == (0, 1)


async def test_what_has_no_limit_is_not_counted_and_absent_counters_limit_nobody() -> None:
    memory = Memory()
    count = CountRequests(memory, limit_table(RateSettings(tenant_reads_per_minute=0)), lambda: 0.0)  # type: ignore[arg-type]
    tenant = Counted(route_class="read", kind="tenant", value="acme")

    answers = await count([tenant, KERMIT_READS], 1)
    memory.counts = None
    away = await count([KERMIT_READS], 1)

    assert [answer is None for answer in answers] == [True, False]
    assert away == [None]
    assert count.uncounted == 1


def as_user(edge: GuardedEdge, user: str) -> dict[str, str]:
    return bearer(edge.key.token(user))


async def read(edge: GuardedEdge, user: str) -> httpx.Response:
    return await edge.client.get(ITEM, headers=as_user(edge, user))
