"""Identity on SQLite and on MariaDB. Tables are made once; each test finds them empty."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from identity.storage import tables
from identity.storage.migrate import MIGRATIONS
from mesh.db.database import DatabaseSettings, open_database
from mesh.rpc_errors import refusal_in
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.identity.worlds import World

Refused = Callable[[Awaitable[Any]], Awaitable[tuple[str, str]]]


@pytest.fixture(scope="package")
def mariadb_server() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("no MariaDB here")
    # What is durable is not the question here.
    with running_mariadb(("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite")) as server:
        yield server


@pytest.fixture(scope="package")
def migrated_mariadb(mariadb_server: MariaDb) -> str:
    url = mariadb_server.create_database("identity_tests")
    _migrate(url)
    return url


@pytest.fixture(scope="package")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "identity.db")
    return f"sqlite:///{tmp_path / 'identity.db'}"


@pytest.fixture
def mariadb_url(migrated_mariadb: str) -> str:
    database = open_database(DatabaseSettings(url=migrated_mariadb))
    with database.engine.begin() as connection:
        for table in tables.metadata.sorted_tables:
            if table is not tables.latch:
                connection.execute(table.delete())
    database.close()
    return migrated_mariadb


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def worlds() -> AsyncIterator[Callable[..., Awaitable[World]]]:
    """Starts replicas with any settings; all are stopped in the end."""
    running: list[World] = []

    async def start(url: str, **settings: Any) -> World:
        found = World(url, **settings)
        running.append(found)
        return await found.start()

    yield start
    for each in running:
        await each.stop()


@pytest.fixture
async def world(url: str, worlds: Callable[..., Awaitable[World]]) -> World:
    return await worlds(url)


@pytest.fixture
async def small_world(sqlite_url: str, worlds: Callable[..., Awaitable[World]]) -> World:
    """On SQLite only, for what does not depend on the database."""
    return await worlds(sqlite_url)


@pytest.fixture
def refused() -> Refused:
    """The status and the reason of a call that must be refused."""

    async def found(call: Awaitable[Any]) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        refusal = refusal_in(raised.value)
        assert refusal is not None, raised.value
        return refusal.status.value, refusal.reason

    return found


def _migrate(url: str) -> None:
    database = open_database(DatabaseSettings(url=url))
    MIGRATIONS.upgrade(database)
    database.close()
