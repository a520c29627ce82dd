"""Offsets and dead letters in a service's own database."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final, TypeVar

import msgspec
from sqlalchemy import Column, Connection, MetaData, Table, delete, insert, select, update

from mesh.bus.message import Message
from mesh.bus.ports import ClaimLost, Parked
from mesh.clock import Clock, SystemClock
from mesh.db.database import Database
from mesh.db.errors import DuplicateKey, classify
from mesh.db.types import UtcDateTime, identifier, long_bytes, long_text, sequence_number, text
from mesh.errors import Unavailable
from mesh.outbox import in_database

T = TypeVar("T")
PARTITION: Final = 0
"""Of the outbox itself."""


class SqlOffsets:
    """`Offsets` in a table with the columns consumer_group, partition, sequence and updated_at.

    On MySQL the claim is a lock of the server (GET_LOCK) that lives and dies with one connection, and offsets are
    stored over that connection: whoever can still store has not lost the claim. On SQLite it is the lock of a file
    beside the database, which the operating system takes back when the process ends.
    """

    def __init__(
        self, database: Database, table: Table, clock: Clock | None = None, *, partition: int = PARTITION
    ) -> None:
        """`partition` tells apart the sources that share the table."""
        self._database = database
        self._table = table
        self._partition = partition
        self._clock = clock or SystemClock()
        self._claims: dict[str, Connection] = {}
        self._files: dict[str, IO[bytes]] = {}
        self._lock = Lock()

    async def claim(self, group: str) -> int | None:
        """Claim, or find the claim taken. Raises Unavailable."""
        return await self._in_thread(group, lambda: self._claim(group))

    async def store(self, group: str, sequence: int) -> None:
        """Remember. Raises ClaimLost without the claim or when its connection broke, Unavailable."""

        def run() -> None:
            connection = self._claims.get(group)
            if connection is None:
                raise ClaimLost(f"expected a claim on the group {group}, found none")
            self._store(connection, group, sequence)

        await self._in_thread(group, run)

    async def release(self, group: str) -> None:
        """Give the claim back by closing its connection."""
        await self._in_thread(group, lambda: self._forget(group))

    def _claim(self, group: str) -> int | None:
        connection = self._claims.get(group)
        if connection is None:
            connection = self._database.reader.connect()
            try:
                alone = (
                    self._lock_file(group) if self._database.is_sqlite else self._lock_server_wide(connection, group)
                )
            except BaseException:
                connection.close()
                raise
            if not alone:
                connection.close()
                return None
            self._claims[group] = connection
        table = self._table
        found = connection.execute(
            select(table.c.sequence).where(table.c.consumer_group == group, table.c.partition == self._partition)
        ).scalar_one_or_none()
        return int(found or 0)

    def _store(self, connection: Connection, group: str, sequence: int) -> None:
        table = self._table
        values = {"sequence": sequence, "updated_at": self._clock.now()}
        changed = connection.execute(
            update(table).where(table.c.consumer_group == group, table.c.partition == self._partition).values(values)
        )
        if changed.rowcount == 0:
            connection.execute(insert(table).values(consumer_group=group, partition=self._partition, **values))

    def _forget(self, group: str) -> None:
        connection = self._claims.pop(group, None)
        file = self._files.pop(group, None)
        if file is not None:
            file.close()
        if connection is None:
            return
        with contextlib.suppress(Exception):
            if not self._database.is_sqlite:
                # The connection itself must end, not only go back to its pool: the lock is bound to it.
                connection.invalidate()
            connection.close()

    def _lock_file(self, group: str) -> bool:
        path = Path(f"{self._database.engine.url.database}.{self._lock_name(group)}.lock")
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._files[group] = file
        return True

    def _lock_name(self, group: str) -> str:
        # Locks of MySQL are the server's, not the database's, and their names are short.
        place = f"{self._database.engine.url.database}/{self._table.name}/{group}" + (
            f"/{self._partition}" if self._partition else ""
        )
        return "bus." + hashlib.sha256(place.encode()).hexdigest()[:40]

    def _lock_server_wide(self, connection: Connection, group: str) -> bool:
        name = self._lock_name(group)
        return bool(connection.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (name,)).scalar_one() == 1)

    async def _in_thread(self, group: str, work: Callable[[], T]) -> T:
        def run() -> T:
            with self._lock:
                return work()

        try:
            return await asyncio.to_thread(run)
        except ClaimLost:
            raise
        except Exception as error:
            self._forget(group)
            found = classify(error)
            if found is None:
                raise
            raise Unavailable("database-away", f"expected the database to answer, found: {found}") from found


def dead_letter_table(metadata: MetaData, name: str = "dead_letter", **options: Any) -> Table:
    """Declare the table of a service's dead letters. `sequence` is that of the message on its bus."""
    return Table(
        name,
        metadata,
        Column("consumer_group", text(64), primary_key=True, nullable=False),
        Column("sequence", sequence_number(), primary_key=True, autoincrement=False, nullable=False),
        Column("topic", text(), nullable=False),
        Column("message_key", text(), nullable=False),
        Column("event_id", identifier(), nullable=False),
        Column("occurred_at", UtcDateTime(), nullable=False),
        Column("headers", long_text(), nullable=False),
        Column("payload", long_bytes(), nullable=False),
        Column("error", long_text(), nullable=False),
        Column("tries", sequence_number(), nullable=False),
        Column("parked_at", UtcDateTime(), nullable=False),
        **options,
    )


class SqlDeadLetters:
    """`DeadLetters` of one group. There are few, so all of a group are looked through."""

    def __init__(self, database: Database, table: Table, group: str) -> None:
        self._database = database
        self._table = table
        self._group = group

    async def park(self, letters: Sequence[Parked]) -> None:
        """Keep these. Raises Unavailable."""
        rows = [self._row(letter) for letter in letters]

        def run(connection: Connection) -> None:
            for row in rows:
                try:
                    connection.execute(insert(self._table).values(**row))
                except Exception as error:
                    # It came again after a restart and is kept already.
                    if not isinstance(classify(error), DuplicateKey):
                        raise

        await in_database(self._database, run)

    async def keys(self) -> Collection[str]:
        """Return the keys that have parked messages. Raises Unavailable."""
        table = self._table
        statement = select(table.c.message_key).where(table.c.consumer_group == self._group).distinct()
        return await in_database(self._database, lambda connection: list(connection.execute(statement).scalars()))

    async def listed(self, limit: int, after_sequence: int = 0) -> Sequence[Parked]:
        """Return the parked messages behind that sequence, in order. Raises Unavailable."""
        return await self._letters(self._table.c.sequence > after_sequence, limit)

    async def of_key(self, key: str) -> Sequence[Parked]:
        """Return all parked messages of a key, in order. Raises Unavailable."""
        return await self._letters(self._table.c.message_key == key, None)

    async def drop(self, sequences: Sequence[int]) -> None:
        """Forget these. Raises Unavailable."""
        table = self._table
        statement = delete(table).where(table.c.consumer_group == self._group, table.c.sequence.in_(sequences))
        await in_database(self._database, lambda connection: connection.execute(statement))

    async def _letters(self, condition: Any, limit: int | None) -> Sequence[Parked]:
        table = self._table
        statement = (
            select(table)
            .where(table.c.consumer_group == self._group, condition)
            .order_by(table.c.sequence)
            .limit(limit)
        )
        rows = await in_database(self._database, lambda connection: connection.execute(statement).mappings().all())
        return [self._letter(row) for row in rows]

    def _row(self, letter: Parked) -> dict[str, Any]:
        message = letter.message
        return {
            "consumer_group": self._group,
            "sequence": message.sequence,
            "topic": message.topic,
            "message_key": message.key,
            "event_id": message.event_id,
            "occurred_at": message.occurred_at,
            "headers": msgspec.json.encode(dict(message.headers)).decode(),
            "payload": message.payload,
            "error": letter.error,
            "tries": letter.tries,
            "parked_at": letter.parked_at,
        }

    @staticmethod
    def _letter(row: Any) -> Parked:
        message = Message(
            topic=row["topic"],
            key=row["message_key"],
            event_id=row["event_id"],
            sequence=row["sequence"],
            payload=row["payload"],
            occurred_at=row["occurred_at"],
            headers=msgspec.json.decode(row["headers"], type=dict[str, str]),
        )
        return Parked(message=message, error=row["error"], tries=row["tries"], parked_at=row["parked_at"])
