"""What fails and comes back: the database, a job that goes on after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb

from identity.jobs.repeating import Repeating
from identity.settings import KeySettings
from mesh.errors import Unavailable
from mesh.testing.mariadb import MariaDb
from tests.identity.conftest import Refused
from tests.identity.test_keys import jwks
from tests.identity.worlds import SECONDS, World

Worlds = Callable[..., Awaitable[World]]
AWAY = ("UNAVAILABLE", "database-away")


@pytest.mark.mariadb
async def test_without_its_database_identity_is_unavailable_and_goes_on_when_it_is_back(
    mariadb_url: str, mariadb_server: MariaDb, worlds: Worlds, refused: Refused
) -> None:
    world = await worlds(mariadb_url)
    with world.service._database.reader.connect() as connection:
        # The server of these tests is not durable; what it has told us to be committed must be there again.
        connection.exec_driver_sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    await world.user("anna")
    session = await world.login("anna")
    refresh = access_pb.RefreshRequest(refresh_token=session.refresh_token)

    await asyncio.to_thread(mariadb_server.kill)
    try:
        answers = [
            await refused(world.login("anna")),
            await refused(world.permissions("anna")),
            await refused(world.access.Refresh(refresh)),
        ]
        keys = await jwks(world)
        with pytest.raises(Unavailable):
            await world.service.probe()
    finally:
        await asyncio.to_thread(mariadb_server.start)

    assert answers == [AWAY] * 3
    assert len(keys["keys"]) == 1, "tokens are verifiable nevertheless"
    await world.service.probe()
    assert (await world.access.Refresh(refresh)).user_id == "anna"
    assert (await world.login("anna")).user_id == "anna"


async def test_keys_rotate_by_the_clock_without_being_told(sqlite_url: str, worlds: Worlds) -> None:
    keys = KeySettings(poll_seconds=0.02, jwks_cache_seconds=0)
    world = await worlds(sqlite_url, keys=keys)
    assert len((await jwks(world))["keys"]) == 1

    world.later(days=30)

    async with asyncio.timeout(SECONDS):
        while len((await jwks(world))["keys"]) < 2:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.01)


async def test_what_is_over_is_swept_by_the_clock(sqlite_url: str, worlds: Worlds) -> None:
    world = await worlds(sqlite_url, sweep_seconds=0.02)
    await world.user("anna", request_id="r-1")

    def answers(work: Any) -> int:
        return int(work._connection.exec_driver_sql("SELECT count(*) FROM identity_answer").scalar_one())

    assert await world.service._store.read(answers)
    world.later(days=8)

    async with asyncio.timeout(SECONDS):
        while await world.service._store.read(answers):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def test_a_job_goes_on_after_a_failure_and_ends_when_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise Unavailable("away", "expected something, found nothing")
        done.set()

    job = Repeating("a job", work, 0.001)
    job.start()
    async with asyncio.timeout(SECONDS):
        await done.wait()
    await job.stop()
    ended_at = runs
    await asyncio.sleep(0.02)

    assert runs == ended_at
    assert "a job failed and is tried again" in caplog.text
