"""The servers that tests own: durable, restartable, gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from mesh.testing.redis import redis_is_installed, running_redis

needs_mariadb = pytest.mark.skipif(not mariadb_is_installed(), reason="MariaDB is not installed")
needs_redis = pytest.mark.skipif(not redis_is_installed(), reason="Redis is not installed")


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    with running_mariadb() as server:
        yield server


@needs_mariadb
@pytest.mark.mariadb
def test_mariadb_runs_as_in_production(mariadb: MariaDb) -> None:
    engine = sa.create_engine(mariadb.url())
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT @@tx_isolation, @@innodb_flush_log_at_trx_commit, @@character_set_server, DATABASE()")
        ).one()
    engine.dispose()

    assert tuple(found) == ("READ-COMMITTED", 1, "utf8mb4", "flowloom")


@needs_mariadb
@pytest.mark.mariadb
def test_what_was_committed_survives_a_kill(mariadb: MariaDb) -> None:
    engine = sa.create_engine(mariadb.create_database())
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n INT PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    engine.dispose()

    mariadb.kill()
    killed = mariadb.running
    mariadb.restart()
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT n FROM kept")).scalars().all()
    engine.dispose()

    assert not killed
    assert found == [7]


@needs_mariadb
@pytest.mark.mariadb
def test_databases_of_one_server_are_apart(mariadb: MariaDb) -> None:
    assert mariadb.create_database() != mariadb.create_database()


@needs_mariadb
@pytest.mark.mariadb
def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="unknown option"), running_mariadb(["--no-such-option"]):
        pass


@needs_redis
def test_redis_stops_and_comes_back_on_its_port() -> None:
    with running_redis() as server:
        url = server.url
        server.kill()
        gone = server.running
        server.restart()
        back = server.running

    assert (gone, back) == (False, True)
    assert server.url == url
