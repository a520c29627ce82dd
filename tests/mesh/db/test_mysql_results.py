"""What the server's answers hold is read as the driver itself would read it."""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest

from mesh.db.database import DatabaseSettings, open_database
from mesh.db.statements import Sql
from mesh.db.writer import Writer
from mesh.testing.mariadb import MariaDb, running_mariadb

pytestmark = pytest.mark.mariadb

KINDS = (
    "SELECT 1, -5, 18446744073709551615, 2.5e0, 1.25, NULL, '', 'é 🐸', x'00ff', CAST('a' AS BINARY), "
    "TIMESTAMP'2026-05-04 12:00:00.000001', DATE'2026-05-04', TRUE, 1 = 2, b'101'"
)


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with running_mariadb() as running:
        yield running


@pytest.fixture
def writer(server: MariaDb) -> Iterator[Writer]:
    database = open_database(DatabaseSettings(url=server.create_database()))
    opened = database.writer()
    yield opened
    opened.close()
    database.close()


def _as_the_driver_reads(server: MariaDb, query: str) -> list[object]:
    with pymysql.connect(host="127.0.0.1", port=server.port, user="root") as connection, connection.cursor() as cursor:
        cursor.execute(query)
        (row,) = cursor.fetchall()
        return list(row)


def test_values_of_every_kind_are_those_of_the_driver_and_moments_stay_text(server: MariaDb, writer: Writer) -> None:
    expected = _as_the_driver_reads(server, KINDS)
    expected[10] = "2026-05-04 12:00:00.000001"

    (row,) = writer.run([Sql(KINDS).of()])[0].rows

    assert list(row) == expected
    assert [type(value) for value in row] == [type(value) for value in expected]


@pytest.mark.parametrize("length", [0, 250, 251, 252, 65_535, 65_536, 17 * 1024 * 1024])
def test_a_value_has_its_length_whatever_form_that_is_sent_in(writer: Writer, length: int) -> None:
    (row,) = writer.run([Sql("SELECT REPEAT('x', ?), 7").of(length)])[0].rows

    assert row == ("x" * length, 7)


def test_each_statement_of_a_packet_has_its_own_answer(writer: Writer) -> None:
    results = writer.run(
        [
            Sql("CREATE TEMPORARY TABLE t (n INTEGER)").of(),
            Sql("INSERT INTO t VALUES (1), (2)").of(),
            Sql("SELECT n FROM t WHERE n > 5").of(),
            Sql("SELECT n FROM t ORDER BY n").of(),
            Sql("UPDATE t SET n = 9 WHERE n = 1").of(),
        ]
    )

    assert [tuple(result.rows) for result in results] == [(), (), (), ((1,), (2,)), ()]
    assert [result.affected for result in results] == [0, 2, 0, 2, 1]


def test_an_error_in_the_midst_of_a_packet_leaves_the_connection_in_step(writer: Writer) -> None:
    with pytest.raises(pymysql.err.ProgrammingError):
        writer.run([Sql("SELECT 1").of(), Sql("SELECT no_such_column FROM nowhere").of(), Sql("SELECT 3").of()])

    assert list(writer.run([Sql("SELECT 4").of()])[0].rows) == [(4,)]
