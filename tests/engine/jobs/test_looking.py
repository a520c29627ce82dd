"""How often the database is asked for jobs: once for each piece of news, however much of it comes."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.app.external_streams import Credits
from engine.app.external_work import Acquire
from engine.app.jobs import LeasedJob
from engine.jobs.settings import JobSettings
from engine.kernel import commands as cmd
from mesh.clock import SystemClock
from tests.engine.jobs.world import ASYNC, EXTERNAL, Engine, eventually, running, sqlite_url

RARELY = JobSettings(job_look_seconds=60.0)
ASK = Acquire(topic="mail", worker_id="w", lease=timedelta(minutes=1))
SETTLED_SECONDS = 0.2
"""Time enough for a look that should not come."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with running(sqlite_url(tmp_path), settings=RARELY, clock=SystemClock()) as found:
        yield found


@pytest.fixture
def looks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each way to look was used."""
    counts: Counter[str] = Counter()

    def count(target: object, name: str, key: Callable[..., str]) -> None:
        ask: Callable[..., Awaitable[Any]] = getattr(target, name)

        async def counting(*given: Any, **named: Any) -> Any:
            counts[key(*given)] += 1
            return await ask(*given, **named)

        monkeypatch.setattr(target, name, counting)

    count(engine.group, "execute_due", lambda *_: "due")
    count(engine.leases, "acquire", lambda ask: f"acquire {ask.lane}")
    count(engine.leases, "next_available", lambda lane, *_: f"next {lane}")
    return counts


async def settled(looks: Counter[str]) -> dict[str, int]:
    """What was looked at, once nobody looks any more."""
    before: dict[str, int] = {"": 1}
    while before != dict(looks):
        before = dict(looks)
        await asyncio.sleep(SETTLED_SECONDS)
    return before


@contextlib.asynccontextmanager
async def working(engine: Engine, credits_: Credits) -> AsyncIterator["asyncio.Queue[LeasedJob]"]:
    """A worker on a stream; gives the jobs that it gets."""
    came = asyncio.Queue[LeasedJob]()

    async def work() -> None:
        async for jobs in engine.streams.listen(ASK, credits_):
            for job in jobs:
                came.put_nowait(job)

    worker = asyncio.create_task(work())
    try:
        yield came
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def test_a_continuation_costs_one_look_for_it_and_one_ahead(engine: Engine, looks: Counter[str]) -> None:
    await engine.deploy(ASYNC)
    await settled(looks)
    looks.clear()

    instance = await engine.start("async")

    await eventually(lambda: _has_task(engine, instance))
    assert await settled(looks) == {"due": 1, "next engine": 1}


async def test_a_worker_on_a_stream_costs_one_look_for_each_job(engine: Engine, looks: Counter[str]) -> None:
    await engine.deploy(EXTERNAL)
    credits_ = Credits()
    credits_.grant(10)
    async with working(engine, credits_) as came:
        await settled(looks)
        for _ in range(2):
            looks.clear()
            await engine.start("external")
            job = await came.get()
            assert await settled(looks) == {"acquire external": 1}

            looks.clear()
            report = cmd.CompleteJob(job_id=job.id, worker_id="w", lock_token=job.token, user_id="")
            await engine.work.report(report)
            credits_.grant(1)
            # What follows is the engine's own continuation.
            assert await settled(looks) == {"due": 1, "next engine": 1}


async def test_whoever_was_full_looks_again_when_there_is_room(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    for _ in range(2):
        await engine.start("external")
    credits_ = Credits()
    credits_.grant(1)
    async with working(engine, credits_) as came:
        first = await came.get()
        credits_.grant(1)
        async with asyncio.timeout(1.0):
            assert (await came.get()).id != first.id


async def _has_task(engine: Engine, instance: str) -> bool:
    return bool(await engine.tasks(instance))
