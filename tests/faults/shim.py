"""Numbers the SQL statements of an engine and, at one of them, lets the process die or the database fail."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NoReturn

import pymysql

from mesh.db.database import Database
from mesh.db.errors import ConnectionLost, TransactionConflict


class Moment(Enum):
    """Where in a statement's life: before it is sent, after its answer, or between COMMIT and its answer."""

    BEFORE = "before"
    UNANSWERED = "unanswered"
    AFTER = "after"


class Harm(Enum):
    """What happens there."""

    DEATH = "death"
    LOSS = "loss"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong once."""

    number: int
    moment: Moment
    harm: Harm

    def __str__(self) -> str:
        return f"{self.harm.value} {self.moment.value} statement {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A statement that was sent. `pooled`: over SQLAlchemy (repository, queries), else over a writer's connection."""

    text: str
    pooled: bool
    commit: bool


@dataclass(slots=True)
class Shim:
    """A `StatementHook`, also for SQLAlchemy's connections. Without a fault it only takes note."""

    fault: Fault | None = None
    seen: list[Seen] = field(default_factory=list)
    happened: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _present: threading.local = field(default_factory=threading.local)

    def attach(self, database: Database) -> None:
        """Watch all statements from now on."""
        database.hook = self
        dialect: Any = database.engine.dialect
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            setattr(dialect, name, self._watched(getattr(dialect, name)))
        dialect.do_commit = self._commit_watched(dialect.do_commit)

    # --- writers ----------------------------------------------------------------------------------------------------

    def before_statement(self, number: int, text: str) -> None:
        self._begin(Seen(text=text, pooled=False, commit=text == "COMMIT"))
        self._reach(Moment.BEFORE, self._fail_writer)

    def commit_sent(self, number: int) -> None:
        self._reach(Moment.UNANSWERED, self._fail_writer)

    def after_statement(self, number: int, text: str) -> None:
        self._reach(Moment.AFTER, self._fail_writer)

    def _fail_writer(self, harm: Harm) -> NoReturn:
        raise ConnectionLost("injected") if harm is Harm.LOSS else TransactionConflict("injected")

    # --- SQLAlchemy -------------------------------------------------------------------------------------------------

    def _watched(self, execute: Callable[..., None]) -> Callable[..., None]:
        def watched(cursor: Any, statement: str, *arguments: Any) -> None:
            fail = _fail_sqlite if isinstance(cursor, sqlite3.Cursor) else _fail_mysql
            self._begin(Seen(text=statement, pooled=True, commit=False))
            self._reach(Moment.BEFORE, fail)
            execute(cursor, statement, *arguments)
            self._reach(Moment.AFTER, fail)

        return watched

    def _commit_watched(self, commit: Callable[[Any], None]) -> Callable[[Any], None]:
        def watched(connection: Any) -> None:
            driver = getattr(connection, "driver_connection", connection)
            is_sqlite = isinstance(driver, sqlite3.Connection)
            if driver.autocommit_mode if not is_sqlite else not driver.in_transaction:
                commit(connection)
                return
            fail = _fail_sqlite if is_sqlite else _fail_mysql
            self._begin(Seen(text="COMMIT", pooled=True, commit=True))
            self._reach(Moment.BEFORE, fail)
            commit(connection)
            self._reach(Moment.UNANSWERED, fail)
            self._reach(Moment.AFTER, fail)

        return watched

    # --- both -------------------------------------------------------------------------------------------------------

    def _begin(self, seen: Seen) -> None:
        with self._lock:
            self.seen.append(seen)
            self._present.number = len(self.seen)

    def _reach(self, moment: Moment, fail: Callable[[Harm], NoReturn]) -> None:
        fault = self.fault
        if fault is None or self.happened or (fault.number, fault.moment) != (self._present.number, moment):
            return
        self.happened = True
        if fault.harm is Harm.DEATH:
            os.kill(os.getpid(), signal.SIGKILL)
        fail(fault.harm)


def _fail_sqlite(harm: Harm) -> NoReturn:
    error = sqlite3.OperationalError("injected")
    error.sqlite_errorname = "SQLITE_BUSY" if harm is Harm.CONFLICT else "SQLITE_IOERR"
    raise error


def _fail_mysql(harm: Harm) -> NoReturn:
    raise pymysql.err.OperationalError(1213 if harm is Harm.CONFLICT else 2013, "injected")
