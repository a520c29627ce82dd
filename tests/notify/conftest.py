"""Notify on SQLite and on MariaDB, with a mail server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.notify.smtp import MailServer, mail_server
from tests.notify.worlds import World


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
        return f"sqlite:///{tmp_path / 'notify.db'}"
    return str(request.getfixturevalue("mariadb_server").create_database())


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture
async def world(url: str, mail: MailServer) -> AsyncIterator[World]:
    found = World(url, mail)
    yield found
    await found.close()


@pytest.fixture
async def small_world(tmp_path: Path, mail: MailServer) -> AsyncIterator[World]:
    """On SQLite alone, for what has nothing to do with the database."""
    found = World(f"sqlite:///{tmp_path / 'notify.db'}", mail)
    yield found
    await found.close()
