"""Migrations make exactly the tables that the code has, also beside the tables of others."""

import asyncio

import pytest
from sqlalchemy import inspect, text

from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.testing.mariadb import MariaDb
from notify.storage import tables
from notify.storage.migrate import MIGRATIONS


def _database(url: str) -> Database:
    return open_database(DatabaseSettings(url=url))


async def test_the_migrated_tables_are_those_of_the_code(url: str) -> None:
    database = _database(url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER PRIMARY KEY)"))

    await asyncio.to_thread(MIGRATIONS.upgrade, database)
    await asyncio.to_thread(MIGRATIONS.upgrade, database)

    assert MIGRATIONS.current(database) == MIGRATIONS.head()
    assert MIGRATIONS.differences(database) == []
    names = set(inspect(database.engine).get_table_names())
    assert names == {*tables.metadata.tables, "theirs", MIGRATIONS.version_table}
    database.close()


@pytest.mark.mariadb
async def test_processes_that_start_together_migrate_once(mariadb_server: MariaDb) -> None:
    url = mariadb_server.create_database()
    databases = [_database(url) for _ in range(3)]

    await asyncio.gather(*(asyncio.to_thread(MIGRATIONS.upgrade, database) for database in databases))

    assert {MIGRATIONS.current(database) for database in databases} == {MIGRATIONS.head()}
    for database in databases:
        database.close()
