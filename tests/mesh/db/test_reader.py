"""Reading connections: no transaction, and nothing asked of the server beside the query."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.testing.mariadb import MariaDb, running_mariadb

pytestmark = pytest.mark.mariadb

COUNTED = ("Com_select", "Com_set_option", "Com_begin", "Com_commit", "Com_rollback")


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with running_mariadb() as running:
        yield running


@pytest.fixture
def database(server: MariaDb) -> Iterator[Database]:
    found = open_database(DatabaseSettings(url=server.create_database()))
    yield found
    found.close()


def counted(database: Database) -> dict[str, int]:
    """How many statements of each kind the server has carried out; to ask is none of them."""
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Com_%%'").all()
    return {name: int(value) for name, value in rows if name in COUNTED}


def test_a_query_is_one_statement(database: Database) -> None:
    def ask() -> None:
        with database.reader.connect() as connection:
            assert connection.execute(text("SELECT 1 + 1")).scalar() == 2

    ask()
    counted(database)
    before = counted(database)
    asking = {name: count - before[name] for name, count in counted(database).items()}
    before = counted(database)
    for _ in range(5):
        ask()
    found = {name: count - before[name] - asking[name] for name, count in counted(database).items()}

    assert found == {"Com_select": 5, "Com_set_option": 0, "Com_begin": 0, "Com_commit": 0, "Com_rollback": 0}


def test_each_query_sees_what_was_committed_before_it(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE seen (n INT)"))
    with database.reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM seen")).scalar() == 0
        with database.engine.begin() as other:
            other.execute(text("INSERT INTO seen VALUES (1)"))
        assert connection.execute(text("SELECT count(*) FROM seen")).scalar() == 1
        connection.execute(text("INSERT INTO seen VALUES (2)"))
    with database.reader.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM seen")).scalar() == 2


def test_the_server_may_restart_between_two_queries(database: Database, server: MariaDb) -> None:
    with database.reader.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    server.restart()
    with database.reader.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
