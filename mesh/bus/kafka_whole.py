"""A topic of Kafka read once, from its beginning to its end, by one reader that belongs to no group."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import CancelledError, Future
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from mesh.bus.kafka_records import message_of
from mesh.bus.kafka_sender import client_config
from mesh.bus.message import Message
from mesh.bus.ports import Handler
from mesh.bus.settings import BusSettings
from mesh.errors import Unavailable

ASK_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 30.0
"""How long the broker may say nothing although there is more to come."""


class WholeTopic:
    """One reading. A thread asks Kafka; the handler runs in the event loop, one batch at a time."""

    def __init__(self, settings: BusSettings, topic: str, handler: Handler, batch_messages: int) -> None:
        self._topic = topic
        self._broker_topic = settings.topic_prefix + topic
        self._handler = handler
        self._batch = batch_messages
        self._config = client_config(settings) | {
            # The client wants a name; with partitions assigned and nothing committed it joins no group.
            "group.id": f"{settings.topic_prefix}whole",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            # Where the last records before an end were taken away, only this tells that it was reached.
            "enable.partition.eof": True,
        }
        self._lock = threading.Lock()
        self._is_stopping = False
        self._handling: Future[None] | None = None

    async def read(self) -> int:
        """Return how many messages there were. Raises Unavailable, and what the handler raises."""
        loop = asyncio.get_running_loop()
        reading = asyncio.ensure_future(asyncio.to_thread(self._run, loop))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            self._stop()
            await asyncio.wait((reading,))
            raise
        except KafkaException as failed:
            raise Unavailable("broker-away", f"expected Kafka to answer, found: {failed}") from failed

    def _stop(self) -> None:
        """Have the thread end; the handler may wait for something that comes only when this has ended."""
        with self._lock:
            self._is_stopping = True
            if self._handling is not None:
                self._handling.cancel()

    # --- in the thread ---

    def _run(self, loop: asyncio.AbstractEventLoop) -> int:
        consumer: Any = Consumer(self._config)
        try:
            return self._read(consumer, loop)
        finally:
            consumer.close()

    def _read(self, consumer: Any, loop: asyncio.AbstractEventLoop) -> int:
        known = consumer.list_topics(self._broker_topic, timeout=ASK_SECONDS).topics[self._broker_topic]
        if known.error is not None:
            raise KafkaException(known.error)
        partitions = max(len(known.partitions), 1)
        places = [TopicPartition(self._broker_topic, number) for number in known.partitions]
        bounds = {place.partition: consumer.get_watermark_offsets(place, timeout=ASK_SECONDS) for place in places}
        ends = {number: high for number, (low, high) in bounds.items() if low < high}
        consumer.assign([TopicPartition(self._broker_topic, number, bounds[number][0]) for number in ends])
        count = 0
        while ends and not self._is_stopping:
            batch = [message_of(record, self._topic, partitions) for record in self._records(consumer, ends)]
            if batch and self._handle(batch, loop):
                count += len(batch)
        return count

    def _handle(self, batch: list[Message], loop: asyncio.AbstractEventLoop) -> bool:
        """Have the batch handled; False if it was given up."""
        with self._lock:
            if self._is_stopping:
                return False
            handling = asyncio.run_coroutine_threadsafe(_handled(self._handler, batch), loop)
            self._handling = handling
        try:
            handling.result()
        except CancelledError:
            return False
        return True

    def _records(self, consumer: Any, ends: dict[int, int]) -> list[Any]:
        """The next records before the ends; takes out the partitions whose end was reached."""
        found: list[Any] = []
        heard_at = time.monotonic()
        while ends and len(found) < self._batch and not self._is_stopping:
            record = consumer.poll(0 if found else POLL_SECONDS)
            if record is None:
                if found:
                    break
                if time.monotonic() - heard_at > SILENCE_SECONDS:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no more records came"))
                continue
            error = record.error()
            if error is not None:
                # From what else goes wrong the client recovers by itself; whether it does is told by the silence.
                if error.code() == KafkaError._PARTITION_EOF:
                    ends.pop(record.partition(), None)
                continue
            heard_at = time.monotonic()
            number, offset = record.partition(), record.offset()
            end = ends.get(number)
            if end is not None and offset < end:
                found.append(record)
            if end is not None and offset >= end - 1:
                del ends[number]
        return found


async def _handled(handler: Handler, batch: list[Message]) -> None:
    await handler(batch)
