"""Messages as records of Kafka and back. Reading never fails: whatever lies in a topic becomes a message."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mesh.bus.kafka_sender import Record, text_headers
from mesh.bus.message import Message

EVENT_ID: Final = "ce_id"
TIME: Final = "ce_time"
SEQUENCE: Final = "sequence"
_SEQUENCE_DIGITS: Final = 18
MAX_KEY_CHARACTERS: Final = 255
MAX_ID_CHARACTERS: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def record_of(message: Message, topic: str) -> Record:
    """Return the record; `topic` is the broker's name. A sequence that the source gave travels along."""
    headers = dict(message.headers)
    headers[EVENT_ID] = message.event_id
    headers[TIME] = message.occurred_at.isoformat()
    if message.sequence:
        headers[SEQUENCE] = str(message.sequence)
    return Record(topic=topic, key=message.key.encode(), value=message.payload, headers=text_headers(headers))


def message_of(record: Any, topic: str, partitions: int) -> Message:
    """Return the message; `topic` is our name.

    What has no sequence of its own gets one of its place. What has no key gets one of its own: it is in no order. What
    has no id gets that of its place.
    """
    partition, offset = record.partition(), record.offset()
    headers = headers_of(record.headers())
    key = record.key()
    place = f"{partition}/{offset}"
    sequence = headers.get(SEQUENCE, "")
    told = sequence.isascii() and sequence.isdigit() and len(sequence) <= _SEQUENCE_DIGITS and int(sequence) > 0
    # The offset of a record in one of several partitions, as a number that no other record has.
    place_number = offset * max(partitions, 1) + partition + 1
    return Message(
        topic=topic,
        key=f"~{place}" if key is None else _bounded(_text(key), MAX_KEY_CHARACTERS),
        event_id=_bounded(headers.get(EVENT_ID) or f"{topic}/{place}", MAX_ID_CHARACTERS),
        sequence=int(sequence) if told else place_number,
        payload=record.value() or b"",
        occurred_at=_moment(headers.get(TIME, ""), record.timestamp()[1]),
        headers=headers,
        partition=partition,
        offset=offset,
    )


def headers_of(found: Sequence[tuple[str, bytes | None]] | None) -> dict[str, str]:
    """Return a record's headers as text."""
    return {name: _text(value or b"") for name, value in found or ()}


def _bounded(text: str, limit: int) -> str:
    """Keep what fits a consumer's table; of more, the beginning and a digest that tells it from others."""
    if len(text) <= limit:
        return text
    digest = hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=8).hexdigest()
    return f"{text[: limit - len(digest) - 1]}~{digest}"


def _text(found: bytes) -> str:
    return found.decode(errors="backslashreplace")


def _moment(text: str, milliseconds: int) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _EPOCH + timedelta(milliseconds=max(milliseconds, 0))
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
