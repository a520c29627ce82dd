"""Rows that become visible in another order than that of their sequences: none is skipped, none holds up the others."""

import asyncio
import random
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from engine.storage.outbox_reader import TOPIC, outbox_reader
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.memory import MemoryDeadLetters
from mesh.bus.ports import GroupSettings, Subscription
from mesh.db.database import Database
from tests.mesh.bus.worlds import QUICK, SECONDS, Collector, MemoryWorld, SqlWorld, message, write

PATIENT = GroupSettings(
    retry_seconds=0.001, away_seconds=0.001, linger_seconds=0.0, poll_seconds=0.01, gap_patience_seconds=600.0
)
"""Gaps are asked for again, but never given up."""


async def _started(world: MemoryWorld, settings: GroupSettings) -> tuple[EmbeddedBus, Collector, Subscription]:
    bus, seen = world.process(), Collector()
    return bus, seen, await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), settings)


async def test_a_row_that_commits_late_is_delivered_after_rows_with_higher_sequences() -> None:
    world = MemoryWorld()
    late = world.outbox.begin(message("a", "a-1"))
    await world.outbox.append([message("b", "b-1"), message("b", "b-2")])
    bus, seen, subscription = await _started(world, PATIENT)
    await seen.until(2)
    assert (await subscription.position()).safe_sequence == 0

    world.outbox.commit(late)
    await seen.until(3)
    async with asyncio.timeout(SECONDS):
        await subscription.wait_until(late)
    position = await subscription.position()
    await bus.stop()

    assert seen.ids == ["b-1", "b-2", "a-1"]
    assert (position.safe_sequence, position.behind) == (3, 0)


async def test_a_restart_finds_the_row_that_was_still_under_way_before() -> None:
    world = MemoryWorld()
    late = world.outbox.begin(message("a", "a-1"))
    await world.outbox.append([message("b", "b-1")])
    bus, seen, _ = await _started(world, PATIENT)
    await seen.until(1)
    await bus.stop()
    world.outbox.commit(late)

    bus, seen, _ = await _started(world, PATIENT)
    await seen.until(2)
    await bus.stop()

    assert seen.ids == ["a-1", "b-1"]  # the second one again: at least once


async def test_a_rolled_back_row_is_given_up_once_no_writer_is_left_who_could_commit_it() -> None:
    world = MemoryWorld()
    gone = world.outbox.begin(message("a", "a-1"))
    await world.outbox.append([message("b", "b-1")])
    world.outbox.roll_back(gone)
    bus, seen, subscription = await _started(world, QUICK)
    await seen.until(1)

    async with asyncio.timeout(SECONDS):
        await subscription.wait_until(gone)
    position = await subscription.position()
    await bus.stop()

    assert (position.safe_sequence, position.behind) == (2, 0)
    assert world.offsets.sequences == {"history": 2}


async def test_a_row_that_commits_while_its_gap_is_settled_is_delivered() -> None:
    """It becomes visible between the reading of the gap and the end of the wait for writers."""
    world = MemoryWorld()
    late = world.outbox.begin(message("a", "a-1"))
    await world.outbox.append([message("b", "b-1")])
    ask = world.outbox.settle

    async def commit_meanwhile() -> bool:
        if late in world.outbox._open:
            world.outbox.commit(late)
        return await ask()

    world.outbox.settle = commit_meanwhile  # type: ignore[method-assign]
    bus, seen, _ = await _started(world, QUICK)
    await seen.until(2)
    await bus.stop()

    assert seen.ids == ["b-1", "a-1"]


async def test_a_late_row_with_many_behind_it_in_its_gap_keeps_the_order_of_its_key() -> None:
    world = MemoryWorld()
    late = [world.outbox.begin(message("a", f"a-{n}")) for n in range(1, 8)]
    await world.outbox.append([message("b", "b-1")])
    settings = GroupSettings(batch_messages=3, linger_seconds=0.0, poll_seconds=0.01, gap_patience_seconds=600.0)
    bus, seen, _ = await _started(world, settings)
    await seen.until(1)

    for sequence in late:
        world.outbox.commit(sequence)
    await world.outbox.append([message("a", f"a-{n}") for n in range(8, 11)])
    await seen.until(11)
    await bus.stop()

    assert seen.of_key("a") == [f"a-{n}" for n in range(1, 11)]


@pytest.fixture
def connections(mariadb_world: SqlWorld) -> Iterator[tuple[Connection, Connection]]:
    """Two writers with transactions of their own."""
    engine = mariadb_world.database().engine
    with engine.connect() as first, engine.connect() as second:
        yield first, second


@pytest.mark.mariadb
async def test_on_a_real_database_a_lower_sequence_that_commits_later_is_not_skipped(
    mariadb_world: SqlWorld, connections: tuple[Connection, Connection]
) -> None:
    first, second = connections
    lower = write(first, message("a", "a-1"))
    higher = write(second, message("b", "b-1"))
    second.commit()
    bus, seen = mariadb_world.process(), Collector()
    subscription = await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), PATIENT)
    await seen.until(1)

    first.commit()
    await seen.until(2)
    async with asyncio.timeout(SECONDS):
        await subscription.wait_until(higher)
    position = await subscription.position()
    await bus.stop()

    assert lower < higher
    assert seen.ids == ["b-1", "a-1"]
    assert position.safe_sequence == higher


@pytest.mark.mariadb
async def test_on_a_real_database_settling_waits_for_the_writer_of_a_gap(
    mariadb_world: SqlWorld, connections: tuple[Connection, Connection]
) -> None:
    first, second = connections
    reader = outbox_reader(mariadb_world.database())
    write(first, message("a", "a-1"))
    write(second, message("b", "b-1"))
    second.commit()

    while_it_runs = await reader.settle()
    first.rollback()
    afterwards = await reader.settle()

    assert (while_it_runs, afterwards) == (False, True)


@pytest.mark.mariadb
async def test_on_a_real_database_a_rolled_back_gap_is_given_up(
    mariadb_world: SqlWorld, connections: tuple[Connection, Connection]
) -> None:
    first, second = connections
    write(first, message("a", "a-1"))
    higher = write(second, message("b", "b-1"))
    second.commit()
    first.rollback()
    bus, seen = mariadb_world.process(), Collector()
    subscription = await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), QUICK)

    async with asyncio.timeout(SECONDS):
        await subscription.wait_until(higher - 1)
    position = await subscription.position()
    await bus.stop()

    assert seen.ids == ["b-1"]
    assert position.safe_sequence == higher


ROOTS = 12
WRITERS = 6
TRANSACTIONS = 60


@pytest.mark.mariadb
async def test_many_writers_that_commit_in_any_order_or_not_at_all_lose_and_turn_around_nothing(
    mariadb_world: SqlWorld,
) -> None:
    """Writers lock their roots, as the group commit does; two processes stand ready to read, one goes half-way."""
    setup = mariadb_world.database().engine
    with setup.begin() as connection:
        connection.execute(text("CREATE TABLE root (id VARCHAR(20) PRIMARY KEY, n INT NOT NULL)"))
        for root in range(ROOTS):
            connection.execute(text("INSERT INTO root VALUES (:id, 0)"), {"id": f"r{root:02}"})
    seen = Collector()
    first, second = mariadb_world.process(), mariadb_world.process()
    settings = GroupSettings(
        batch_messages=7,
        linger_seconds=0.0,
        poll_seconds=0.001,
        gap_patience_seconds=0.05,
        retry_seconds=0.001,
        away_seconds=0.001,
    )
    await first.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), settings)
    await second.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), settings)

    writers = [
        threading.Thread(target=_write_at_random, args=(mariadb_world.database(), seed)) for seed in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    await seen.until(WRITERS * TRANSACTIONS // 3)
    await first.stop()
    await asyncio.to_thread(lambda: [writer.join() for writer in writers])
    with setup.connect() as connection:
        counts = {row[0]: row[1] for row in connection.execute(text("SELECT id, n FROM root"))}
        sequences = connection.execute(text("SELECT COUNT(*), MAX(sequence) FROM outbox")).one()
    async with asyncio.timeout(SECONDS):
        while len(set(seen.ids)) < sequences[0]:
            await seen.until(len(seen.ids) + 1)
    await second.stop()

    assert sequences[1] > sequences[0], "expected transactions that were rolled back to leave gaps"
    for root, count in counts.items():
        expected = [f"{root}-{n}" for n in range(1, count + 1)]
        assert list(dict.fromkeys(seen.of_key(root))) == expected


def _write_at_random(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    with database.engine.connect() as connection:
        for _ in range(TRANSACTIONS):
            roots = sorted(f"r{root:02}" for root in chance.sample(range(ROOTS), chance.randint(1, 3)))
            for root in roots:
                connection.execute(text("SELECT n FROM root WHERE id = :id FOR UPDATE"), {"id": root})
            for root in roots:
                connection.execute(text("UPDATE root SET n = n + 1 WHERE id = :id"), {"id": root})
                n = connection.execute(text("SELECT n FROM root WHERE id = :id"), {"id": root}).scalar_one()
                write(connection, message(root, f"{root}-{n}"))
            for _ in range(chance.randint(0, 12)):
                connection.execute(text("SELECT 1"))  # time passes between the writing and the commit
            if chance.random() < 0.15:
                connection.rollback()
            else:
                connection.commit()
