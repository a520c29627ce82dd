"""Migrations make exactly the tables that the code has, also beside the tables of others."""

import asyncio

import pytest
from sqlalchemy import inspect, text

from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.testing.mariadb import MariaDb
from notify.storage import migrate, tables


def _database(url: str) -> Database:
    return open_database(DatabaseSettings(url=url))


async def test_the_migrated_tables_are_those_of_the_code(url: str) -> None:
    database = _database(url)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE theirs (id INTEGER PRIMARY KEY)"))

    await asyncio.to_thread(migrate.upgrade, database)
    await asyncio.to_thread(migrate.upgrade, database)

    assert migrate.current(database) == migrate.head()
    assert migrate.differences(database) == []
    names = set(inspect(database.engine).get_table_names())
    assert names == {*tables.metadata.tables, "theirs", migrate.VERSION_TABLE}
    database.close()


@pytest.mark.mariadb
async def test_processes_that_start_together_migrate_once(mariadb_server: MariaDb) -> None:
    url = mariadb_server.create_database()
    databases = [_database(url) for _ in range(3)]

    await asyncio.gather(*(asyncio.to_thread(migrate.upgrade, database) for database in databases))

    assert {migrate.current(database) for database in databases} == {migrate.head()}
    for database in databases:
        database.close()
