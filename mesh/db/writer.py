"""A writer's own connection: packets of statements, counted, with a hook before and after each for fault tests.

A writer belongs to one thread at a time. A transaction begins by itself with the first statement after a COMMIT or a
rollback. Errors come as `mesh.db.errors` has them; after any of them the transaction is rolled back.
"""

from __future__ import annotations

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pymysql
from pymysql.constants import CLIENT, COMMAND, FIELD_TYPE
from pymysql.converters import conversions

from mesh.db.errors import CommitUnknown, ConnectionLost, StatementTooLarge, classify
from mesh.db.mysql_results import read_results
from mesh.db.statements import COMMIT, Result, Row, Statement

PACKET_BYTES: Final = 8 * 1024 * 1024
"""A packet longer than this is sent in parts; the server's own limit may be lower."""


@dataclass(slots=True)
class Counters:
    """What went over a connection since it was opened, or since somebody set these back to zero."""

    statements: int = 0
    round_trips: int = 0
    commits: int = 0


class StatementHook(Protocol):
    """Stands between the statements of all writers of a database; may end the process or raise `ConnectionLost`.

    With a hook, statements travel one by one. `number` counts them from 1, over all writers.
    """

    def before_statement(self, number: int, text: str) -> None:
        """Called before a statement is sent."""
        ...

    def after_statement(self, number: int, text: str) -> None:
        """Called when its answer has been read."""
        ...

    def commit_sent(self, number: int) -> None:
        """Called when COMMIT was sent (SQLite: was done) and its answer has not been read."""
        ...


class Writer(ABC):
    """One connection."""

    def __init__(self, hook: Callable[[], StatementHook | None], next_number: Callable[[], int]) -> None:
        self.counters = Counters()
        self._hook = hook
        self._next_number = next_number

    def run(self, packet: Sequence[Statement]) -> list[Result]:
        """Execute the statements in order and return a result for each; `COMMIT` may be the last.

        Raises DatabaseError (the transaction is rolled back then; CommitUnknown if that cannot be told), or the
        driver's own error for a bug.
        """
        commits = bool(packet) and packet[-1] is COMMIT
        hook = self._hook()
        try:
            results = self._send(packet) if hook is None else self._send_watched(packet, hook)
        except Exception as error:
            found = self._after(error)
            if commits and isinstance(found, ConnectionLost) and not isinstance(found, CommitUnknown):
                raise CommitUnknown(str(found)) from error
            raise found from error
        self.counters.statements += len(packet)
        self.counters.round_trips += 1
        self.counters.commits += commits
        return results

    def _after(self, error: Exception) -> Exception:
        """Leave nothing open behind an error; return what it is."""
        found = classify(error)
        if isinstance(found, ConnectionLost):
            self.close()
        else:
            self.rollback()
        return error if found is None else found

    def read(self, statement: Statement) -> Sequence[Row]:
        """Execute a query of its own, which takes part in no transaction and locks nothing; return its rows.

        Only between transactions. Raises as `run` does.
        """
        hook = self._hook()
        number = self._next_number() if hook is not None else 0
        try:
            if hook is not None:
                hook.before_statement(number, statement.text)
            rows = self._read(statement)
            if hook is not None:
                hook.after_statement(number, statement.text)
        except Exception as error:
            raise self._after(error) from error
        self.counters.statements += 1
        self.counters.round_trips += 1
        return rows

    def _send_watched(self, packet: Sequence[Statement], hook: StatementHook) -> list[Result]:
        results: list[Result] = []
        for statement in packet:
            number = self._next_number()
            hook.before_statement(number, statement.text)
            if statement is COMMIT:
                results.append(self._commit_watched(number, hook))
            else:
                results += self._send([statement])
            hook.after_statement(number, statement.text)
        return results

    @abstractmethod
    def _send(self, packet: Sequence[Statement]) -> list[Result]: ...

    @abstractmethod
    def _read(self, statement: Statement) -> Sequence[Row]: ...

    @abstractmethod
    def _commit_watched(self, number: int, hook: StatementHook) -> Result: ...

    @abstractmethod
    def rollback(self) -> None:
        """Undo what was not committed; a connection that cannot even do that is closed."""

    @abstractmethod
    def close(self) -> None:
        """Close; may be called again."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Tell whether the connection has not been closed or lost."""


def _read_as_text() -> dict[Any, Any]:
    """Moments stay text: most are only passed on, and parsing each would cost more than reading it."""
    kept = dict(conversions)
    for kind in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP):
        kept.pop(kind, None)
    return kept


class MySqlWriter(Writer):
    """A connection to MySQL or MariaDB: READ COMMITTED, a packet of statements is one round trip."""

    def __init__(
        self,
        parameters: dict[str, Any],
        hook: Callable[[], StatementHook | None],
        next_number: Callable[[], int],
    ) -> None:
        """Connect. Raises DatabaseAway, or the driver's error if the server refuses us for good."""
        super().__init__(hook, next_number)
        self._connection = pymysql.connect(
            **parameters,
            client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
            conv=_read_as_text(),
            autocommit=False,
        )
        with self._connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("SELECT @@max_allowed_packet")
            row = cursor.fetchone()
        # Half of it in characters leaves room for those that take more than one byte; rows are checked once more below.
        self._limit = min(int(row[0]) // 2 if row else PACKET_BYTES, PACKET_BYTES)
        self._largest = int(row[0]) if row else PACKET_BYTES
        self._connection.rollback()

    def _send(self, packet: Sequence[Statement]) -> list[Result]:
        spelled = [statement.mysql(self._limit) for statement in packet]
        results: list[Result] = []
        chunk: list[str] = []
        size = 0
        for texts in spelled:
            for text in texts:
                if chunk and size + len(text) > self._limit:
                    results += self._exchange(chunk)
                    self.counters.round_trips += 1
                    chunk, size = [], 0
                chunk.append(text)
                size += len(text) + 1
        results += self._exchange(chunk)
        return results if len(results) == len(packet) else _join(results, [len(texts) for texts in spelled])

    def _read(self, statement: Statement) -> Sequence[Row]:
        # The end of the transaction lets go of the table's metadata lock, for which a migration would wait.
        return self._exchange([*statement.mysql(self._limit), "COMMIT"])[0].rows

    def _exchange(self, texts: list[str]) -> list[Result]:
        query = ";".join(texts).encode("utf-8", "surrogateescape")
        if len(query) > self._largest:
            raise StatementTooLarge(f"expected a packet of at most {self._largest} bytes, found {len(query)}")
        connection: Any = self._connection
        connection._execute_command(COMMAND.COM_QUERY, query)
        return read_results(connection)

    def _commit_watched(self, number: int, hook: StatementHook) -> Result:
        connection: Any = self._connection
        connection._execute_command(COMMAND.COM_QUERY, b"COMMIT")
        hook.commit_sent(number)
        connection._read_query_result()
        return Result((), 0)

    def rollback(self) -> None:
        if not self.is_open:
            return
        try:
            self._connection.rollback()
        except (pymysql.err.MySQLError, OSError):
            self.close()

    def close(self) -> None:
        # What is lost has nobody to say goodbye to: a polite end could block.
        with contextlib.suppress(pymysql.err.MySQLError, OSError, RuntimeError):
            connection: Any = self._connection
            connection._force_close()

    @property
    def is_open(self) -> bool:
        return bool(self._connection.open)


def _join(results: list[Result], counts: list[int]) -> list[Result]:
    """One result a statement, for statements that were sent in parts."""
    joined: list[Result] = []
    start = 0
    for count in counts:
        parts = results[start : start + count]
        start += count
        rows = [row for part in parts for row in part.rows]
        joined.append(Result(rows, sum(part.affected for part in parts)))
    return joined


class SqliteWriter(Writer):
    """A connection to an SQLite file. The transaction takes the file's one write lock at its beginning."""

    def __init__(
        self,
        path: str,
        prepare: Sequence[str],
        busy_seconds: float,
        hook: Callable[[], StatementHook | None],
        next_number: Callable[[], int],
    ) -> None:
        """Open. Raises DatabaseAway if the file cannot be opened."""
        super().__init__(hook, next_number)
        self._connection = sqlite3.connect(
            path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._is_open = True
        self._cursor = self._connection.cursor()
        for pragma in prepare:
            self._cursor.execute(pragma).fetchall()

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._cursor.execute("BEGIN IMMEDIATE")

    def _send(self, packet: Sequence[Statement]) -> list[Result]:
        self._begin()
        return [statement.sqlite(self._cursor) for statement in packet]

    def _read(self, statement: Statement) -> Sequence[Row]:
        return statement.sqlite(self._cursor).rows

    def _commit_watched(self, number: int, hook: StatementHook) -> Result:
        self._cursor.execute("COMMIT")
        hook.commit_sent(number)
        return Result((), 0)

    def rollback(self) -> None:
        if self._is_open and self._connection.in_transaction:
            try:
                self._connection.rollback()
            except sqlite3.Error:
                self.close()

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            # A closed connection keeps the file's lock while a statement of it is alive, so all is undone first.
            with contextlib.suppress(sqlite3.Error):
                self._cursor.close()
                if self._connection.in_transaction:
                    self._connection.rollback()
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()

    @property
    def is_open(self) -> bool:
        return self._is_open
