"""What every implementation of the bus promises."""

import asyncio
from collections.abc import Sequence

import pytest

from engine.storage.outbox_reader import TOPIC
from mesh.bus.memory import MemoryDeadLetters
from mesh.bus.message import Message
from mesh.bus.ports import GroupSettings
from mesh.errors import InvalidArgument, Unavailable
from tests.mesh.bus.worlds import QUICK, SECONDS, UNPOLLED, Collector, Failing, Letters, World, message, numbered


async def test_messages_published_before_and_after_subscribing_come_in_the_order_of_their_key(world: World) -> None:
    bus = world.process()
    seen = Collector()

    await bus.publish(numbered("a", 3))
    await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), QUICK)
    await bus.publish([message("b", "b-1"), message("a", "a-4"), message("b", "b-2")])
    await seen.until(6)
    await bus.stop()

    assert seen.of_key("a") == ["a-1", "a-2", "a-3", "a-4"]
    assert seen.of_key("b") == ["b-1", "b-2"]


async def test_a_message_arrives_as_it_was_published(world: World) -> None:
    bus = world.process()
    seen = Collector()

    await bus.publish([message("a", "a-1", bytes(range(256)))])
    await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), QUICK)
    await seen.until(1)
    await bus.stop()

    found = seen.batches[0][0]
    sent = message("a", "a-1", bytes(range(256)))
    assert (found.topic, found.key, found.event_id) == (TOPIC, "a", "a-1")
    assert (found.payload, found.occurred_at) == (sent.payload, sent.occurred_at)
    assert found.sequence > 0


async def test_publishing_wakes_the_groups_without_waiting_for_a_poll(world: World) -> None:
    bus = world.process()
    seen = Collector()
    subscription = await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), UNPOLLED)
    await subscription.wait_until(0)

    await bus.publish([message("a", "a-1")])
    await seen.until(1)
    await bus.stop()

    assert seen.ids == ["a-1"]


async def test_every_group_gets_every_message(world: World) -> None:
    bus = world.process()
    history, notify = Collector(), Collector()

    await bus.publish(numbered("a", 2))
    await bus.subscribe(TOPIC, "history", history, MemoryDeadLetters(), QUICK)
    await bus.subscribe(TOPIC, "notify", notify, MemoryDeadLetters(), QUICK)
    await asyncio.gather(history.until(2), notify.until(2))
    await bus.stop()

    assert history.ids == notify.ids == ["a-1", "a-2"]


async def test_a_batch_is_never_larger_than_the_setting(world: World) -> None:
    bus = world.process()
    seen = Collector()

    await bus.publish(numbered("a", 7))
    settings = GroupSettings(batch_messages=3, linger_seconds=0.0, poll_seconds=0.01)
    await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), settings)
    await seen.until(7)
    await bus.stop()

    assert [len(batch) for batch in seen.batches] == [3, 3, 1]


async def test_a_restart_goes_on_where_the_group_stopped(world: World) -> None:
    before, after = Collector(), Collector()
    bus = world.process()
    await bus.publish(numbered("a", 2))
    await bus.subscribe(TOPIC, "history", before, MemoryDeadLetters(), QUICK)
    await before.until(2)
    await bus.stop()

    bus = world.process()
    await bus.publish([message("a", "a-3")])
    await bus.subscribe(TOPIC, "history", after, MemoryDeadLetters(), QUICK)
    await after.until(1)
    await bus.stop()

    assert after.ids == ["a-3"]


async def test_what_was_handled_before_a_crash_comes_again_but_nothing_is_lost(world: World) -> None:
    """The crash: the handler's effects are there, the process goes before the offset is stored."""
    reached = asyncio.Event()
    seen = Collector()

    async def handle_and_die(messages: Sequence[Message]) -> None:
        await seen(messages)
        reached.set()
        raise asyncio.CancelledError

    bus = world.process()
    await bus.publish(numbered("a", 2))
    await bus.subscribe(TOPIC, "history", handle_and_die, MemoryDeadLetters(), QUICK)
    async with asyncio.timeout(SECONDS):
        await reached.wait()
    await bus.stop()
    assert seen.ids == ["a-1", "a-2"]

    world.crash()
    again = Collector()
    bus = world.process()
    await bus.subscribe(TOPIC, "history", again, MemoryDeadLetters(), QUICK)
    await again.until(2)
    await bus.stop()

    assert again.ids == ["a-1", "a-2"]


async def test_a_message_that_fails_is_tried_three_times_and_parked_with_its_error(world: World) -> None:
    bus = world.process()
    letters = Letters()
    handler = Failing("a-2")

    await bus.publish([message("a", "a-1"), message("b", "b-1"), message("a", "a-2"), message("b", "b-2")])
    subscription = await bus.subscribe(TOPIC, "history", handler, letters, QUICK)
    await bus.publish([message("c", "c-1")])
    await handler.until(4)
    await letters.until(1)
    await bus.stop()

    parked = await letters.listed(10)
    assert [(p.message.event_id, p.tries, p.error) for p in parked] == [("a-2", 3, "ValueError: cannot be read")]
    assert sorted(handler.ids) == ["a-1", "b-1", "b-2", "c-1"]
    assert (await subscription.position()).held == 0


async def test_what_follows_a_parked_message_under_its_key_is_parked_behind_it(world: World) -> None:
    bus = world.process()
    letters = Letters()
    handler = Failing("a-1")

    await bus.publish([*numbered("a", 2), message("b", "b-1")])
    await bus.subscribe(TOPIC, "history", handler, letters, QUICK)
    await letters.until(2)
    await bus.publish([message("a", "a-3"), message("b", "b-2")])
    await letters.until(3)
    await handler.until(2)
    await bus.stop()

    parked = await letters.listed(10)
    assert [(p.message.event_id, p.tries) for p in parked] == [("a-1", 3), ("a-2", 0), ("a-3", 0)]
    assert handler.ids == ["b-1", "b-2"]


async def test_a_restart_remembers_which_keys_are_parked(world: World) -> None:
    letters = Letters()
    handler = Failing("a-1")
    bus = world.process()
    await bus.publish([message("a", "a-1")])
    await bus.subscribe(TOPIC, "history", handler, letters, QUICK)
    await letters.until(1)
    await bus.stop()

    handler.failing.clear()
    bus = world.process()
    await bus.publish([message("a", "a-2"), message("b", "b-1")])
    await bus.subscribe(TOPIC, "history", handler, letters, QUICK)
    await handler.until(1)
    await letters.until(2)
    await bus.stop()

    assert handler.ids == ["b-1"]


async def test_a_replay_delivers_the_parked_messages_of_a_key_in_order_and_frees_the_key(world: World) -> None:
    bus = world.process()
    letters = Letters()
    handler = Failing("a-1")
    await bus.publish(numbered("a", 2))
    subscription = await bus.subscribe(TOPIC, "history", handler, letters, QUICK)
    await letters.until(2)

    assert await subscription.replay("a") == 0
    handler.failing.clear()
    assert await subscription.replay("a") == 2
    await bus.publish([message("a", "a-3")])
    await handler.until(3)
    await bus.stop()

    assert handler.ids == ["a-1", "a-2", "a-3"]
    assert await letters.listed(10) == []


async def test_a_message_that_fails_once_is_handled_before_its_followers(world: World) -> None:
    bus = world.process()
    letters = Letters()
    seen = Collector()
    failures = ["a-1"]

    async def fails_once(messages: Sequence[Message]) -> None:
        if len(messages) == 1 and messages[0].event_id in failures:
            failures.remove(messages[0].event_id)
            raise ValueError("not yet")
        if failures and any(found.event_id in failures for found in messages):
            raise ValueError("not yet")
        await seen(messages)

    await bus.publish([*numbered("a", 3), message("b", "b-1")])
    await bus.subscribe(TOPIC, "history", fails_once, letters, QUICK)
    await bus.publish([message("a", "a-4")])
    await seen.until(5)
    await bus.stop()

    assert seen.of_key("a") == ["a-1", "a-2", "a-3", "a-4"]
    assert seen.of_key("b") == ["b-1"]
    assert await letters.listed(10) == []


async def test_an_absent_surrounding_is_waited_for_and_parks_nothing(world: World) -> None:
    bus = world.process()
    letters = Letters()
    handler = Failing("a-1", error=Unavailable("database-away", "expected the database to answer"))
    await bus.publish(numbered("a", 2))
    subscription = await bus.subscribe(TOPIC, "history", handler, letters, QUICK)
    await handler.until_tried("a-1", 6)
    with pytest.raises(Unavailable, match="expected the database to answer"):
        await subscription.probe()

    handler.failing.clear()
    await handler.until(2)
    await bus.stop()

    assert handler.ids == ["a-1", "a-2"]
    assert await letters.listed(10) == []


async def test_stopping_does_not_wait_for_a_surrounding_that_stays_away(world: World) -> None:
    bus = world.process()
    handler = Failing("a-1", error=Unavailable("database-away", "expected the database to answer"))
    await bus.publish(numbered("a", 1))
    settings = GroupSettings(away_seconds=600.0, max_retry_seconds=600.0, linger_seconds=0.0)
    await bus.subscribe(TOPIC, "history", handler, MemoryDeadLetters(), settings)
    await handler.until_tried("a-1", 1)

    async with asyncio.timeout(SECONDS):
        await bus.stop()

    assert handler.ids == []


async def test_one_process_reads_for_a_group_and_another_takes_over_when_it_stops(world: World) -> None:
    first, second = world.process(), world.process()
    at_first, at_second = Collector(), Collector()
    await first.publish(numbered("a", 2))
    await first.subscribe(TOPIC, "history", at_first, MemoryDeadLetters(), QUICK)
    await at_first.until(2)
    await second.subscribe(TOPIC, "history", at_second, MemoryDeadLetters(), QUICK)
    await first.publish([message("a", "a-3")])
    await at_first.until(3)

    await first.stop()
    await second.publish([message("a", "a-4")])
    await at_second.until(1)
    await second.stop()

    assert at_first.ids == ["a-1", "a-2", "a-3"]
    assert at_second.ids == ["a-4"]


async def test_wait_until_returns_when_the_message_was_handled(world: World) -> None:
    bus = world.process()
    seen = Collector()
    await bus.publish(numbered("a", 3))
    subscription = await bus.subscribe(TOPIC, "history", seen, MemoryDeadLetters(), QUICK)
    await seen.until(3)
    last = seen.batches[-1][-1].sequence

    await bus.publish([message("a", "a-4")])
    async with asyncio.timeout(SECONDS):
        await subscription.wait_until(last + 1)
    position = await subscription.position()
    await bus.stop()

    assert seen.ids == ["a-1", "a-2", "a-3", "a-4"]
    assert (position.seen_sequence, position.safe_sequence, position.behind) == (last + 1, last + 1, 0)


async def test_a_consumer_that_lost_its_effects_gets_them_again(world: World) -> None:
    before, after = Collector(), Collector()
    bus = world.process()
    await bus.publish(numbered("a", 3))
    await bus.subscribe(TOPIC, "history", before, MemoryDeadLetters(), QUICK)
    await before.until(3)
    first = before.batches[0][0].sequence
    await bus.stop()

    bus = world.process()
    await bus.subscribe(TOPIC, "history", after, MemoryDeadLetters(), QUICK, applied_sequence=first)
    await after.until_seen("a-3")
    await bus.stop()

    assert after.ids[-2:] == ["a-2", "a-3"]  # a broker may begin further back


async def test_a_topic_is_read_whole_beside_its_groups_and_moves_nobodys_offset(world: World) -> None:
    bus = world.process()
    in_group, whole = Collector(), Collector()
    await bus.publish([*numbered("a", 4), *numbered("b", 3)])
    first = await bus.subscribe(TOPIC, "history", in_group, MemoryDeadLetters(), QUICK)
    await in_group.until(7)

    counts = [await bus.read_all(TOPIC, whole, 2), await bus.read_all(TOPIC, whole, 200)]
    await bus.publish([message("a", "a-5")])
    await in_group.until(8)
    await first.stop()
    again = Collector()
    await bus.subscribe(TOPIC, "history", again, MemoryDeadLetters(), QUICK)
    await bus.publish([message("a", "a-6")])
    await again.until(1)
    await bus.stop()

    assert counts == [7, 7]
    assert whole.of_key("a") == [f"a-{n}" for n in range(1, 5)] * 2
    assert whole.of_key("b") == [f"b-{n}" for n in range(1, 4)] * 2
    assert max(len(batch) for batch in whole.batches[:4]) <= 2
    assert (len(in_group.ids), again.ids) == (8, ["a-6"])


async def test_reading_an_empty_topic_whole_gives_nothing(world: World) -> None:
    bus = world.process()
    seen = Collector()

    assert await bus.read_all(TOPIC, seen, 10) == 0

    await bus.stop()
    assert seen.batches == []


async def test_what_a_whole_reading_cannot_handle_is_told_and_ends_it(world: World) -> None:
    bus = world.process()
    await bus.publish(numbered("a", 3))

    async def fail(_: Sequence[Message]) -> None:
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        await bus.read_all(TOPIC, fail, 2)
    with pytest.raises(InvalidArgument):
        await bus.read_all("flowable.unknown", fail, 2)
    await bus.stop()


async def test_a_whole_reading_can_be_given_up(world: World) -> None:
    bus = world.process()
    await bus.publish(numbered("a", 3))
    begun = asyncio.Event()

    async def linger(_: Sequence[Message]) -> None:
        begun.set()
        await asyncio.Event().wait()

    reading = asyncio.create_task(bus.read_all(TOPIC, linger, 1))
    async with asyncio.timeout(SECONDS):
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    await bus.stop()


async def test_another_topic_is_refused(world: World) -> None:
    bus = world.process()

    with pytest.raises(InvalidArgument, match=r"expected .*flowable\.history.*, found other"):
        await bus.subscribe("other", "history", Collector(), MemoryDeadLetters(), QUICK)
