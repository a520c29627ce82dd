"""The producing half of the Kafka bus: idempotent, in order, and honest about when a batch is durable."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from mesh.bus.settings import BusSettings
from mesh.errors import InvalidArgument, Unavailable

_LOGGER: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.1
_HEADER_BYTES: Final = 512
"""What a record needs beside its value, at most, in ordinary use."""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is sent: to a topic as the broker knows it. Without a value it is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers


def client_config(settings: BusSettings) -> dict[str, Any]:
    """Return what every client needs. Raises SettingsError for a URL that is not Kafka's."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.servers,
        "security.protocol": settings.security_protocol,
        "client.id": settings.instance or "flowloom",
        "reconnect.backoff.max.ms": 2000,
        # Connections that fail are told by callbacks, once; the library would tell each attempt.
        "log_level": 2,
    }
    if settings.sasl_mechanism:
        config |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.username,
            "sasl.password": settings.password,
        }
    if settings.ca_file:
        config["ssl.ca.location"] = settings.ca_file
    return config


class Sender:
    """Sends batches, one after the other."""

    def __init__(self, settings: BusSettings) -> None:
        """Nothing is connected yet."""
        self._settings = settings
        self._config = client_config(settings) | {
            "enable.idempotence": True,
            # An error in the middle of a batch must not let its later messages overtake the failed one.
            "enable.gapless.guarantee": True,
            "acks": "all",
            "linger.ms": 1,
            "compression.type": "lz4",
            "message.max.bytes": settings.max_message_bytes + _HEADER_BYTES,
            # We decide when to give up, for a batch as a whole.
            "message.timeout.ms": 0,
        }
        self._producer: Any = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-sender")
        self._turn = asyncio.Lock()
        self._closing = threading.Event()
        self.failure = ""
        """What the broker lacked when it was tried last; empty if it worked."""

    async def send(self, records: Sequence[Record]) -> None:
        """Return when all are durable at all in-sync replicas, in order.

        Raises InvalidArgument for a record that is too large or a topic that does not exist (nothing was sent of the
        batch then, or it may come twice), Unavailable if the broker does not take them in time: then some may be there,
        and they are to be sent again, from the first.
        """
        for record in records:
            size = len(record.value or b"")
            if size > self._settings.max_message_bytes:
                raise InvalidArgument(
                    "message-too-large",
                    f"expected at most {self._settings.max_message_bytes} bytes (limit: max_message_bytes) for "
                    f"{record.topic}, found {size}",
                )
        async with self._turn:
            if self._closing.is_set():
                raise Unavailable("bus-stopped", "expected the bus to be at work, found it stopped")
            await asyncio.get_running_loop().run_in_executor(self._thread, self._send, records)

    async def close(self) -> None:
        """Give up what is under way, and disconnect."""
        if self._closing.is_set():
            return
        self._closing.set()
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown()

    def _send(self, records: Sequence[Record]) -> None:
        if self._producer is None:
            self._producer = Producer(self._config)
        producer = self._producer
        tally = _Tally(len(records))
        deadline = time.monotonic() + self._settings.send_seconds
        try:
            for record in records:
                self._produce(producer, record, tally, deadline)
            while tally.left and not tally.errors:
                producer.poll(_POLL_SECONDS)
                self._check(deadline)
        except (KafkaException, Unavailable) as failed:
            self._drop()
            self._fail(failed)
        if tally.errors:
            # What follows the failed message must not be sent before it: this producer is not to send anything more.
            self._drop()
            self._fail(KafkaException(tally.errors[0]))
        self.failure = ""

    def _produce(self, producer: Any, record: Record, tally: _Tally, deadline: float) -> None:
        while True:
            try:
                producer.produce(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    on_delivery=tally.delivered,
                )
            except BufferError:
                producer.poll(_POLL_SECONDS)
                self._check(deadline)
            else:
                producer.poll(0)
                return

    def _check(self, deadline: float) -> None:
        if self._closing.is_set():
            raise Unavailable("bus-stopped", "expected the bus to be at work, found it stopping")
        if time.monotonic() > deadline:
            raise Unavailable(
                "broker-away", f"expected Kafka to take a batch within {self._settings.send_seconds:g} s, found it away"
            )

    def _fail(self, failed: Exception) -> None:
        self.failure = str(failed)
        if isinstance(failed, Unavailable):
            raise failed
        error = failed.args[0] if failed.args else None
        if isinstance(error, KafkaError) and error.code() in _REFUSED:
            raise InvalidArgument("message-refused", f"expected Kafka to take a message, found: {error.str()}")
        raise Unavailable("broker-away", f"expected Kafka to take a batch, found: {failed}") from failed

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        producer.purge(in_queue=True, in_flight=True, blocking=True)
        producer.flush(1.0)


_REFUSED: Final = frozenset(
    (
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.RECORD_LIST_TOO_LARGE,
    )
)
"""What the message or its topic is at fault for: to wait would not help."""


class _Tally:
    """Counts acknowledgements; called from the sender's thread while it polls."""

    __slots__ = ("errors", "left")

    def __init__(self, count: int) -> None:
        self.left = count
        self.errors: list[KafkaError] = []

    def delivered(self, error: KafkaError | None, _: Any) -> None:
        self.left -= 1
        if error is not None:
            self.errors.append(error)


def text_headers(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Return headers as the broker keeps them."""
    return [(name, value.encode()) for name, value in headers.items()]
