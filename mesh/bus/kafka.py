"""The bus on Kafka: the same interface and the same promises as the embedded one, between processes.

    bus = open_bus(load(BusSettings, os.environ, "FLOWLOOM_BUS_"), registry=registry)
    await bus.publish(messages)                                   # durable at all in-sync replicas when it returns
    await bus.subscribe("flowable.history", "history", handler, dead_letters)
    ...
    await bus.stop()

Topics that are missing are created, each with its `<topic>.dlq`: those of the mesh at the start, that of a participant
of sagas with the first message to it. While the broker is away, publishing is refused with Unavailable, and consumers
wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence, Set
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from prometheus_client import CollectorRegistry

from mesh.bus.kafka_group import KafkaGroup
from mesh.bus.kafka_letters import DISCARD, LetterLog, Request, ToldLetters
from mesh.bus.kafka_reader import Reader
from mesh.bus.kafka_records import record_of
from mesh.bus.kafka_sender import Sender, client_config
from mesh.bus.kafka_whole import WholeTopic
from mesh.bus.message import Message
from mesh.bus.metrics import ConsumerMetrics
from mesh.bus.ports import DeadLetterDesk, DeadLetters, GroupSettings, Handler, Subscription
from mesh.bus.settings import BusSettings
from mesh.bus.topics import SAGA_PREFIX, dead_letters_of
from mesh.clock import Clock, SystemClock
from mesh.errors import InvalidArgument, Unavailable

_LOGGER: Final = logging.getLogger(__name__)
_CREATE_SECONDS: Final = 15.0
_ASK_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 1.0
_LETTER_COMPACTION: Final = {"cleanup.policy": "compact", "delete.retention.ms": str(7 * 24 * 3600 * 1000)}


class KafkaBus:
    """An `EventBus` on Kafka."""

    def __init__(
        self,
        settings: BusSettings,
        names: Sequence[str],
        *,
        registry: CollectorRegistry | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is connected yet. Raises SettingsError for a URL of another kind."""
        self._settings = settings
        self._names = tuple(names)
        self._made: set[str] = set()
        self._clock = clock or SystemClock()
        self._sender = Sender(settings)
        self._letters = LetterLog(settings, self._names, self._sender)
        self._groups: dict[str, KafkaGroup] = {}
        self._topics: dict[str, str] = {}
        self._metrics = ConsumerMetrics(
            registry, settings.measure_seconds, self._lags, self._letters.count, lambda: self.failure
        )
        self._ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._asked = asyncio.Event()

    @property
    def desk(self) -> DeadLetterDesk:
        """The dead letters of all groups, in all processes."""
        self._begin()
        return self._letters

    @property
    def failure(self) -> str:
        """What the broker lacked when it was tried last; empty if it answers."""
        readers = (group.consumer_failure for group in self._groups.values())
        return self._sender.failure or next((failure for failure in readers if failure), "")

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when the messages are durable, those of one key in their order.

        Raises InvalidArgument for another topic or a message that is too large, Unavailable while the broker is away;
        then some may be there, and all are to be published again.
        """
        for message in messages:
            self._check(message.topic)
        await self._until_ready()
        await self._make({message.topic for message in messages}.difference(self._names, self._made))
        prefix = self._settings.topic_prefix
        await self._sender.send([record_of(message, prefix + message.topic) for message in messages])

    async def subscribe(
        self,
        topic: str,
        group: str,
        handler: Handler,
        dead_letters: DeadLetters,
        settings: GroupSettings | None = None,
        *,
        applied_sequence: int | None = None,
    ) -> Subscription:
        """Start to deliver; see `EventBus`. Raises InvalidArgument for another topic, ValueError for a busy group."""
        self._check(topic)
        if group in self._groups:
            raise ValueError(f"expected one handler for the group {group}, found a second")
        settings = settings or GroupSettings()
        reader = Reader(
            self._settings,
            topic,
            group,
            batch_messages=settings.batch_messages,
            applied_sequence=lambda: applied_sequence,
        )
        letters = ToldLetters(dead_letters, self._letters, group)
        found = KafkaGroup(group, reader, handler, letters, settings, self._clock)
        self._groups[group] = found
        self._topics[group] = topic
        self._begin()
        self._letters.follow(self._asked.set)
        self._tasks.append(asyncio.create_task(self._start(found), name=f"bus group {group} starts"))
        return found

    async def read_all(self, topic: str, handler: Handler, batch_messages: int) -> int:
        """See `EventBus`: all partitions side by side."""
        self._check(topic)
        await self._until_ready()
        return await WholeTopic(self._settings, topic, handler, batch_messages).read()

    async def stop(self) -> None:
        """Leave every group, give up what is being sent."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        await self._metrics.stop()
        await asyncio.gather(*(group.stop() for group in tuple(self._groups.values())))
        await self._letters.stop()
        await self._sender.close()

    def _begin(self) -> None:
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._prepare(), name="bus topics"))
            self._tasks.append(asyncio.create_task(self._carry_out(), name="bus requests"))
            self._metrics.start()

    async def _start(self, group: KafkaGroup) -> None:
        await self._ready.wait()
        await group.start(lambda: self._groups.pop(group.name, None))

    async def _prepare(self) -> None:
        """Create what is missing, for as long as it takes until the broker is there."""
        while not self._ready.is_set():
            try:
                if self._settings.create_topics:
                    await asyncio.to_thread(self._create_topics, self._names)
                self._ready.set()
            except KafkaException as failed:
                _LOGGER.warning("the topics wait for Kafka: %s", failed)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _until_ready(self) -> None:
        self._begin()
        try:
            async with asyncio.timeout(self._settings.send_seconds):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable("broker-away", "expected Kafka to have our topics, found it away") from None

    async def _make(self, names: Set[str]) -> None:
        """Create the topics of participants that nobody wrote to before. Raises Unavailable."""
        if not names:
            return
        if self._settings.create_topics:
            try:
                await asyncio.to_thread(self._create_topics, sorted(names))
            except KafkaException as failed:
                raise Unavailable("broker-away", f"expected Kafka to make our topics, found {failed}") from failed
        self._made |= names

    def _create_topics(self, names: Sequence[str]) -> None:
        settings = self._settings
        admin = AdminClient(client_config(settings))
        known = admin.list_topics(timeout=_ASK_SECONDS).topics
        size = str(settings.max_message_bytes + 64 * 1024)
        kept = {"retention.ms": str(int(settings.retention_seconds * 1000)), "max.message.bytes": size}
        wanted: list[Any] = []
        for name in (settings.topic_prefix + name for name in names):
            wanted.append(NewTopic(name, settings.partitions, settings.replication, config=kept))
            letters = {**_LETTER_COMPACTION, "max.message.bytes": size}
            wanted.append(NewTopic(dead_letters_of(name), 1, settings.replication, config=letters))
        missing = [topic for topic in wanted if topic.topic not in known]
        if not missing:
            return
        for future in admin.create_topics(missing, operation_timeout=_CREATE_SECONDS).values():
            try:
                future.result()
            except KafkaException as failed:
                # Another process of the mesh has made it meanwhile.
                if failed.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    # --- what operators ask of our groups ---

    async def _carry_out(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS * 5):
                    await self._asked.wait()
            self._asked.clear()
            for request in self._letters.open_requests():
                group = self._groups.get(request.group)
                if group is not None and group.has(request.partition):
                    await self._do(request, group)

    async def _do(self, request: Request, group: KafkaGroup) -> None:
        try:
            replayed = 0
            if request.action == DISCARD:
                await group.discard(request.sequence)
            else:
                replayed = await group.replay(request.key)
            left = await group.dead_letters.of_key(request.key)
            ours = [found.message.event_id for found in left]
            await self._letters.answer(request, replayed, left=len(left), event_ids=ours)
        except Exception as failed:  # the outer loop of a worker: it is asked for still, and tried again
            _LOGGER.warning("%s of %s waits: %s", request.action, request.letter, failed)

    async def _lags(self) -> dict[tuple[str, str], int]:
        return {
            (self._topics[name], name): (await group.position()).behind for name, group in tuple(self._groups.items())
        }

    def _check(self, topic: str) -> None:
        if topic not in self._names and not topic.startswith(SAGA_PREFIX):
            known = ", ".join((*self._names, f"{SAGA_PREFIX}*"))
            raise InvalidArgument("unknown-topic", f"expected one of the topics {known}, found {topic}", topic=topic)
