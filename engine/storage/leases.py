"""Leases for the event loop: transactions on the group commit's writers, looks ahead on reading connections."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, text

from engine.app.jobs import EXTERNAL_LANE, Acquired, Acquisition, LeaseChange
from engine.storage import lease_sql
from engine.storage.lease_sql import DecodeValue
from mesh.db.database import Database
from mesh.db.errors import ConnectionLost, DatabaseAway, classify
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer
from mesh.errors import Unavailable

_NEXT: Final = text(
    "SELECT available_at FROM job WHERE lane = :lane AND topic = :topic AND available_at > :after "
    "ORDER BY available_at LIMIT 1"
)
_IS_THERE: Final = text("SELECT 1 FROM job WHERE lane = :lane AND topic = :topic AND available_at <= :now LIMIT 1")
_BEFORE_ALL: Final = "0001-01-01 00:00:00"

T = TypeVar("T")


class HasWriter(Protocol):
    """What the storage's unit of work has beside its port."""

    writer: Writer


class Transact(Protocol):
    """The group commit's way to run a transaction of the storage (`GroupCommit.transact`)."""

    def __call__(self, work: Callable[[Any], T]) -> Awaitable[T]: ...


class LeaseStore:
    """Implements `engine.app.jobs.Leases` on a database."""

    def __init__(
        self, database: Database, transact: Transact, *, new_id: Callable[[], str], decode_value: DecodeValue
    ) -> None:
        """`transact` gives a unit of work that has a `writer`; `decode_value` reads what the storage spelled."""
        self._database = database
        self._transact = transact
        self._new_id = new_id
        self._decode = decode_value

    async def acquire(self, ask: Acquisition) -> Acquired:
        """See the port."""
        # A look without a transaction first: mostly there is nothing, and a look must not keep a writer busy.
        asked_for = ask.job_id or ask.request_id or ask.expected
        if not asked_for and not await self._read(lambda on: _is_there(on, ask)):
            return Acquired(jobs=())
        prefix = lease_sql.token_prefix(ask.request_id or self._new_id())
        nonce = self._new_id()
        repeated = bool(ask.request_id)
        return await self._write(
            lambda writer: lease_sql.acquire(writer, ask, prefix, nonce, self._decode, repeated=repeated)
        )

    async def extend(self, leases: Sequence[LeaseChange], until: datetime) -> list[str]:
        """See the port."""
        return await self._write(lambda writer: lease_sql.extend(writer, leases, until)) if leases else []

    async def release(self, leases: Sequence[LeaseChange]) -> list[str]:
        """See the port."""
        return await self._write(lambda writer: lease_sql.release(writer, leases)) if leases else []

    async def release_all(self, owner: str, tenant_id: str | None = None, lane: str = EXTERNAL_LANE) -> int:
        """See the port."""
        return await self._write(lambda writer: lease_sql.release_all(writer, lane, owner, tenant_id))

    async def next_available(self, lane: str, topic: str = "", after: datetime | None = None) -> datetime | None:
        """See the port."""
        values = {
            "lane": lane,
            "topic": topic,
            "after": text_of_moment(after) if after is not None else _BEFORE_ALL,
        }
        return await self._read(lambda on: _moment(on.execute(_NEXT, values).scalar()))

    async def _write(self, work: Callable[[Writer], T]) -> T:
        def on_unit(unit: HasWriter) -> T:
            return work(unit.writer)

        return await self._transact(on_unit)

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._read_now, ask)

    def _read_now(self, ask: Callable[[Connection], T]) -> T:
        try:
            with self._database.reader.connect() as connection:
                return ask(connection)
        except Exception as error:
            if isinstance(classify(error), ConnectionLost | DatabaseAway):
                raise Unavailable("database-away", "expected the database to answer, found it away") from error
            raise


def _is_there(on: Connection, ask: Acquisition) -> bool:
    values = {"lane": ask.lane, "topic": ask.topic, "now": text_of_moment(ask.now)}
    return on.execute(_IS_THERE, values).first() is not None


def _moment(found: Any) -> datetime | None:
    """SQLite answers the text that is stored, MySQL's driver a moment."""
    return None if found is None else moment_of_text(str(found))
