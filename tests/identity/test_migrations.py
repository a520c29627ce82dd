"""Migrations make exactly the tables that the code has, also beside the tables of others."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text

from identity.service import IdentityService, IdentitySettings
from identity.settings import IdentityDatabase
from identity.storage import tables
from identity.storage.migrate import MIGRATIONS
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.errors import FailedPrecondition
from mesh.testing.mariadb import MariaDb


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'identity.db'}"
    return str(request.getfixturevalue("mariadb_server").create_database())


def _database(url: str) -> Database:
    return open_database(DatabaseSettings(url=url))


async def test_the_migrated_tables_are_those_of_the_code_also_beside_others(empty_url: str) -> None:
    database = _database(empty_url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER PRIMARY KEY)"))

    for _ in range(2):
        await asyncio.to_thread(MIGRATIONS.upgrade, database)

    assert MIGRATIONS.current(database) == MIGRATIONS.head()
    assert MIGRATIONS.differences(database) == []
    names = set(inspect(database.engine).get_table_names())
    assert names == {*tables.metadata.tables, "theirs", MIGRATIONS.version_table}
    with database.engine.connect() as connection:
        assert sorted(connection.execute(select(tables.latch.c.name)).scalars()) == sorted(tables.LATCHES)
    database.close()


@pytest.mark.mariadb
async def test_processes_that_start_together_migrate_once(mariadb_server: MariaDb) -> None:
    url = mariadb_server.create_database()
    databases = [_database(url) for _ in range(3)]

    await asyncio.gather(*(asyncio.to_thread(MIGRATIONS.upgrade, database) for database in databases))

    assert {MIGRATIONS.current(database) for database in databases} == {MIGRATIONS.head()}
    for database in databases:
        database.close()


async def test_a_service_that_may_not_migrate_says_what_is_missing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'identity.db'}"
    service = IdentityService(IdentitySettings(database=IdentityDatabase(url=url), migrate=False))

    with pytest.raises(FailedPrecondition, match="found none") as refused:
        await service.start()

    assert refused.value.reason == "migrations-missing"
    await service.stop()
