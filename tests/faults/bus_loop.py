"""kill -9 of the relay, of a consumer and of the broker, in a loop under load: nothing lost, nothing twice, in order.

The relay lives in the engine's process, the consumer is history in another one, the broker is a real Kafka. At the end
history must have every instance once, with each of its elements once, and the topics, read from their beginning, every
business event of every instance, those of a key in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from flowloom.history.v1 import history_service_pb2, history_service_pb2_grpc

from mesh.bus import topics
from mesh.testing.kafka import Kafka
from tests.bench.load import deploy
from tests.faults import kill_loop
from tests.faults.services import ServedService

CLIENTS = 8
SETTLE_SECONDS = 180
PARTITIONS = 4
VICTIMS = ("relay", "consumer", "broker")
EVENTS_OF_ONE = {
    topics.PROCESS_STARTED: 1,
    topics.TASK_CREATED: 2,
    topics.TASK_COMPLETED: 2,
    topics.PROCESS_COMPLETED: 1,
}
"""What one instance of the model tells, by topic."""


@dataclass(slots=True)
class BusTally(kill_loop.Tally):
    """What was killed how often, and what the topics held."""

    killed: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    redelivered: int = 0


@dataclass(slots=True, kw_only=True)
class Mesh:
    """The processes under fire."""

    kafka: Kafka
    engine: ServedService
    history: ServedService
    prefix: str

    def kill_and_restart(self, victim: str) -> None:
        target = {"relay": self.engine, "consumer": self.history, "broker": self.kafka}[victim]
        target.kill()
        target.start()


@contextlib.contextmanager
def mesh_on(kafka: Kafka, folder: Path, engine_url: str, history_url: str, prefix: str) -> Iterator[Mesh]:
    """Engine and history as processes of their own, joined by the broker alone."""
    bus = {
        "FLOWLOOM_BUS_URL": kafka.url,
        "FLOWLOOM_BUS_TOPIC_PREFIX": prefix,
        "FLOWLOOM_BUS_PARTITIONS": str(PARTITIONS),
        "FLOWLOOM_BUS_REPLICATION": "1",
        "FLOWLOOM_BUS_SESSION_SECONDS": "3",
    }
    engine = ServedService("engine", folder, {**bus, "FLOWLOOM_ENGINE_DATABASE_URL": engine_url})
    history = ServedService("history", folder, {**bus, "FLOWLOOM_HISTORY_DATABASE_URL": history_url})
    try:
        engine.launch()
        history.launch()
        engine.wait()
        history.wait()
        yield Mesh(kafka=kafka, engine=engine, history=history, prefix=prefix)
    finally:
        engine.stop()
        history.stop()


def run(mesh: Mesh, kills: int, seed: int, within_seconds: float = float("inf"), clients: int = CLIENTS) -> BusTally:
    """Kill so many times, each victim in turn at first, until the time is over; then check everything."""
    chance = random.Random(seed)
    tally = BusTally()
    victims = [*VICTIMS, *(chance.choice(VICTIMS) for _ in range(kills))][:kills]
    deadline = time.monotonic() + within_seconds
    asyncio.run(_fire(mesh, tally, victims, chance, deadline, clients))
    return tally


async def _fire(
    mesh: Mesh, tally: BusTally, victims: list[str], chance: random.Random, deadline: float, count: int
) -> None:
    async with grpc.aio.insecure_channel(mesh.engine.address) as channel:
        await deploy(channel, "two-sides.bpmn20.xml", kill_loop.TWO_SIDES.encode())
        for victim in victims:
            if time.monotonic() > deadline:
                break
            stop = asyncio.Event()
            clients = [asyncio.create_task(_client(channel, tally, stop)) for _ in range(count)]
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            await asyncio.to_thread(mesh.kill_and_restart, victim)
            stop.set()
            await asyncio.gather(*clients)
            tally.kills += 1
            tally.killed[victim] += 1
    # The former channel may still pause between its tries to connect to an engine that is back.
    async with grpc.aio.insecure_channel(mesh.engine.address) as channel:
        for work in tally.works:
            if not work.completed:
                await kill_loop._advance(channel, work)
            if work.wrong:
                tally.findings.append(f"{work.key}: {work.wrong}")
        await kill_loop._check_consistency(channel, tally)
    await _check_history(mesh, tally)
    await asyncio.to_thread(_check_topics, mesh, tally)


async def _client(channel: grpc.aio.Channel, tally: BusTally, stop: asyncio.Event) -> None:
    while not stop.is_set():
        work = tally.open.pop() if tally.open else kill_loop.Work()
        if not work.task_ids and work not in tally.works:
            tally.works.append(work)
        try:
            await kill_loop._advance(channel, work)
        except grpc.aio.AioRpcError as error:
            tally.open.append(work)
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                work.wrong = f"{error.code().name}: {error.details()}"
            return


async def _check_history(mesh: Mesh, tally: BusTally) -> None:
    """Every instance once, completed; and each with the same elements, since all took the same way."""
    async with grpc.aio.insecure_channel(mesh.history.address) as channel:
        history = history_service_pb2_grpc.HistoryServiceStub(channel)
        expected = {work.key for work in tally.works}
        deadline = time.monotonic() + SETTLE_SECONDS
        found: list[str] = []
        while time.monotonic() < deadline:
            with contextlib.suppress(grpc.aio.AioRpcError):
                found = await kill_loop._finished_keys(history)
            if len(found) >= len(expected):
                break
            await asyncio.sleep(0.2)
        twice = {key for key, times in Counter(found).items() if times > 1}
        missing = expected - set(found)
        tally.findings += [f"{key}: expected one completed instance in history, found none" for key in missing]
        tally.findings += [f"{key}: expected one completed instance in history, found several" for key in twice]
        one = tally.works[0].instance_id
        of_one = await _activities(history, process_instance_id=one)
        of_all = await _activities(history)
        if of_all != of_one * len(expected):
            tally.findings.append(f"expected {of_one} elements for each of {len(expected)} instances, found {of_all}")


async def _activities(history: history_service_pb2_grpc.HistoryServiceStub, **wanted: Any) -> int:
    request = history_service_pb2.ListHistoricActivityInstancesRequest(size=1, **wanted)
    return int((await history.ListHistoricActivityInstances(request)).total)


def _check_topics(mesh: Mesh, tally: BusTally) -> None:
    """Read all topics from their beginning, as a system that has just been connected would."""
    events: dict[tuple[str, str], set[str]] = defaultdict(set)
    for topic in topics.ALL:
        last: dict[str, int] = {}
        seen: set[str] = set()
        for record in _records(mesh, topic):
            headers = {name: value.decode() for name, value in record.headers()}
            key, sequence = record.key().decode(), int(headers["sequence"])
            tally.messages += 1
            if headers["ce_id"] in seen:
                tally.redelivered += 1
                continue
            seen.add(headers["ce_id"])
            if sequence <= last.get(key, 0):
                tally.findings.append(f"{topic} {key}: {sequence} comes after {last[key]}")
            last[key] = max(sequence, last.get(key, 0))
            events[key, topic].add(headers["ce_id"])
    for work in tally.works:
        for topic, count in EVENTS_OF_ONE.items():
            found = len(events[work.instance_id, topic])
            if found != count:
                tally.findings.append(f"{work.instance_id}: expected {count} of {topic}, found {found}")


def _records(mesh: Mesh, topic: str) -> Iterator[Any]:
    consumer = Consumer(
        {"bootstrap.servers": mesh.kafka.address, "group.id": f"{mesh.prefix}check", "enable.partition.eof": True}
    )
    try:
        name = mesh.prefix + topic
        left = set(range(PARTITIONS))
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for partition in left])
        deadline = time.monotonic() + SETTLE_SECONDS
        while left and time.monotonic() < deadline:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error() is None:
                yield record
            elif record.error().code() == KafkaError._PARTITION_EOF:
                left.discard(record.partition())
        assert not left, f"expected {topic} to be read to its end within {SETTLE_SECONDS} s"
    finally:
        consumer.close()
