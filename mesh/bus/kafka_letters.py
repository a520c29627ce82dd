"""Dead letters on Kafka: `<topic>.dlq`, compacted, where everybody can see them and ask for a replay.

The letters themselves are kept by the consumer, in its own database, because its order depends on them. A letter is
told on `<topic>.dlq` before it is parked, and a tombstone says that it is gone. Whoever wants a replay writes a request
there; the member of the group that reads the letter's partition carries it out and writes the answer.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from mesh.bus.kafka_records import headers_of
from mesh.bus.kafka_sender import Record, Sender, client_config, text_headers
from mesh.bus.message import Message
from mesh.bus.ports import DeadLetter, DeadLetters, Parked, Replayed, letter_id
from mesh.bus.settings import BusSettings
from mesh.bus.topics import dead_letters_of
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)
_PREFIX: Final = "dlq_"
_REQUEST: Final = "request/"
_POLL_SECONDS: Final = 0.1
_FETCH_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 20.0
"""How long to wait for a group to carry out what was asked of it."""
CATCH_UP_SECONDS: Final = 10.0
REPLAY, DISCARD = "replay", "discard"


class _About(msgspec.Struct, frozen=True, kw_only=True):
    """What a record of `<topic>.dlq` says of its letter, in the header `dlq_about`; the value is the payload."""

    group: str
    topic: str
    partition: int
    offset: int
    key: str
    event_id: str
    sequence: int
    error: str
    attempts: int
    occurred_at: datetime
    parked_at: datetime
    payload_bytes: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a group: replay a key or discard a letter. With `answer` it has been carried out."""

    id: str
    action: str
    letter: str
    group: str
    topic: str
    partition: int
    key: str
    sequence: int
    answer: str = ""
    replayed: int = 0
    left: int = 0


class Member(Protocol):
    """A group's member in this process."""

    def has(self, partition: int) -> bool: ...

    async def replay(self, key: str) -> int: ...

    async def discard(self, sequence: int) -> bool: ...


@dataclass(slots=True)
class _Told:
    """A letter as the topic tells it, and where its payload lies."""

    letter: DeadLetter
    broker_topic: str
    offset: int


class LetterLog:
    """The dead letters of all topics of the bus, followed while somebody needs them."""

    def __init__(self, settings: BusSettings, names: Sequence[str], sender: Sender) -> None:
        self._prefix = settings.topic_prefix
        self._topics = [self._prefix + dead_letters_of(name) for name in names]
        self._config = client_config(settings) | {
            "group.id": f"{self._prefix}dead-letters",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "topic.metadata.refresh.interval.ms": 30_000,
        }
        self._sender = sender
        self._told: dict[str, _Told] = {}
        self._requests: dict[str, Request] = {}
        self._answers: dict[str, Request] = {}
        self._changed = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_request: Callable[[], None] = lambda: None

    def follow(self, on_request: Callable[[], None] | None = None) -> None:
        """Begin to read, if that has not begun. `on_request` is called when there is something to carry out."""
        if on_request is not None:
            self._on_request = on_request
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, name="kafka-dead-letters", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """Follow no more."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    # --- for consumers ---

    async def tell(self, group: str, letters: Sequence[Parked]) -> None:
        """Say that these are parked. Raises Unavailable."""
        await self._sender.send([self._record(group, letter) for letter in letters])

    async def gone(self, group: str, topic: str, event_ids: Sequence[str]) -> None:
        """Say that these are parked no more. Raises Unavailable."""
        name = self._prefix + dead_letters_of(topic)
        keys = [letter_id(group, topic, event_id) for event_id in event_ids]
        await self._sender.send([Record(topic=name, key=key.encode(), value=None, headers=[]) for key in keys])

    def open_requests(self) -> list[Request]:
        """What was asked for and not carried out yet."""
        return list(self._requests.values())

    async def answer(self, request: Request, replayed: int, *, left: int, event_ids: Collection[str]) -> None:
        """Say that it was carried out, and that the letter is gone if it is not of these. Raises Unavailable."""
        name = self._prefix + dead_letters_of(request.topic)
        done = msgspec.structs.replace(request, answer="done", replayed=replayed, left=left)
        key = (_REQUEST + request.id).encode()
        records = [
            Record(topic=name, key=key, value=msgspec.json.encode(done), headers=[]),
            Record(topic=name, key=key, value=None, headers=[]),
        ]
        if request.letter not in {letter_id(request.group, request.topic, event_id) for event_id in event_ids}:
            records.insert(0, Record(topic=name, key=request.letter.encode(), value=None, headers=[]))
        await self._sender.send(records)
        self._requests.pop(request.id, None)

    # --- for operators ---

    async def letters(self) -> Sequence[DeadLetter]:
        """Return all letters without payloads, the longest parked first. Raises Unavailable."""
        await self._until_caught_up()
        found = [told.letter for told in self._told.values()]
        return sorted(found, key=lambda letter: (letter.parked.parked_at, letter.parked.message.sequence))

    async def letter(self, letter_id: str) -> DeadLetter | None:
        """Return one letter with its payload. Raises Unavailable."""
        await self._until_caught_up()
        told = self._told.get(letter_id)
        if told is None:
            return None
        payload = await asyncio.to_thread(self._fetch, told)
        parked = replace(told.letter.parked, message=replace(told.letter.parked.message, payload=payload))
        return replace(told.letter, parked=parked)

    async def replay(self, letter: DeadLetter) -> Replayed:
        """Ask the group, and wait for its answer. Raises Unavailable."""
        answer = await self._ask(REPLAY, letter)
        return Replayed(replayed=answer.replayed, left=answer.left)

    async def discard(self, letter: DeadLetter) -> None:
        """Ask the group, and wait for its answer. Raises Unavailable."""
        await self._ask(DISCARD, letter)

    def count(self) -> dict[tuple[str, str], int]:
        """How many letters there are, by topic and group."""
        counts: dict[tuple[str, str], int] = {}
        for told in self._told.values():
            place = (told.letter.parked.message.topic, told.letter.group)
            counts[place] = counts.get(place, 0) + 1
        return counts

    async def _ask(self, action: str, letter: DeadLetter) -> Request:
        message = letter.parked.message
        request = Request(
            # The same thing asked twice is one request.
            id=f"{action}-{letter.id}",
            action=action,
            letter=letter.id,
            group=letter.group,
            topic=message.topic,
            partition=message.partition,
            key=message.key,
            sequence=message.sequence,
        )
        self._answers.pop(request.id, None)
        name = self._prefix + dead_letters_of(message.topic)
        key = (_REQUEST + request.id).encode()
        await self._sender.send([Record(topic=name, key=key, value=msgspec.json.encode(request), headers=[])])
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while request.id not in self._answers:
                    changed = self._changed
                    await changed.wait()
        except TimeoutError:
            raise Unavailable(
                "bus-group-away",
                f"expected the group {letter.group} to answer within {ANSWER_SECONDS:g} s, found it does not; it is "
                "carried out when it is at work",
            ) from None
        return self._answers.pop(request.id)

    async def _until_caught_up(self) -> None:
        self.follow()
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self._caught_up.wait()
        except TimeoutError:
            raise Unavailable("broker-away", "expected Kafka to tell the dead letters, found it does not") from None

    def _record(self, group: str, letter: Parked) -> Record:
        message = letter.message
        about = _About(
            group=group,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            event_id=message.event_id,
            sequence=message.sequence,
            error=letter.error,
            attempts=letter.tries,
            occurred_at=message.occurred_at,
            parked_at=letter.parked_at,
            payload_bytes=len(message.payload),
        )
        headers = dict(message.headers)
        headers |= {
            f"{_PREFIX}error": letter.error,
            f"{_PREFIX}group": group,
            f"{_PREFIX}topic": message.topic,
            f"{_PREFIX}partition": str(message.partition),
            f"{_PREFIX}offset": str(message.offset),
            f"{_PREFIX}key": message.key,
            f"{_PREFIX}attempts": str(letter.tries),
            f"{_PREFIX}about": msgspec.json.encode(about).decode(),
        }
        return Record(
            topic=self._prefix + dead_letters_of(message.topic),
            key=letter_id(group, message.topic, message.event_id).encode(),
            value=message.payload,
            headers=text_headers(headers),
        )

    # --- in the thread ---

    def _run(self) -> None:
        consumer = Consumer(self._config)
        try:
            unread = self._begin(consumer)
            while not self._stopping.is_set():
                record = consumer.poll(_POLL_SECONDS)
                if record is None:
                    continue
                error = record.error()
                if error is None:
                    self._in_loop(functools.partial(self._take, record))
                elif error.code() == KafkaError._PARTITION_EOF and record.topic() in unread:
                    unread.discard(record.topic())
                    if not unread:
                        self._in_loop(self._caught_up.set)
        finally:
            consumer.close()

    def _begin(self, consumer: Any) -> set[str]:
        """Read all topics from their beginning, once they are there; returns their names."""
        while not self._stopping.is_set():
            try:
                known = consumer.list_topics(timeout=2.0).topics
                if all(name in known for name in self._topics):
                    consumer.assign([TopicPartition(name, 0, OFFSET_BEGINNING) for name in self._topics])
                    return set(self._topics)
            except KafkaException as failed:
                _LOGGER.debug("the dead letters wait for Kafka: %s", failed)
            self._stopping.wait(0.5)
        return set()

    def _in_loop(self, call: Callable[[], None]) -> None:
        assert self._loop is not None, "the thread is started with a loop"
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed: nobody asks any more
            self._stopping.set()

    def _fetch(self, told: _Told) -> bytes:
        consumer = Consumer(self._config)
        try:
            consumer.assign([TopicPartition(told.broker_topic, 0, told.offset)])
            found = consumer.poll(_FETCH_SECONDS)
            if found is None or found.error() is not None:
                raise Unavailable("broker-away", "expected Kafka to give a dead letter's payload, found it does not")
            return found.value() or b"" if found.offset() == told.offset else b""
        finally:
            consumer.close()

    # --- in the loop ---

    def _take(self, record: Any) -> None:
        key = (record.key() or b"").decode(errors="backslashreplace")
        try:
            if key.startswith(_REQUEST):
                self._take_request(key.removeprefix(_REQUEST), record.value())
            elif record.value() is None:
                self._told.pop(key, None)
            else:
                self._told[key] = self._read(key, record)
        except (msgspec.DecodeError, KeyError) as strange:
            _LOGGER.warning("%s holds a record that is no dead letter: %s", record.topic(), strange)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _take_request(self, request_id: str, value: bytes | None) -> None:
        if value is None:
            self._requests.pop(request_id, None)
            return
        request = msgspec.json.decode(value, type=Request)
        if request.answer:
            self._requests.pop(request_id, None)
            self._answers[request_id] = request
        else:
            self._requests[request_id] = request
            self._on_request()

    def _read(self, key: str, record: Any) -> _Told:
        headers = headers_of(record.headers())
        about = msgspec.json.decode(headers[f"{_PREFIX}about"], type=_About)
        message = Message(
            topic=about.topic,
            key=about.key,
            event_id=about.event_id,
            sequence=about.sequence,
            payload=b"",
            occurred_at=about.occurred_at.astimezone(UTC),
            headers={name: value for name, value in headers.items() if not name.startswith(_PREFIX)},
            partition=about.partition,
            offset=about.offset,
        )
        parked = Parked(
            message=message, error=about.error, tries=about.attempts, parked_at=about.parked_at.astimezone(UTC)
        )
        letter = DeadLetter(id=key, group=about.group, parked=parked, payload_bytes=about.payload_bytes)
        return _Told(letter, record.topic(), record.offset())


class ToldLetters:
    """The `DeadLetters` of a group, in its own store and on `<topic>.dlq`."""

    def __init__(self, store: DeadLetters, log: LetterLog, group: str) -> None:
        self._store = store
        self._log = log
        self._group = group
        self._known: dict[int, Message] = {}

    async def park(self, letters: Sequence[Parked]) -> None:
        """Tell first: what is told and not kept comes again, what is kept and not told nobody would find."""
        await self._log.tell(self._group, letters)
        await self._store.park(letters)

    async def keys(self) -> Collection[str]:
        """See `DeadLetters`."""
        return await self._store.keys()

    async def listed(self, limit: int, after_sequence: int = 0) -> Sequence[Parked]:
        """See `DeadLetters`."""
        return self._noted(await self._store.listed(limit, after_sequence))

    async def of_key(self, key: str) -> Sequence[Parked]:
        """See `DeadLetters`."""
        return self._noted(await self._store.of_key(key))

    async def drop(self, sequences: Sequence[int]) -> None:
        """Forget first: what is told though it is gone is put right when somebody asks for it."""
        await self._store.drop(sequences)
        by_topic: dict[str, list[str]] = {}
        for sequence in sequences:
            message = self._known.pop(sequence, None)
            if message is not None:
                by_topic.setdefault(message.topic, []).append(message.event_id)
        for topic, event_ids in by_topic.items():
            await self._log.gone(self._group, topic, event_ids)

    def _noted(self, letters: Sequence[Parked]) -> Sequence[Parked]:
        self._known = {letter.message.sequence: letter.message for letter in letters}
        return letters
