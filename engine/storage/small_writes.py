"""Small transactions beside the group commit: rows that belong to no instance tree, with first answers kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from engine.kernel.errors import request_id_reused
from engine.kernel.values import Value
from engine.storage.codec import from_json, to_json
from engine.storage.remark_tables import answer
from mesh.clock import Clock
from mesh.db.database import Database
from mesh.db.errors import ConnectionLost, DatabaseAway, DuplicateKey, TransactionConflict, ValueTooLong, classify
from mesh.errors import InvalidArgument, Unavailable

Reply = Mapping[str, Value]
T = TypeVar("T")
Work = Callable[[Connection], Reply]

ATTEMPTS: Final = 8
"""How often a transaction is tried that the database gives up for another one's sake."""
REQUEST: Final = "request"
"""Where a kept reply says what was asked for; callers are not told."""
FORGOTTEN_AT_ONCE: Final = 100
"""Old answers that one request takes away; more than one comes, so the table does not grow."""


class SmallWrites:
    """Runs one transaction at a time of the calling thread. Blocking; safe from any thread."""

    def __init__(self, database: Database, clock: Clock, retention: timedelta = timedelta(hours=1)) -> None:
        """`retention`: how long a repeated request gets its first answer."""
        self._database = database
        self._clock = clock
        self._retention = retention

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reading connection. Raises Unavailable."""
        try:
            with self._database.reader.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise _away(error) from error

    def run(self, work: Work, request_id: str = "", *, about: str = "") -> Reply:
        """Run `work` in a transaction and keep its reply; a known request gets its first reply and `work` is not run.

        `about` says what is asked for: a request_id that was used for something else is refused (INVALID_ARGUMENT).
        `work` may run several times, each time on a database without the traces of the time before. Raises Unavailable.
        """
        for _ in range(ATTEMPTS):
            try:
                return self._attempt(work, request_id, about)
            except SQLAlchemyError as error:
                # Of two calls with the same request the slower one finds the key taken, and then the first answer.
                if not isinstance(classify(error), TransactionConflict | DuplicateKey):
                    raise _away(error) from error
        raise Unavailable("database-busy", f"expected a free row within {ATTEMPTS} attempts, found none")

    def first_answer(self, request_id: str, about: str) -> Reply | None:
        """Return what the request was answered; None if it is new. Raises Unavailable, Refused as `run`."""
        return self.read(lambda connection: self._first_answer(connection, request_id, about))

    def remember(self, request_id: str, about: str, reply: Reply) -> None:
        """Keep the answer to a request that was carried out elsewhere. Raises Unavailable."""
        self.run(lambda _: reply, request_id, about=about)

    def _attempt(self, work: Work, request_id: str, about: str) -> Reply:
        with self._database.engine.begin() as connection:
            if self._database.is_sqlite:
                # Without it SQLite begins at the first change, and what was read before may be old by then.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            first = self._first_answer(connection, request_id, about)
            if first is not None:
                return first
            reply = work(connection)
            if request_id:
                self._remember(connection, request_id, {**reply, REQUEST: about})
            return reply

    def _first_answer(self, connection: Connection, request_id: str, about: str) -> Reply | None:
        if not request_id:
            return None
        found = connection.execute(select(answer.c.reply).where(answer.c.request_id == request_id)).scalar()
        return None if found is None else first_reply(dict(from_json(found)), request_id, about)

    def _remember(self, connection: Connection, request_id: str, reply: Reply) -> None:
        now = self._clock.now()
        old = select(answer.c.request_id).where(answer.c.created_at < now - self._retention).limit(FORGOTTEN_AT_ONCE)
        forgotten = list(connection.execute(old).scalars())
        if forgotten:
            # By primary key, so that no range is locked that another request is about to write into.
            connection.execute(delete(answer).where(answer.c.request_id.in_(forgotten)))
        row = {"request_id": request_id, "reply": to_json(reply), "created_at": now}
        connection.execute(insert(answer).values(row))


def first_reply(kept: dict[str, Value], request_id: str, about: str) -> dict[str, Value]:
    """The reply as it was given. Raises Refused (INVALID_ARGUMENT) if it was given to a request for something else."""
    asked = str(kept.pop(REQUEST, ""))
    if asked and about and asked != about:
        raise request_id_reused(request_id, asked, about)
    return kept


def _away(error: SQLAlchemyError) -> Exception:
    """What a database error means to a caller; one that is a bug stays as it is."""
    found = classify(error)
    if isinstance(found, ValueTooLong):
        return InvalidArgument("text-too-long", f"expected texts that fit their columns, found: {found}")
    if isinstance(found, ConnectionLost | DatabaseAway):
        return Unavailable("database-away", "expected the database to answer, found it away")
    return error
