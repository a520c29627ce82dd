"""The connection over which notify writes: one, used by one thread, opened when it is needed, anew if it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from mesh.db.database import Database
from mesh.db.errors import DatabaseError, DuplicateKey, TransactionConflict
from mesh.db.writer import Writer
from mesh.errors import Unavailable

T = TypeVar("T")

MAX_TRIES: Final = 4
"""How often work is done in all before it gives way to other transactions."""


class Connection:
    """Runs work with the writer, one piece after the other."""

    def __init__(self, database: Database) -> None:
        """Nothing is opened yet."""
        self._database = database
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="notify-store")
        self._open: Writer | None = None

    @property
    def writer(self) -> Writer:
        """The writer. For the connection's thread, and for counting."""
        if self._open is None or not self._open.is_open:
            self._open = self._database.writer()
        return self._open

    async def run(self, work: Callable[[Writer], T]) -> T:
        """Do work that ends with COMMIT or a rollback; it is done anew where another transaction stood in its way.

        Raises Unavailable while the database is away or busy, and what the work raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._try, work)

    def _try(self, work: Callable[[Writer], T]) -> T:
        for left in reversed(range(MAX_TRIES)):
            try:
                return work(self.writer)
            except (TransactionConflict, DuplicateKey) as error:
                if not left:
                    raise _away(error) from error
            except DatabaseError as error:
                raise _away(error) from error
            except BaseException:
                if self._open is not None:
                    self._open.rollback()
                raise
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Let what is under way end, and close."""

        def run() -> None:
            if self._open is not None:
                self._open.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, run)
        self._thread.shutdown()


def _away(error: DatabaseError) -> Unavailable:
    return Unavailable("database-away", f"expected notify's database to answer, found: {error}")
