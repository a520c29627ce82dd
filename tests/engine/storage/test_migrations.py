"""The migrations make what the tables say, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import inspect, text

from engine.storage.migrate import MIGRATIONS
from engine.storage.tables import metadata
from mesh.db.database import DatabaseSettings, open_database


def test_upgrading_an_empty_database_gives_exactly_the_tables(url: str) -> None:
    database = open_database(DatabaseSettings(url=url))
    assert MIGRATIONS.current(database) is None

    MIGRATIONS.upgrade(database)

    assert MIGRATIONS.current(database) == MIGRATIONS.head()
    assert MIGRATIONS.differences(database) == []
    database.close()


def test_upgrading_twice_changes_nothing(url: str) -> None:
    database = open_database(DatabaseSettings(url=url))
    MIGRATIONS.upgrade(database)

    MIGRATIONS.upgrade(database)

    assert MIGRATIONS.differences(database) == []
    database.close()


def test_tables_of_other_services_are_left_alone(url: str) -> None:
    database = open_database(DatabaseSettings(url=url))
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (id INTEGER PRIMARY KEY)"))

    MIGRATIONS.upgrade(database)

    assert MIGRATIONS.differences(database) == []
    assert set(inspect(database.engine).get_table_names()) == {
        *metadata.tables,
        "somebody_elses",
        MIGRATIONS.version_table,
    }
    database.close()


def test_processes_that_start_together_migrate_once(url: str) -> None:
    databases = [open_database(DatabaseSettings(url=url)) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(MIGRATIONS.upgrade, databases))

    assert [MIGRATIONS.current(database) for database in databases] == [MIGRATIONS.head()] * 4
    for database in databases:
        database.close()


def test_a_missing_column_is_a_difference(url: str) -> None:
    database = open_database(DatabaseSettings(url=url))
    MIGRATIONS.upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE deployment DROP COLUMN category"))

    assert [difference[0] for difference in MIGRATIONS.differences(database)] == ["add_column"]
    database.close()
