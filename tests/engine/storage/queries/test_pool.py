"""The threads that queries run on."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from engine.storage.queries import pool
from engine.storage.queries.pool import ReadPool
from mesh.db.database import DatabaseSettings, open_database
from mesh.errors import ResourceExhausted, Unavailable
from mesh.testing.ports import free_port
from tests.engine.storage.support import sqlite_url


async def test_database_that_is_away_is_unavailable() -> None:
    database = open_database(replace(DatabaseSettings(), url=f"mysql://root@127.0.0.1:{free_port()}/none"))
    reads = ReadPool(database, 1)

    with pytest.raises(Unavailable) as refused:
        await reads.run(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())

    assert refused.value.reason == "database-away"
    reads.close()
    database.close()


async def test_queries_run_beside_the_event_loop_and_beyond_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(replace(DatabaseSettings(), url=sqlite_url(tmp_path)))
    reads = ReadPool(database, 1)

    def where(connection: Connection) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await reads.run(where) is False
    monkeypatch.setattr(pool, "MAX_WAITING_QUERIES", 0)
    with pytest.raises(ResourceExhausted, match="MAX_WAITING_QUERIES"):
        await reads.run(where)
    reads.close()
    database.close()


async def test_wrong_query_stays_the_error_that_it_is(tmp_path: Path) -> None:
    database = open_database(replace(DatabaseSettings(), url=sqlite_url(tmp_path)))
    reads = ReadPool(database, 1)

    with pytest.raises(Exception, match="no such table") as raised:
        await reads.run(lambda connection: connection.exec_driver_sql("SELECT * FROM nowhere"))

    assert not isinstance(raised.value, Unavailable)
    reads.close()
    database.close()
