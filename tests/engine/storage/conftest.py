"""Every test of storage runs on SQLite and on a real MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.db.database import Database
from mesh.testing.mariadb import MariaDb, running_mariadb
from tests.engine.storage.support import fresh_database, sqlite_url

BOTH = ("sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb))


@pytest.fixture(scope="session")
def server() -> Iterator[MariaDb]:
    """A MariaDB for all tests of this folder; each takes a database of its own."""
    with running_mariadb() as running:
        yield running


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database's URL."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    running: MariaDb = request.getfixturevalue("server")
    return running.create_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A database with the engine's tables."""
    with fresh_database(url) as found:
        yield found


@pytest.fixture
def mariadb(server: MariaDb) -> Iterator[Database]:
    """A database with the engine's tables, for what only MariaDB has."""
    with fresh_database(server.create_database()) as found:
        yield found
