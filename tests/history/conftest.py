"""History on SQLite and on MariaDB."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from history.storage.erasure_tables import rebuild_gate
from history.storage.migrate import MIGRATIONS
from history.storage.schema import metadata
from mesh.db.database import DatabaseSettings, open_database
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.history.worlds import World


@pytest.fixture(scope="package")
def mariadb_server() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("no MariaDB here")
    # What is durable is not the question here, and every test makes all tables anew.
    with running_mariadb(("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")) as server:
        yield server


@pytest.fixture(scope="package")
def mariadb_url(mariadb_server: MariaDb) -> str:
    """A database with all tables, for all tests: to make them anew for each takes longer than most tests."""
    url = str(mariadb_server.create_database())
    database = open_database(DatabaseSettings(url=url))
    MIGRATIONS.upgrade(database)
    database.close()
    return url


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without rows."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.db'}"
    found = str(request.getfixturevalue("mariadb_url"))
    database = open_database(DatabaseSettings(url=found))
    with database.engine.begin() as connection:
        for table in metadata.sorted_tables:
            # The gate's one row is made with the tables.
            if table is not rebuild_gate:
                connection.execute(delete(table))
    database.close()
    return found


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("mariadb_server").create_database())


@pytest.fixture
async def world(url: str) -> AsyncIterator[World]:
    found = World(url)
    yield found
    await found.close()
