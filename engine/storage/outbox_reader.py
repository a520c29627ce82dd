"""The engine's outbox as the bus reads it, the business events beside it, and where consumer groups stand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import and_, select

from engine.storage.relay_tables import business_event
from engine.storage.tables import bus_offset, outbox
from mesh.bus.message import Message
from mesh.bus.ports import Span
from mesh.bus.sql import SqlOffsets
from mesh.bus.topics import HISTORY
from mesh.db.database import Database
from mesh.outbox import OutboxColumns, SqlOutboxReader

TOPIC: Final = HISTORY
"""All rows of the outbox: one message for the events of one command on one tree, keyed by the root instance."""
BUSINESS_PARTITION: Final = 1
"""Of the offsets of those that read business events."""

MakeHeaders = Callable[[Message], Mapping[str, str]]


class HistoryReader(SqlOutboxReader):
    """Reads the outbox, and gives its messages the headers that they have on a broker."""

    def __init__(self, database: Database, columns: OutboxColumns, make_headers: MakeHeaders) -> None:
        super().__init__(database, columns, TOPIC)
        self._make_headers = make_headers

    async def read(self, after_sequence: int, limit: int) -> Sequence[Message]:
        """Return visible messages with a higher sequence, lowest first. Raises Unavailable."""
        return self._with_headers(await super().read(after_sequence, limit))

    async def in_spans(self, spans: Sequence[Span], limit: int) -> Sequence[Message]:
        """Return visible messages within the spans, lowest first. Raises Unavailable."""
        return self._with_headers(await super().in_spans(spans, limit))

    def _with_headers(self, messages: Sequence[Message]) -> Sequence[Message]:
        return [replace(message, headers=self._make_headers(message)) for message in messages]


def outbox_reader(database: Database, make_headers: MakeHeaders = lambda message: message.headers) -> SqlOutboxReader:
    """Return the reader of the outbox; a payload is one serialised `flowloom.events.v1.CommandEvents`."""
    columns = OutboxColumns(
        sequence=outbox.c.sequence,
        event_id=outbox.c.command_id,
        key=outbox.c.root_id,
        payload=outbox.c.events,
        occurred_at=outbox.c.created_at,
        headers={"tenant_id": outbox.c.tenant_id},
    )
    return HistoryReader(database, columns, make_headers)


def business_reader(database: Database, topic: str) -> SqlOutboxReader:
    """Return the reader of a business topic of the embedded bus."""
    columns = OutboxColumns(
        sequence=business_event.c.position,
        event_id=business_event.c.event_id,
        key=business_event.c.root_id,
        payload=business_event.c.payload,
        occurred_at=business_event.c.occurred_at,
        topic=business_event.c.topic,
        json_headers=business_event.c.headers,
    )
    return SqlOutboxReader(database, columns, topic)


def bus_offsets(database: Database) -> SqlOffsets:
    """Return the offsets of the consumer groups that read the outbox."""
    return SqlOffsets(database, bus_offset)


def has_read(database: Database, group: str) -> bool:
    """Tell whether a group has ever read the outbox. Blocking."""
    place = and_(bus_offset.c.consumer_group == group, bus_offset.c.partition == 0)
    with database.reader.connect() as connection:
        return connection.execute(select(bus_offset.c.sequence).where(place)).first() is not None


def business_offsets(database: Database) -> SqlOffsets:
    """Return the offsets of the consumer groups that read business events."""
    return SqlOffsets(database, bus_offset, partition=BUSINESS_PARTITION)
