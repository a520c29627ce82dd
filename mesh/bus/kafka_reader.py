"""The thread that asks Kafka: reads, joins rebalances, commits what it is told."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from mesh.bus.kafka_records import message_of
from mesh.bus.kafka_sender import client_config
from mesh.bus.message import Message
from mesh.bus.settings import BusSettings
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)

Places: TypeAlias = dict[int, int]
"""Offsets by partition."""
Take: TypeAlias = Callable[[Sequence[Message], Places], None]
LetGo: TypeAlias = Callable[[Sequence[int]], Awaitable[Places]]

POLL_SECONDS: Final = 0.1
LET_GO_SECONDS: Final = 60.0
"""How long a handler under way may hold up the group's rebalance."""
ASK_SECONDS: Final = 5.0
MAX_READ: Final = 1000


class Reader:
    """One consumer of one topic in one group."""

    def __init__(
        self,
        settings: BusSettings,
        topic: str,
        group: str,
        *,
        batch_messages: int,
        applied_sequence: Callable[[], int | None],
    ) -> None:
        """`applied_sequence` tells the highest sequence whose effects the consumer has, parked ones counted."""
        self._topic = topic
        self._broker_topic = settings.topic_prefix + topic
        self._group = settings.topic_prefix + group
        self._base = client_config(settings)
        self._batch = min(batch_messages, MAX_READ)
        self._applied_sequence = applied_sequence
        self._config = self._base | {
            "group.id": self._group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": int(settings.session_seconds * 1000),
            "heartbeat.interval.ms": max(int(settings.session_seconds * 1000 / 10), 100),
            "topic.metadata.refresh.interval.ms": 30_000,
            "error_cb": self._on_error,
        }
        if settings.instance:
            self._config["group.instance.id"] = f"{self._group}-{settings.instance}"
        self._consumer: Any = None
        self._partitions = 1
        self._checked: set[int] = set()
        self._begins: Places = {}
        self._lock = threading.Lock()
        self._to_commit: Places = {}
        self._asked: list[Future[Places]] = []
        self._stopping = threading.Event()
        self._full = threading.Event()
        self._paused = False
        self._epoch = 0
        self._final: Places = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._take: Take | None = None
        self._let_go: LetGo | None = None
        self.failure = ""
        """What the broker lacked when it was asked last; empty if it answers."""

    def start(self, loop: asyncio.AbstractEventLoop, take: Take, let_go: LetGo) -> None:
        """Begin to read."""
        self._loop, self._take, self._let_go = loop, take, let_go
        self._thread = threading.Thread(target=self._run, name=f"kafka-{self._group}", daemon=True)
        self._thread.start()

    async def stop(self, safe: Places) -> None:
        """Commit these offsets and leave the group."""
        self._final = safe
        self._let_go = None
        self._stopping.set()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def hold(self) -> None:
        """Read no more for now; stay in the group."""
        self._full.set()

    def go_on(self) -> None:
        """Read on."""
        self._full.clear()

    def commit(self, places: Places) -> None:
        """Have the offsets stored, soon. A commit that gets lost only means that messages come again."""
        with self._lock:
            self._to_commit.update(places)

    async def ends(self) -> Places:
        """Return the end of each partition of ours, as far as it is known. Raises Unavailable."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return {}
        asked: Future[Places] = Future()
        with self._lock:
            self._asked.append(asked)
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await asyncio.wrap_future(asked)
        except (KafkaException, RuntimeError, TimeoutError) as failed:
            raise Unavailable("broker-away", f"expected Kafka to answer, found: {failed!r}") from failed

    # --- in the thread ---

    def _run(self) -> None:
        self._consumer = consumer = Consumer(self._config)
        consumer.subscribe(
            [self._broker_topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not self._stopping.is_set():
                self._read(consumer)
        finally:
            if self._final:
                self._commit_now(self._final)
            self._consumer = None
            consumer.close()

    def _serve(self, consumer: Any) -> None:
        """Do what was asked from outside: one thread alone speaks to the consumer."""
        self._pause_or_resume(consumer)
        with self._lock:
            places, self._to_commit = self._to_commit, {}
            asked, self._asked = self._asked, []
        if places:
            try:
                consumer.commit(offsets=self._at(places), asynchronous=True)
            except (KafkaException, RuntimeError) as failed:
                _LOGGER.warning("%s: offsets are not stored: %s", self._group, failed)
        for answer in asked:
            try:
                answer.set_result(self._known_ends(consumer))
            except (KafkaException, RuntimeError) as failed:
                answer.set_exception(failed)

    def _known_ends(self, consumer: Any) -> Places:
        """The ends as they were when the broker was heard last: to ask it would hold up the reading."""
        ends: Places = {}
        for part in consumer.assignment():
            known = consumer.get_watermark_offsets(part, cached=True)
            if known is not None and known[1] >= 0:
                ends[part.partition] = known[1]
        return ends

    def _read(self, consumer: Any) -> None:
        self._serve(consumer)
        messages: list[Message] = []
        seconds = POLL_SECONDS
        try:
            while len(messages) < self._batch:
                epoch = self._epoch
                record = consumer.poll(seconds)
                if self._epoch != epoch:
                    # Partitions went; what is kept of the others is read again from where they stand.
                    messages.clear()
                if record is None:
                    break
                seconds = 0
                error = record.error()
                if error is None:
                    messages.append(message_of(record, self._topic, self._partitions))
                else:
                    self._on_error(error)
        except (KafkaException, RuntimeError) as failed:
            self.failure = str(failed)
            _LOGGER.warning("%s cannot read: %s", self._group, failed)
            self._stopping.wait(POLL_SECONDS)
        begins, self._begins = self._begins, {}
        if messages:
            self.failure = ""
        take = self._take
        if take is not None and (messages or begins):
            self._in_loop(functools.partial(take, messages, begins))

    def _in_loop(self, call: Callable[[], None]) -> None:
        assert self._loop is not None, "the thread is started with a loop"
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody is left to read for
            self._stopping.set()

    def _pause_or_resume(self, consumer: Any) -> None:
        if self._full.is_set() is self._paused:
            return
        self._paused = not self._paused
        (consumer.pause if self._paused else consumer.resume)(consumer.assignment())

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._PARTITION_EOF:
            if not self.failure:
                _LOGGER.warning("%s waits for Kafka: %s", self._group, error.str())
            self.failure = error.str()

    def _on_assign(self, consumer: Any, parts: Sequence[Any]) -> None:
        """Begin where the group stands; where the consumer has lost effects, at the beginning."""
        self.failure = ""
        try:
            known = consumer.list_topics(self._broker_topic, timeout=ASK_SECONDS).topics.get(self._broker_topic)
            self._partitions = max(len(known.partitions), 1) if known is not None else 1
            committed = consumer.committed(list(parts), timeout=ASK_SECONDS * 4)
            places = [self._begin(consumer, part) for part in committed]
            self._begins.update({part.partition: part.offset for part in places})
        except KafkaException as failed:
            _LOGGER.warning("%s begins where Kafka says: %s", self._group, failed)
            places = list(parts)
        consumer.incremental_assign(places)
        # A partition that was lost while it was paused comes back paused: say which it is to be.
        (consumer.pause if self._paused else consumer.resume)(places)

    def _begin(self, consumer: Any, part: Any) -> Any:
        applied = self._applied_sequence()
        first = part.partition not in self._checked
        self._checked.add(part.partition)
        lost = False
        if applied is not None and first and part.offset > 0:
            last = self._sequence_at(part.partition, part.offset - 1)
            lost = last is not None and last > applied
            if lost:
                _LOGGER.warning(
                    "%s begins partition %d anew: its effects end at %d, its offset is behind %d",
                    self._group, part.partition, applied, last,
                )  # fmt: skip
        begin = part.offset
        if begin < 0 or lost:
            at = TopicPartition(self._broker_topic, part.partition)
            begin = consumer.get_watermark_offsets(at, timeout=ASK_SECONDS)[0]
        return TopicPartition(self._broker_topic, part.partition, begin)

    def _sequence_at(self, partition: int, offset: int) -> int | None:
        """The sequence of one message; None if it is there no more."""
        look = Consumer(self._base | {"group.id": f"{self._group}-look", "enable.auto.commit": False})
        try:
            look.assign([TopicPartition(self._broker_topic, partition, offset)])
            found = look.poll(ASK_SECONDS)
            if found is None or found.error() is not None or found.offset() != offset:
                return None
            return message_of(found, self._topic, self._partitions).sequence
        finally:
            look.close()

    def _on_revoke(self, consumer: Any, parts: Sequence[Any]) -> None:
        revoked = [part.partition for part in parts]
        safe = self._ended(revoked)
        if safe:
            self._commit_now({partition: offset for partition, offset in safe.items() if partition in revoked})
        consumer.incremental_unassign(list(parts))
        self._seek_back(consumer, safe, revoked)

    def _on_lost(self, consumer: Any, parts: Sequence[Any]) -> None:
        """Another member has them already: nothing of them may be committed."""
        lost = [part.partition for part in parts]
        safe = self._ended(lost)
        consumer.incremental_unassign(list(parts))
        self._seek_back(consumer, safe, lost)

    def _ended(self, partitions: Sequence[int]) -> Places:
        """Have the group end what is under way; returns where it stands."""
        self._epoch += 1
        with self._lock:
            self._to_commit = {}
        self._begins = {partition: at for partition, at in self._begins.items() if partition not in partitions}
        let_go = self._let_go
        if let_go is None or self._loop is None:
            return {partition: at for partition, at in self._final.items() if partition in partitions}

        async def ended() -> Places:
            return await let_go(partitions)

        try:
            waiting: Future[Places] = asyncio.run_coroutine_threadsafe(ended(), self._loop)
            return waiting.result(LET_GO_SECONDS)
        except (RuntimeError, TimeoutError, CancelledError) as failed:
            _LOGGER.warning("%s gives partitions back while a batch is under way: %r", self._group, failed)
            return {}

    def _seek_back(self, consumer: Any, safe: Places, gone: Sequence[int]) -> None:
        """What we keep is read again from where it was handled: the buffer was emptied."""
        for partition, offset in safe.items():
            if partition not in gone and partition not in self._begins:
                try:
                    consumer.seek(TopicPartition(self._broker_topic, partition, offset))
                except KafkaException as failed:
                    _LOGGER.warning("%s cannot go back to %d/%d: %s", self._group, partition, offset, failed)

    def _commit_now(self, places: Places) -> None:
        consumer = self._consumer
        if not places or consumer is None:
            return
        try:
            consumer.commit(offsets=self._at(places), asynchronous=False)
        except (KafkaException, RuntimeError) as failed:
            _LOGGER.warning("%s: offsets are not stored: %s", self._group, failed)

    def _at(self, places: Places) -> list[Any]:
        return [TopicPartition(self._broker_topic, partition, offset) for partition, offset in places.items()]
