"""Where queries run: a few threads, each with a connection for as long as one query takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from engine.kernel.rights import Rights
from engine.storage.queries.seen import look_for
from mesh.db.database import Database
from mesh.db.errors import classify
from mesh.errors import ResourceExhausted, Unavailable

T = TypeVar("T")

MAX_WAITING_QUERIES: Final = 2_000
"""Queries under way and waiting at most; more are refused, so that a slow database does not fill the memory."""


class ReadPool:
    """Runs queries off the event loop. `sqlite` tells which dialect they have to speak."""

    def __init__(self, database: Database, threads: int, rights: Callable[[], Rights | None] = lambda: None) -> None:
        """Use as many threads as `threads`, so as many connections at most.

        `rights` tells in the caller's task who asks: a query sees their rows; None: all rows.
        """
        self._rights = rights
        self._database = database
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="engine-query")
        self._waiting = 0
        self.sqlite = database.is_sqlite

    async def run(self, query: Callable[[Connection], T]) -> T:
        """Run a query on a connection that commits nothing.

        Raises Unavailable while the database is away, ResourceExhausted beyond `MAX_WAITING_QUERIES`, and whatever the
        query raises.
        """
        if self._waiting >= MAX_WAITING_QUERIES:
            raise ResourceExhausted(
                "too-many-queries",
                f"expected at most {MAX_WAITING_QUERIES} queries at a time (limit: MAX_WAITING_QUERIES), found more",
                limit=MAX_WAITING_QUERIES,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query, self._rights())
        finally:
            self._waiting -= 1

    def _run(self, query: Callable[[Connection], T], rights: Rights | None) -> T:
        try:
            with self._database.reader.connect() as connection:
                look_for(connection, rights)
                if self.sqlite:
                    _teach_lower(connection)
                return query(connection)
        except PoolTimeoutError as error:
            raise _away(error) from error
        except Exception as error:
            if classify(error) is None:
                raise
            raise _away(error) from error

    def close(self) -> None:
        """Wait for what is under way and take no more. The database stays open: it is its owner's to close."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _away(error: BaseException) -> Unavailable:
    return Unavailable("database-away", f"expected the database to answer, found: {error}", retry_after_seconds=1.0)


def _teach_lower(connection: Connection) -> None:
    """Let SQLite know all letters.

    Its own `lower` knows ASCII only; MySQL's knows all, and both must find the same.
    """
    # `info` lives as long as the driver's connection does, so each is taught once.
    if "lower" in connection.info:
        return
    driver: Any = connection.connection.driver_connection
    driver.create_function("lower", 1, _lower, deterministic=True)
    connection.info["lower"] = True


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text
