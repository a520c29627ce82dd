"""What it costs that the edge asks who calls: nobody asked, a token verified by Envoy, a password from the cache."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from tests.bench.load import RestClient
from tests.bench.measuring import Rounds, ratio_line
from tests.gateway.edges import opened
from tests.gateway.guarded import basic, bearer, guarded

ROUNDS = 5
IN_FLIGHT = 32
REQUESTS = 1500
LONE_REQUESTS = 300


def run() -> list[str]:
    return asyncio.run(_compare())


async def _compare() -> list[str]:
    with tempfile.TemporaryDirectory(prefix="flowloom-bench-") as folder:
        async with (
            opened(Path(folder, "open")) as plain,
            guarded(Path(folder, "guarded")) as asking,
            _client(plain.port, {}) as nobody,
            _client(asking.port, bearer(asking.key.token())) as token,
            _client(asking.port, basic("kermit", "green")) as password,
        ):
            clients = (nobody, token, password)
            for client in clients:
                await _rate(client, 200)
            crowd = [[await _rate(client, REQUESTS) for client in clients] for _ in range(ROUNDS)]
            alone = [[await _milliseconds(client) for client in clients] for _ in range(ROUNDS)]
    return [*_lines(crowd, "requests/s", 0, f"{IN_FLIGHT} in flight"), *_lines(alone, "ms", 2, "one in flight")]


@contextlib.asynccontextmanager
async def _client(port: int, headers: Mapping[str, str]) -> AsyncIterator[RestClient]:
    client = RestClient(f"http://127.0.0.1:{port}", headers)
    yield client
    client.close()


async def _rate(client: RestClient, requests: int) -> float:
    left = iter(range(requests))

    async def one() -> None:
        for _ in left:
            await client.post("/process-api/items", {"id": "7"})

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return requests / (time.perf_counter() - began)


async def _milliseconds(client: RestClient) -> float:
    latencies = []
    for _ in range(LONE_REQUESTS):
        began = time.perf_counter()
        await client.post("/process-api/items", {"id": "7"})
        latencies.append(time.perf_counter() - began)
    return statistics.median(latencies) * 1000


def _lines(rounds: list[list[float]], unit: str, digits: int, how: str) -> list[str]:
    nobody, token, password = (Rounds(tuple(each[place] for each in rounds)) for place in range(3))
    return [
        ratio_line(
            f"token verified by Envoy against nobody asked, {how}",
            token.median / nobody.median,
            "none",
            f"{token.shown(unit, digits)} against {nobody.shown(unit, digits)}",
        ),
        ratio_line(
            f"password exchanged from the cache against a token, {how}",
            password.median / token.median,
            "none",
            f"{password.shown(unit, digits)} against {token.shown(unit, digits)}",
        ),
    ]
