"""Reads a service's outbox table, so that a bus can carry what its transactions wrote there.

Only the columns are told; the table is the service's own. See `mesh.bus.ports.OutboxReader` for what makes reading a
table that several transactions write at once harder than it looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Select, func, or_, select

from mesh.bus.message import Message
from mesh.bus.ports import Span
from mesh.db.database import Database
from mesh.db.errors import TransactionConflict, classify
from mesh.errors import Unavailable

T = TypeVar("T")
_LOGGER: Final = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 1
"""How long to wait for writers under way; MySQL knows whole seconds only, at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxColumns:
    """Where a message is in a row. `sequence` is the primary key, counted up by the database."""

    sequence: Column[Any]
    event_id: Column[Any]
    key: Column[Any]
    payload: Column[Any]
    occurred_at: Column[Any]
    topic: Column[Any] | None = None
    """Where a table holds several topics; indexed with the sequence."""
    json_headers: Column[Any] | None = None
    """Where headers are kept as JSON, instead of `headers`."""
    headers: Mapping[str, Column[Any]] = field(default_factory=dict)


class SqlOutboxReader:
    """An `OutboxReader` over a table in MySQL, MariaDB or SQLite."""

    def __init__(self, database: Database, columns: OutboxColumns, topic: str) -> None:
        """Of a table without topics, all rows belong to this one.

        Of one with topics the writer must be alone, so that rows become visible in the order of their sequences.
        """
        self.gaps_can_fill = not database.is_sqlite and columns.topic is None
        self._database = database
        self._columns = columns
        self._topic = topic
        self._headers = tuple(columns.headers)
        self._select = select(
            columns.sequence,
            columns.key,
            columns.event_id,
            columns.payload,
            columns.occurred_at,
            *columns.headers.values(),
            *((columns.json_headers,) if columns.json_headers is not None else ()),
        ).order_by(columns.sequence)
        self._last = select(func.coalesce(func.max(columns.sequence), 0))
        if columns.topic is not None:
            self._select = self._select.where(columns.topic == topic)
            self._last = self._last.where(columns.topic == topic)

    async def read(self, after_sequence: int, limit: int) -> Sequence[Message]:
        """Return visible messages with a higher sequence, lowest first. Raises Unavailable."""
        return await self._messages(self._select.where(self._columns.sequence > after_sequence).limit(limit))

    async def in_spans(self, spans: Sequence[Span], limit: int) -> Sequence[Message]:
        """Return visible messages within the spans, lowest first. Raises Unavailable."""
        within: list[ColumnElement[bool]] = [self._columns.sequence.between(first, last) for first, last in spans]
        return await self._messages(self._select.where(or_(*within)).limit(limit))

    async def last_sequence(self) -> int:
        """Return the highest visible sequence, 0 if there is none. Raises Unavailable."""
        return int(await in_database(self._database, lambda connection: connection.execute(self._last).scalar_one()))

    async def settle(self) -> bool:
        """Wait until every transaction that has begun to write the table has ended; False if one takes too long.

        A transaction that inserts holds the table's metadata lock for writers from before the row is given its sequence
        until it ends, so who gets a lock for reading the whole table has outlived them all. Writers that come meanwhile
        wait, which is why this is left after `SETTLE_SECONDS`. SQLite has one writer at a time: nothing to wait for.
        """
        if not self.gaps_can_fill:
            return True
        try:
            await in_database(self._database, self._outlive_writers)
        except Unavailable as away:
            if isinstance(away.__cause__, TransactionConflict):
                return False
            raise
        except Exception as refused:  # no right to lock tables, or a proxy that cannot: gaps then stay open
            _LOGGER.warning("gaps of the outbox cannot be settled: %s", refused)
            return False
        return True

    def _outlive_writers(self, connection: Connection) -> None:
        name = self._columns.sequence.table.name
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout={SETTLE_SECONDS}")
        try:
            connection.exec_driver_sql(f"LOCK TABLES `{name}` READ")
            connection.exec_driver_sql("UNLOCK TABLES")
        finally:
            connection.exec_driver_sql("SET SESSION lock_wait_timeout=DEFAULT")

    async def _messages(self, statement: Select[Any]) -> Sequence[Message]:
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return [self._message(tuple(row)) for row in rows]

    def _message(self, row: Sequence[Any]) -> Message:
        headers: dict[str, str] = (
            dict(zip(self._headers, row[5:], strict=True))
            if self._columns.json_headers is None
            else msgspec.json.decode(row[5], type=dict[str, str])
        )
        return Message(
            topic=self._topic,
            sequence=row[0],
            key=row[1],
            event_id=row[2],
            payload=row[3],
            occurred_at=row[4],
            headers=headers,
        )


async def in_database(database: Database, work: Callable[[Connection], T]) -> T:
    """Do reading work in a thread, on a connection without a transaction.

    Raises Unavailable, caused by a `mesh.db.errors.DatabaseError`, if the database is away or busy.
    """

    def run() -> T:
        with database.reader.connect() as connection:
            return work(connection)

    try:
        return await asyncio.to_thread(run)
    except Exception as error:
        found = classify(error)
        if found is None:
            raise
        raise Unavailable("database-away", f"expected the database to answer, found: {found}") from found
