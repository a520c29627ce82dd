"""What the contract of the bus is tested over: a place to publish, and processes that subscribe."""

import asyncio
import itertools
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, insert

from engine.storage.outbox_reader import TOPIC, bus_offsets, outbox_reader
from engine.storage.tables import bus_offset, outbox
from mesh.bus.embedded import EmbeddedBus
from mesh.bus.kafka import KafkaBus
from mesh.bus.memory import MemoryDeadLetters, MemoryOffsets, MemoryOutbox
from mesh.bus.message import Message
from mesh.bus.ports import EventBus, GroupSettings, Parked
from mesh.bus.settings import BusSettings, open_bus
from mesh.bus.sql import SqlOffsets
from mesh.db.database import Database, DatabaseSettings, open_database

_NUMBERS = itertools.count(1)
AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
QUICK = GroupSettings(
    retry_seconds=0.001, away_seconds=0.001, linger_seconds=0.0, poll_seconds=0.01, gap_patience_seconds=0.0
)
"""For tests: nothing is waited for longer than needed."""
UNPOLLED = GroupSettings(retry_seconds=0.001, away_seconds=0.001, linger_seconds=0.0, poll_seconds=600.0)
SECONDS = 60.0
"""How long a test waits for what must happen, before it fails."""


def message(key: str, event_id: str, payload: bytes = b"payload") -> Message:
    return Message(topic=TOPIC, key=key, event_id=event_id, sequence=0, payload=payload, occurred_at=AT)


def numbered(key: str, count: int) -> list[Message]:
    return [message(key, f"{key}-{n}") for n in range(1, count + 1)]


class World(Protocol):
    def process(self) -> EventBus:
        """The bus of one more process."""

    def crash(self) -> None:
        """All processes die; what they held of the surroundings is let go."""

    async def close(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.outbox = MemoryOutbox()
        self.offsets = MemoryOffsets()

    def process(self) -> EmbeddedBus:
        return EmbeddedBus(TOPIC, self.outbox, self.offsets.for_process(), append=self.outbox.append)

    def crash(self) -> None:
        self.offsets.owners.clear()

    async def close(self) -> None:
        return


class SqlWorld:
    """The engine's outbox in a real database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._databases: list[Database] = []
        self._offsets: list[SqlOffsets] = []
        outbox.metadata.create_all(self.database().engine, tables=[outbox, bus_offset])

    def database(self) -> Database:
        found = open_database(DatabaseSettings(url=self._url))
        self._databases.append(found)
        return found

    def process(self) -> EmbeddedBus:
        database = self.database()

        async def append(messages: Sequence[Message]) -> None:
            def run() -> None:
                with database.engine.begin() as connection:
                    for found in messages:
                        write(connection, found)

            await asyncio.to_thread(run)

        offsets = bus_offsets(database)
        self._offsets.append(offsets)
        return EmbeddedBus(TOPIC, outbox_reader(database), offsets, append=append)

    def crash(self) -> None:
        database = self.database()
        if database.is_sqlite:
            for offsets in self._offsets:
                for file in offsets._files.values():
                    file.close()  # as the operating system does with a dead process
            return
        with database.reader.connect() as connection:
            own = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
            processes = connection.exec_driver_sql("SHOW PROCESSLIST").all()
            for process in processes:
                if process[0] != own and process[3] == database.engine.url.database:
                    connection.exec_driver_sql(f"KILL {process[0]}")

    async def close(self) -> None:
        for database in self._databases:
            database.close()


def write(connection: Connection, found: Message) -> int:
    """Write one row of the outbox in the transaction of the connection; returns its sequence."""
    statement = insert(outbox).values(
        command_id=found.event_id, root_id=found.key, tenant_id="", reply="", events=found.payload, created_at=AT
    )
    return int(connection.execute(statement).inserted_primary_key[0])  # type: ignore[index]


class KafkaWorld:
    """Topics of a test's own on a real broker."""

    def __init__(self, url: str, *, partitions: int = 1, names: Sequence[str] = (TOPIC,)) -> None:
        self.settings = BusSettings(
            url=url,
            topic_prefix=f"t{next(_NUMBERS)}-{os.getpid()}.",
            partitions=partitions,
            replication=1,
            session_seconds=15.0,
            send_seconds=60.0,
        )
        self._names = names
        self._buses: list[KafkaBus] = []

    def process(self) -> KafkaBus:
        found = open_bus(self.settings, names=self._names)
        assert found is not None
        self._buses.append(found)
        return found

    def crash(self) -> None:
        return

    async def close(self) -> None:
        for bus in self._buses:
            await bus.stop()


class Collector:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self._changed = asyncio.Event()

    async def __call__(self, messages: Sequence[Message]) -> None:
        self.batches.append(list(messages))
        self._changed.set()

    @property
    def ids(self) -> list[str]:
        return [found.event_id for batch in self.batches for found in batch]

    def of_key(self, key: str) -> list[str]:
        return [found.event_id for batch in self.batches for found in batch if found.key == key]

    async def until_seen(self, event_id: str) -> None:
        """Return once this message came."""
        async with asyncio.timeout(SECONDS):
            while event_id not in self.ids:
                self._changed.clear()
                await self._changed.wait()

    async def until(self, count: int) -> None:
        """Return once so many messages came."""
        async with asyncio.timeout(SECONDS):
            while len(self.ids) < count:
                self._changed.clear()
                await self._changed.wait()


class Failing(Collector):
    """Raises for the event ids in `failing`; `attempts` counts how often each event was tried."""

    def __init__(self, *failing: str, error: Exception | None = None) -> None:
        super().__init__()
        self.failing = set(failing)
        self.error = error or ValueError("cannot be read")
        self.attempts: dict[str, int] = {}
        self._tried = asyncio.Event()

    async def until_tried(self, event_id: str, times: int) -> None:
        """Return once the event was tried so often."""
        async with asyncio.timeout(SECONDS):
            while self.attempts.get(event_id, 0) < times:
                self._tried.clear()
                await self._tried.wait()

    async def __call__(self, messages: Sequence[Message]) -> None:
        for found in messages:
            self.attempts[found.event_id] = self.attempts.get(found.event_id, 0) + 1
        self._tried.set()
        if self.failing & {found.event_id for found in messages}:
            raise self.error
        await super().__call__(messages)


class Letters(MemoryDeadLetters):
    """Dead letters that one can wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    async def park(self, letters: Sequence[Parked]) -> None:
        await super().park(letters)
        self._changed.set()

    async def until(self, count: int) -> None:
        """Return once so many messages are parked."""
        async with asyncio.timeout(SECONDS):
            while len(self.letters) < count:
                self._changed.clear()
                await self._changed.wait()


def sqlite_world(folder: Path) -> SqlWorld:
    return SqlWorld(f"sqlite:///{folder / 'outbox.db'}")
