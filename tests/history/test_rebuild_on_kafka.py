"""A rebuild where several history processes share the partitions of a topic: they wait for it, and take it up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from history.service import HistoryService
from history.settings import TOPIC, HistoryDatabase, HistorySettings
from mesh.clock import SystemClock
from mesh.db.database import DatabaseSettings, open_database
from mesh.db.types import text_of_moment
from mesh.testing.kafka import Kafka, apache_kafka_is_installed
from mesh.testing.mariadb import MariaDb
from tests.history.lives import LATER, live
from tests.history.worlds import QUICK, World
from tests.mesh.bus.worlds import KafkaWorld

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.mariadb,
    pytest.mark.xfail(not apache_kafka_is_installed(), reason="the stand-in does not share partitions", run=False),
]
SECONDS = 90.0
PARTITIONS = 4
LEASE_SECONDS = 1.0
OWN = ("rebuild", "rebuild_root", "answered_request")


class Replicas:
    """Two history processes on one database and one topic, and an engine whose life they are told."""

    def __init__(self, kafka: KafkaWorld, url: str) -> None:
        self.told = World(url)
        self._kafka = kafka
        self._publisher = kafka.process()
        self._published = 0
        settings = HistorySettings(
            database=HistoryDatabase(url=url), bus=QUICK, rebuild_lease_seconds=LEASE_SECONDS, lag_interval_seconds=60.0
        )
        self.services = [HistoryService(settings, kafka.process(), clock=LATER) for _ in range(2)]

    async def start(self) -> None:
        for service in self.services:
            await service.start()

    async def publish(self) -> None:
        """Let the topic have what the engine has said since."""
        said = await self.told.outbox.read(self._published, 10_000)
        await self._publisher.publish(said)
        self._published = said[-1].sequence

    async def until_shared(self) -> None:
        """Until each has partitions of its own."""

        async def shared() -> bool:
            ends = [await service._feed.running._reader.ends() for service in self.services]  # type: ignore[attr-defined]
            return all(ends) and sum(map(len, ends)) == PARTITIONS

        await _eventually(shared)

    async def until_recorded(self) -> None:
        """Until the end of every root is as the engine has it."""
        wanted = {message.key: message.sequence for message in await self.told.outbox.read(0, 10_000)}

        async def recorded() -> bool:
            return dict((await self.told.contents())["applied_command"]) == wanted

        await _eventually(recorded)

    async def stop(self) -> None:
        for service in self.services:
            await service.stop()


async def _eventually(holds: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.05)


@pytest.fixture
async def replicas(kafka_server: Kafka, mariadb_server: MariaDb, tmp_path: Path) -> AsyncIterator[Replicas]:
    await asyncio.to_thread(kafka_server.start)
    kafka = KafkaWorld(kafka_server.url, partitions=PARTITIONS, names=(TOPIC,))
    found = Replicas(kafka, str(mariadb_server.create_database()))
    await found.start()
    await found.until_shared()
    live(found.told)
    await found.publish()
    await found.until_recorded()
    yield found
    await found.stop()
    await kafka.close()


async def test_a_rebuild_reads_the_partitions_of_all_and_the_others_wait_for_it(replicas: Replicas) -> None:
    before = await replicas.told.contents(*OWN)
    await _execute(
        replicas.told.url,
        "DELETE FROM historic_activity",
        "UPDATE statistic_day SET started = started + 7",
        "UPDATE historic_process_instance SET name = 'wrong'",
    )
    rebuilding = replicas.services[0]._rebuilding

    begun = await rebuilding.start("admin", "once")
    await _until_ended(replicas, begun.id, "done")

    assert await replicas.told.contents(*OWN) == before
    # Everyday life goes on, in whichever process.
    live(replicas.told, count=24, boss="fozzie")
    await replicas.publish()
    await replicas.until_recorded()
    shares = [service.recorder.applied_commands for service in replicas.services]
    assert all(shares), shares


async def test_what_comes_during_a_rebuild_is_recorded_after_it(replicas: Replicas) -> None:
    one = replicas.services[0]
    entered, go_on = asyncio.Event(), asyncio.Event()
    record = one._rebuilding._record

    async def slowly(batch: Any, ticket: str) -> None:
        if ticket:
            entered.set()
            await go_on.wait()
        await record(batch, ticket)

    one._rebuilding._record = slowly
    begun = await one._rebuilding.start("admin", "once")
    async with asyncio.timeout(SECONDS):
        await entered.wait()
    live(replicas.told, count=24, boss="fozzie")
    await replicas.publish()
    await asyncio.sleep(2 * LEASE_SECONDS)
    # The lease is kept, so nobody has taken over; and nobody has recorded.
    assert (await one._rebuilding.get(begun.id)).state == "replaying"
    assert (await replicas.told.contents())["applied_command"] == []

    go_on.set()
    await _until_ended(replicas, begun.id, "done")
    await replicas.until_recorded()


@pytest.mark.parametrize(("state", "end"), [("replaying", "done"), ("checking", "refused")])
async def test_the_rebuild_of_a_process_that_died_is_ended_by_another_one(
    replicas: Replicas, state: str, end: str
) -> None:
    before = await replicas.told.contents(*OWN)
    lease = text_of_moment(SystemClock().now() + timedelta(seconds=2 * LEASE_SECONDS))
    await _execute(
        replicas.told.url,
        f"UPDATE rebuild_gate SET ticket = 'of the dead', lease_until = '{lease}'",
        "INSERT INTO rebuild (id, state, started_at, requested_by, error, messages) "
        f"VALUES ('r', '{state}', '2026-01-01 00:00:00.000000', '', '', 0)",
        *(("DELETE FROM historic_task", "DELETE FROM applied_command") if state == "replaying" else ()),
    )
    await replicas.services[1]._rebuilding._look()
    assert (await replicas.services[1]._rebuilding.get("r")).state == state

    await _until_ended(replicas, "r", end)

    assert await replicas.told.contents(*OWN) == before


async def _until_ended(replicas: Replicas, rebuild_id: str, state: str) -> None:
    async def ended() -> bool:
        return (await replicas.services[1]._rebuilding.get(rebuild_id)).ended_at is not None

    await _eventually(ended)
    found = await replicas.services[1]._rebuilding.get(rebuild_id)
    assert found.state == state, found


async def _execute(url: str, *statements: str) -> None:
    def run() -> None:
        database = open_database(DatabaseSettings(url=url))
        with database.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        database.close()

    await asyncio.to_thread(run)
