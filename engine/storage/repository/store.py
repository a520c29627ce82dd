"""The repository in a database: reads as they come, writes one after another."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection, delete, insert, select, update

from engine.app.repository import Reply, RepositoryReader, RepositoryUnit
from engine.kernel.errors import RESOURCE_EXHAUSTED, Refused, invalid
from engine.storage.codec import from_json, to_json
from engine.storage.remark_tables import answer
from engine.storage.repository.reading import STAMP, ConnectionReader
from engine.storage.repository.writing import SqlUnit
from engine.storage.small_writes import REQUEST, first_reply
from engine.storage.tables import engine_property
from mesh.db.database import Database
from mesh.db.errors import ConnectionLost, DatabaseAway, DatabaseError, StatementTooLarge, classify
from mesh.errors import Unavailable

T = TypeVar("T")

ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 0.02
"""Between attempts; doubled each time."""
MAX_REQUEST_ID: Final = 128


class SqlRepository:
    """Implements `RepositoryStore`.

    The stamp's row is the lock: every write renews it first, so the second one waits for the first one's commit. On
    SQLite it is the file's write lock that they wait for.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        retention: timedelta = timedelta(hours=1),
    ) -> None:
        """`retention`: how long a repeated request gets its first answer."""
        self._database = database
        self._retention = retention
        self._now = now
        self._new_id = new_id

    def read(self, ask: Callable[[RepositoryReader], T]) -> T:
        """Ask over one connection. Raises Unavailable."""
        return self._repeated(lambda: self._read(ask))

    def write(self, work: Callable[[RepositoryUnit], Reply], request_id: str = "", about: str = "") -> Reply:
        """Run `work` in one transaction, or return what was answered to `request_id` before.

        `about` says what is asked for: a request_id that was used for something else is refused (INVALID_ARGUMENT).
        Raises Refused (RESOURCE_EXHAUSTED for a file that the database does not take), Unavailable.
        """
        if len(request_id) > MAX_REQUEST_ID:
            raise invalid(
                "request-id-too-long", f"expected at most {MAX_REQUEST_ID} characters, found {len(request_id)}"
            )
        # Without a request_id it needs a name too: if the answer to COMMIT is lost, the next attempt finds what it did.
        name = request_id or f"repository-{self._new_id()}"
        return self._repeated(lambda: self._write(work, name, about))

    def _read(self, ask: Callable[[RepositoryReader], T]) -> T:
        with self._database.reader.connect() as connection:
            return ask(ConnectionReader(connection))

    def _write(self, work: Callable[[RepositoryUnit], Reply], name: str, about: str) -> Reply:
        with self._database.engine.begin() as connection:
            self._lock(connection)
            former = connection.scalar(select(answer.c.reply).where(answer.c.request_id == name))
            if former is not None:
                return first_reply(dict(from_json(former)), name, about)
            reply = work(SqlUnit(connection))
            now = self._now()
            connection.execute(delete(answer).where(answer.c.created_at < now - self._retention))
            connection.execute(
                insert(answer), {"request_id": name, "reply": to_json({**reply, REQUEST: about}), "created_at": now}
            )
            return reply

    def _lock(self, connection: Connection) -> None:
        if self._database.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        stamp = self._new_id()
        renewed = connection.execute(update(engine_property).where(engine_property.c.name == STAMP).values(value=stamp))
        if renewed.rowcount == 0:
            # Two that come here at once: one gets DuplicateKey, and waits for the other at its next attempt.
            connection.execute(insert(engine_property), {"name": STAMP, "value": stamp})

    def _repeated(self, attempt: Callable[[], T]) -> T:
        for left in reversed(range(ATTEMPTS)):
            try:
                return attempt()
            except Refused:
                raise
            except Exception as error:
                found = classify(error)
                if found is None:
                    raise
                if isinstance(found, StatementTooLarge):
                    raise _too_large(found) from error
                if left == 0 or isinstance(found, DatabaseAway):
                    raise _unavailable(found) from error
                time.sleep(PAUSE_SECONDS * 2 ** (ATTEMPTS - left))
        raise AssertionError("the last attempt returns or raises")


def _unavailable(error: DatabaseError) -> Unavailable:
    what = "lost" if isinstance(error, ConnectionLost) else "away or busy"
    return Unavailable("database-unavailable", f"expected the database to answer, found it {what}")


def _too_large(error: StatementTooLarge) -> Refused:
    return Refused(
        RESOURCE_EXHAUSTED,
        "resource-too-large",
        f"expected files that the database takes, found: {error} (limit: max_allowed_packet of the server)",
        limit="max_allowed_packet",
    )
