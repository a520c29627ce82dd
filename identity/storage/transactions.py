"""Transactions of identity's database: run, run anew after a conflict, and followed by what caches must hear."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from random import SystemRandom
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection, delete, insert, select, text

from identity.app.ports import Invalidation
from identity.storage import tables
from identity.storage.grants import SqlGroups, SqlPrivileges
from identity.storage.notes import SqlAnswers, SqlCounts, SqlKeys
from identity.storage.people import SqlTenants, SqlUsers
from identity.storage.tokens import SqlTokens
from mesh.clock import Clock
from mesh.db.database import Database
from mesh.db.errors import DatabaseError, DuplicateKey, TransactionConflict, classify
from mesh.errors import Unavailable
from mesh.ids import IdSource
from mesh.outbox import in_database

T = TypeVar("T")
_LOGGER: Final = logging.getLogger(__name__)

MAX_TRIES: Final = 8
"""How often a transaction is run while others stand in its way."""
LONGEST_PAUSE_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 5.0
"""How long after its transaction an untold change is left to the process that made it."""
MAX_UNTOLD: Final = 100
"""Untold changes that one look takes up."""


class SqlWork:
    """The `Work` of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.users = SqlUsers(connection)
        self.groups = SqlGroups(connection)
        self.privileges = SqlPrivileges(connection)
        self.tenants = SqlTenants(connection)
        self.tokens = SqlTokens(connection)
        self.counts = SqlCounts(connection)
        self.keys = SqlKeys(connection)
        self.answers = SqlAnswers(connection)
        self.changed_ids: set[str] = set()
        self._connection = connection

    def lock(self, latch: str) -> None:
        statement = select(tables.latch.c.name).where(tables.latch.c.name == latch)
        self._connection.execute(statement.with_for_update()).one()

    def changed(self, user_ids: Iterable[str]) -> None:
        self.changed_ids.update(user_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Untold:
    """A committed change of which caches were not told yet."""

    id: str
    user_ids: tuple[str, ...]


class SqlStore:
    """The `Store` of a database."""

    def __init__(
        self, database: Database, *, clock: Clock, ids: IdSource, invalidation: Invalidation, writers: int
    ) -> None:
        """`writers`: transactions at once; SQLite, which has one writer, gets one."""
        self._database = database
        self._clock = clock
        self._ids = ids
        self._invalidation = invalidation
        workers = 1 if database.is_sqlite else writers
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="identity-store")
        self._random = SystemRandom()

    async def write(self, work: Callable[[SqlWork], T]) -> T:
        """Run the work and commit, anew after a conflict; then tell caches who changed. Raises Unavailable."""

        def run() -> tuple[T, _Untold | None]:
            for tried in range(1, MAX_TRIES + 1):
                try:
                    return self._transact(work)
                except Exception as error:
                    found = classify(error)
                    if found is None:
                        raise
                    # A row that another transaction has put there meanwhile is found by the work's own look.
                    if tried == MAX_TRIES or not isinstance(found, TransactionConflict | DuplicateKey):
                        raise _away(found) from error
                    time.sleep(self._random.uniform(0, LONGEST_PAUSE_SECONDS))
            raise AssertionError("unreachable: the last try returns or raises")

        result, untold = await asyncio.get_running_loop().run_in_executor(self._threads, run)
        if untold is not None:
            await self._tell([untold])
        return result

    async def read(self, work: Callable[[SqlWork], T]) -> T:
        """Run work that only reads, on a connection without a transaction. Raises Unavailable."""
        return await in_database(self._database, lambda connection: work(SqlWork(connection)))

    async def probe(self) -> None:
        """Raise Unavailable unless the database answers."""
        await in_database(self._database, lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def tell_untold(self) -> int:
        """Tell caches of changes whose process ended or failed before it had; returns how many."""
        before = self._clock.now() - timedelta(seconds=PATIENCE_SECONDS)
        found = tables.invalidation.c
        statement = (
            select(found.id, found.user_ids).where(found.created_at < before).order_by(found.id).limit(MAX_UNTOLD)
        )
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        untold = [_Untold(id=row[0], user_ids=msgspec.json.decode(row[1], type=tuple[str, ...])) for row in rows]
        return len(untold) if untold and await self._tell(untold) else 0

    async def close(self) -> None:
        """Let what is under way end."""
        await asyncio.to_thread(self._threads.shutdown)

    def _transact(self, work: Callable[[SqlWork], T]) -> tuple[T, _Untold | None]:
        with self._database.engine.connect() as connection:
            if self._database.is_sqlite:
                # From the beginning: a transaction that reads first could not become a writer beside another one.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            inside = SqlWork(connection)
            result = work(inside)
            untold = self._note(connection, inside.changed_ids)
            connection.commit()
            return result, untold

    def _note(self, connection: Connection, user_ids: set[str]) -> _Untold | None:
        if not user_ids:
            return None
        untold = _Untold(id=self._ids.root(), user_ids=tuple(sorted(user_ids)))
        spelled = msgspec.json.encode(untold.user_ids).decode()
        values = {"id": untold.id, "user_ids": spelled, "created_at": self._clock.now()}
        connection.execute(insert(tables.invalidation).values(values))
        return untold

    async def _tell(self, untold: Sequence[_Untold]) -> bool:
        user_ids = sorted({user_id for each in untold for user_id in each.user_ids})
        try:
            await self._invalidation.permissions_changed(user_ids)
        except (OSError, TimeoutError, Unavailable) as failed:
            _LOGGER.warning("caches could not be told of changed permissions and will be: %s", failed)
            return False
        told = delete(tables.invalidation).where(tables.invalidation.c.id.in_([each.id for each in untold]))

        def forget() -> None:
            with self._database.engine.begin() as connection:
                connection.execute(told)

        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, forget)
        except Exception as error:  # telling once more does no harm, and the change itself is done
            if classify(error) is None:
                raise
            _LOGGER.info("a note of changed permissions stays for now: %s", error)
        return True


def _away(found: DatabaseError) -> Unavailable:
    return Unavailable("database-away", f"expected identity's database to answer, found: {found}")
