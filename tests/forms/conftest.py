"""Forms on SQLite and on MariaDB."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.forms.worlds import World


@pytest.fixture(scope="package")
def mariadb_server() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("no MariaDB here")
    # What is durable is not the question here, and every test makes all tables anew.
    with running_mariadb(("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'forms.db'}"
    return str(request.getfixturevalue("mariadb_server").create_database())


@pytest.fixture
async def world(url: str) -> AsyncIterator[World]:
    found = World(url)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def small_world(tmp_path: Path) -> AsyncIterator[World]:
    """For what does not depend on the database."""
    found = World(f"sqlite:///{tmp_path / 'forms.db'}")
    await found.start()
    yield found
    await found.stop()
