"""The databases on which the queries are tested."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.db.database import Database
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.engine.storage.queries.world import ReadWorld, reading
from tests.engine.storage.support import fresh_database, sqlite_url

DATABASES = ("sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb))


@pytest.fixture(scope="package")
def mariadb_server() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("no MariaDB here")
    # What is read here need not survive a power cut.
    with running_mariadb(["--innodb-flush-log-at-trx-commit=0"]) as server:
        yield server


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind with the engine's tables."""
    on_sqlite = request.param == "sqlite"
    url = sqlite_url(tmp_path) if on_sqlite else request.getfixturevalue("mariadb_server").create_database()
    with fresh_database(url) as found:
        yield found


@pytest.fixture
async def world(database: Database) -> AsyncIterator[ReadWorld]:
    """An engine and its queries on each kind of database."""
    async with reading(database) as found:
        yield found
