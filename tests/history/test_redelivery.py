"""Nothing is lost and nothing happens twice, wherever history or its database dies."""

import asyncio
from typing import Any

import pytest
from flowloom.history.v1 import statistics_service_pb2 as statistics_pb
from google.protobuf.message import DecodeError
from sqlalchemy import func, select

from history.storage import tables
from mesh.bus.message import Message
from mesh.bus.ports import GroupSettings
from mesh.db.errors import ConnectionLost, DatabaseError, TransactionConflict
from mesh.errors import FailedPrecondition, Unavailable
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import SECONDS, Running, World, values_of

REVIEW = bpmn.model(bpmn.start(), bpmn.user_task("review"), bpmn.end(), bpmn.flows("s>review>e"))


def _some_work(world: World, count: int = 5) -> list[str]:
    """Instances that are started, changed three times and ended."""
    world.engine.deploy(REVIEW)
    trees = [world.engine.start("p", {"n": 0}) for _ in range(count)]
    for n in range(1, 4):
        for tree in trees:
            world.engine.later(seconds=1)
            world.engine.set_variables(tree, n=n)
    for tree in trees:
        world.engine.complete(tree, "review")
    return [tree.root_id for tree in trees]


async def _is_whole(history: Running, roots: list[str]) -> None:
    assert sorted(row.id for row in await history.instances(state="completed")) == sorted(roots)
    for root in roots:
        assert [row.activity_id for row in await history.activities(root)] == ["s", "review", "e"]
        assert values_of(await history.variables(process_instance_id=root)) == {"n": 3}
    assert len(await history.tasks(finished=True)) == len(roots)


class Dying:
    """A hook of the writers that breaks the connection at one statement."""

    def __init__(self, at: int, *, where: str, sqlite: bool) -> None:
        self.at = at
        # SQLite has no connection that could break; there, a statement fails and its transaction is undone.
        self.error: type[DatabaseError] = TransactionConflict if sqlite else ConnectionLost
        self.where = where
        self.seen = 0
        self.struck = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def before_statement(self, number: int, text: str) -> None:
        self.seen += 1
        if self.where == "before":
            self._strike(self.error)

    def after_statement(self, number: int, text: str) -> None:
        if self.where == "after":
            self._strike(self.error)

    def commit_sent(self, number: int) -> None:
        if self.where == "commit":
            self._strike(self.error)

    def _strike(self, error: type[DatabaseError]) -> None:
        if self.seen >= self.at and not self.struck.is_set():
            self._loop.call_soon_threadsafe(self.struck.set)
            self.at = 10**9
            raise error("the connection broke")


@pytest.mark.parametrize("where", ["before", "after", "commit"])
@pytest.mark.parametrize("at", [1, 4, 9, 14, 19])
async def test_a_connection_that_breaks_at_any_statement_loses_and_doubles_nothing(
    world: World, where: str, at: int
) -> None:
    roots = _some_work(world, 2)
    history = Running(world, _settings(world, 4))
    world._running = history
    history.service._database.hook = dying = Dying(at, where=where, sqlite=world.url.startswith("sqlite"))

    await history.start()
    await history.caught_up()

    assert dying.struck.is_set(), "expected the test to break a connection"
    await _is_whole(history, roots)
    counted = await history.statistics.GetProcessStatistics(statistics_pb.GetProcessStatisticsRequest())
    assert sum(one.started for one in counted.data) == len(await history.instances(size=1000))


async def test_a_process_that_dies_between_its_commit_and_its_offset_applies_nothing_twice(world: World) -> None:
    """The offset is never stored in the first life: all that was applied comes again in the second one."""
    roots = _some_work(world)
    first = await world.start()
    await first.caught_up()
    applied = first.service.recorder.applied_commands
    await first.stop()
    world.offsets.sequences.clear()

    second = await world.start()
    await second.caught_up()

    assert applied == world.engine.sequence
    assert (second.service.recorder.applied_commands, second.service.recorder.skipped_commands) == (0, applied)
    await _is_whole(second, roots)


async def test_messages_that_come_again_change_nothing(world: World) -> None:
    roots = _some_work(world, 2)
    history = await world.start()
    await history.caught_up()
    messages = await world.outbox.read(0, 1000)
    before = await _everything(history)

    from history.effects.consumer import Consumer

    consumer = Consumer(history.service.recorder.record)
    await consumer(messages)
    await consumer([*messages[:3], *messages])

    assert await _everything(history) == before
    assert history.service.recorder.skipped_commands == 2 * len(messages) + 3
    await _is_whole(history, roots)


async def test_history_that_was_away_catches_up_when_it_comes_back(world: World) -> None:
    history = await world.start()
    await history.stop()
    roots = _some_work(world)

    history = await world.start()
    await history.caught_up()

    await _is_whole(history, roots)
    assert await history.service.lag() == 0


async def test_a_new_database_is_filled_from_the_beginning_though_the_bus_remembers_an_offset(
    world: World, tmp_path: Any
) -> None:
    roots = _some_work(world)
    history = await world.start()
    await history.caught_up()
    await history.stop()
    assert world.offsets.sequences["history"] == world.engine.sequence

    world.url = f"sqlite:///{tmp_path / 'another.db'}"
    history = await world.start()
    await history.caught_up()

    await _is_whole(history, roots)


async def test_a_message_that_cannot_be_read_is_parked_with_its_key_and_the_others_go_on(world: World) -> None:
    world.engine.publish(
        Message(
            topic="flowable.history", key="bad", event_id="x", sequence=0, payload=b"\xff\xff", occurred_at=BEGINNING
        )
    )
    roots = _some_work(world, 2)
    history = await world.start()

    await history.caught_up()
    async with asyncio.timeout(SECONDS):
        await history.service.wait_until(1)
    parked = await history.service.dead_letters.listed(10)

    assert [(letter.message.event_id, letter.message.payload, letter.tries) for letter in parked] == [
        ("x", b"\xff\xff", 3)
    ]
    assert parked[0].error.startswith(DecodeError.__name__)
    await _is_whole(history, roots)
    assert await history.service.replay("bad") == 0


async def test_the_lag_counts_what_history_has_not_taken(world: World) -> None:
    history = await world.start(GroupSettings(linger_seconds=0.0, poll_seconds=600.0))
    await history.caught_up()
    _some_work(world, 1)

    before = await history.service.lag()
    history.bus.wake()
    await history.caught_up()

    assert before == 5
    assert await history.service.lag() == 0


async def test_history_is_ready_once_it_takes_events_and_not_before(world: World) -> None:
    history = Running(world, _settings(world, 10))
    world._running = history
    with pytest.raises(Unavailable, match="expected history to be at work"):
        await history.service.probe()

    await history.start()
    await history.caught_up()

    await history.service.probe()


async def test_history_that_may_not_migrate_says_so(empty_url: str) -> None:
    world = World(empty_url)
    with pytest.raises(FailedPrecondition, match="expected history's tables at step 0003, found none"):
        await world.start(migrate=False)


@pytest.mark.parametrize("count", [1, 8, 64])
async def test_a_batch_takes_the_same_statements_and_round_trips_whatever_its_size(world: World, count: int) -> None:
    world.engine.deploy(REVIEW)
    trees = [world.engine.start("p", {"n": n}) for n in range(count)]
    settings = GroupSettings(batch_messages=1000, linger_seconds=0.0, poll_seconds=600.0)
    history = await world.start(settings)
    await history.caught_up()
    counters = history.service._store.writer.counters
    counters.statements = counters.round_trips = counters.commits = 0
    for tree in trees:
        world.engine.complete(tree, "review", {"n": 1, "m": 2})

    history.bus.wake()
    await history.caught_up()

    # Loaded: the gate, applied, instances, activities, tasks, variables. Written: the same, and COMMIT.
    assert (counters.statements, counters.round_trips, counters.commits) == (21, 2, 1)


def _settings(world: World, batch_messages: int) -> Any:
    from history.settings import HistoryDatabase, HistorySettings

    bus = GroupSettings(
        batch_messages=batch_messages, retry_seconds=0.001, away_seconds=0.001, linger_seconds=0.0, poll_seconds=0.01
    )
    return HistorySettings(database=HistoryDatabase(url=world.url), bus=bus)


async def _everything(history: Running) -> dict[str, list[Any]]:
    def read() -> dict[str, list[Any]]:
        with history.service._database.reader.connect() as connection:
            found = {}
            for table in tables.metadata.sorted_tables:
                rows = connection.execute(select(table)).all()
                assert len(rows) == connection.execute(select(func.count()).select_from(table)).scalar_one()
                found[table.name] = sorted(map(str, rows))
            return found

    return await asyncio.to_thread(read)
