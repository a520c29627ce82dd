"""No statement of the hot path scans a table that grows: each is shown the plan that the database makes for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from engine.storage import deliveries, finding, flushing, jobs, loading, pruning, relay_facts
from engine.storage.tables import metadata
from mesh.db.database import Database
from mesh.db.statements import Delete, Sql
from mesh.db.types import text_of_moment
from tests.engine.storage.support import START

ROWS = 400
SELECTS = [
    *finding.PLANNED,
    *loading.PLANNED,
    *jobs.PLANNED,
    *deliveries.PLANNED,
    *pruning.PLANNED,
    *relay_facts.PLANNED,
]
DELETES = [found for found in vars(flushing).values() if isinstance(found, Delete)]
UPDATES = [found for found in vars(flushing).values() if isinstance(found, Sql) and found.text.startswith("UPDATE")]
THROWS = [flushing.THROW_SIGNAL, flushing.THROW_MESSAGE]


def _value(column: Any, n: int) -> Any:
    kind = column.type.python_type
    if kind is int:
        return n
    if kind is float:
        return float(n)
    if kind is bool:
        return n % 2 == 0
    if kind is bytes:
        return b""
    if kind is str:
        return f"{column.name}-{n}"[: getattr(column.type, "length", None) or 30]
    return START


@pytest.fixture(scope="module", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database in which every table has rows enough for an index to be worth while."""
    from tests.engine.storage.support import fresh_database, sqlite_url

    if request.param == "sqlite":
        url = sqlite_url(tmp_path_factory.mktemp("plans"))
    else:
        url = request.getfixturevalue("server").create_database()
    with fresh_database(url) as database:
        with database.engine.begin() as connection:
            for table in metadata.sorted_tables:
                rows = [{column.name: _value(column, n) for column in table.columns} for n in range(1, ROWS)]
                connection.execute(table.insert(), rows)
            if not database.is_sqlite:
                connection.execute(text(f"ANALYZE TABLE {', '.join(f'`{t.name}`' for t in metadata.sorted_tables)}"))
            else:
                connection.execute(text("ANALYZE"))
        yield database


def _arguments(sql: Sql, words: str) -> list[Any]:
    """Plausible values: lists of ids for lists, moments where they are compared with."""
    values: list[Any] = []
    for number, part in enumerate(words.split("?")[:-1]):
        after = words.split("?")[number + 1]
        if after.startswith("*"):
            values.append(["id-3", "id-9", "root_id-5"])
        elif part.rstrip().endswith(("_at <=", "_at =")):
            values.append(text_of_moment(START))
        elif part.rstrip().endswith("LIMIT"):
            values.append(10)
        else:
            values.append(f"name-{number}")
    return values


def _scans(database: Database, spelled: str, sqlite_text: str, values: list[Any]) -> list[str]:
    """Which tables of ours the plan reads from end to end."""
    if database.is_sqlite:
        import msgspec

        given = [msgspec.json.encode(v).decode() if isinstance(v, list) else v for v in values]
        with database.engine.connect() as connection:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sqlite_text}", tuple(given)).all()
        return [row[3] for row in rows if row[3].startswith("SCAN") and "json_each" not in row[3]]
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN {spelled}".replace("%", "%%")).mappings().all()
    return [
        f"{row['table']}: {row['type']}"
        for row in rows
        if row["type"] in ("ALL", "index") and row["table"] and not row["table"].startswith("<") and row["table"] != "k"
    ]


@pytest.mark.parametrize("sql", [*SELECTS, *UPDATES, *THROWS], ids=lambda sql: sql.text[:90])
def test_the_plan_uses_an_index(filled: Database, sql: Sql) -> None:
    values = _arguments(sql, sql.text)

    assert _scans(filled, sql.spell(values), sql._sqlite, values) == []


@pytest.mark.parametrize("delete", DELETES, ids=lambda delete: delete.text)
def test_the_plan_of_a_deletion_uses_the_primary_key(filled: Database, delete: Delete) -> None:
    key = tuple(f"x-{n}" for n in range(len(delete._first)))

    for text_of_one in delete._sqlite:
        assert _scans(filled, delete.spell([key, key]), text_of_one, list(key)) == []


@pytest.mark.mariadb
@pytest.mark.parametrize("delete", DELETES, ids=lambda delete: delete.text)
def test_a_deletion_scans_not_even_a_table_of_a_few_rows(mariadb: Database, delete: Delete) -> None:
    """A scan, cheap as it would be, would wait for rows that other transactions hold."""
    with mariadb.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.insert(), [{c.name: _value(c, n) for c in table.columns} for n in (1, 2, 3)])
    key = tuple(f"x-{n}" for n in range(len(delete._first)))

    assert _scans(mariadb, delete.spell([key, key]), "", []) == []


@pytest.mark.mariadb
def test_the_lock_of_a_tree_scans_not_even_a_table_of_a_few_rows(mariadb: Database) -> None:
    with mariadb.engine.begin() as connection:
        table = metadata.tables["instance"]
        connection.execute(table.insert(), [{c.name: _value(c, n) for c in table.columns} for n in (1, 2, 3)])

    for sql in loading.PLANNED[:2]:
        assert _scans(mariadb, sql.spell([["id-1", "id-2"]]), "", []) == []
