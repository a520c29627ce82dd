"""A service that starts before its database waits for it: in a mesh, everybody starts in any order."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.db.errors import ConnectionLost, DatabaseAway, classify

LOOK_SECONDS: Final = 1.0
_LOGGER: Final = logging.getLogger(__name__)


async def until_database(url: str, ended: asyncio.Future[Any]) -> bool:
    """Wait until somebody answers at the URL; False if the process is told to end before.

    Raises RuntimeError if we are refused for good (wrong password, no such database), ValueError for another kind of
    URL.
    """
    database = open_database(DatabaseSettings(url=url))
    try:
        while not ended.done():
            away = await asyncio.to_thread(_away, database)
            if not away:
                return True
            _LOGGER.warning("waiting for the database: %s", away)
            await asyncio.wait((ended,), timeout=LOOK_SECONDS)
        return False
    finally:
        database.close()


def _away(database: Database) -> str:
    """Why nobody answers; empty if somebody does."""
    try:
        database.engine.connect().close()
    except DBAPIError as error:
        if isinstance(classify(error), DatabaseAway | ConnectionLost):
            return str(error.orig)
        raise RuntimeError(f"expected the database to let this service in, found {error.orig}") from error
    return ""
