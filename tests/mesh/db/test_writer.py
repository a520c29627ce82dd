"""Packets of statements: one round trip, counted, with errors told apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from mesh.db.database import Database, DatabaseSettings, Synchronous, open_database
from mesh.db.errors import (
    CommitUnknown,
    ConnectionLost,
    DatabaseAway,
    DuplicateKey,
    StatementTooLarge,
    TransactionConflict,
    ValueTooLong,
)
from mesh.db.statements import COMMIT, Delete, Insert, Sql, Union, literal
from mesh.db.types import long_bytes, long_text, text
from mesh.testing.mariadb import MariaDb, running_mariadb
from mesh.testing.ports import free_port

metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("owner", text(), primary_key=True),
    Column("name", text(), primary_key=True),
    Column("size", Integer()),
    Column("words", long_text()),
    Column("data", long_bytes()),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)
INSERT = Insert(thing)
REPLACE = Insert(thing, replace=True)
SELECT = Sql("SELECT owner, name, size, words, data FROM thing WHERE owner IN ?* ORDER BY owner, name")
NASTY = "'; DROP TABLE thing; -- \\ \" ` \n \r \x1a % %s ? {for update} é 🐸"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with running_mariadb() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'x.db'}"
    else:
        url = request.getfixturevalue("server").create_database()
    found = open_database(DatabaseSettings(url=url, lock_wait_seconds=1, busy_seconds=0.2))
    metadata.create_all(found.engine)
    yield found
    found.close()


@pytest.fixture
def mariadb(server: MariaDb) -> Iterator[Database]:
    found = open_database(DatabaseSettings(url=server.create_database(), lock_wait_seconds=1))
    metadata.create_all(found.engine)
    yield found
    found.close()


def test_a_packet_is_one_round_trip_and_gives_a_result_for_each_statement(database: Database) -> None:
    writer = database.writer()

    results = writer.run(
        [
            INSERT.of([("a", "x", 1, "w", b"\x00"), ("a", "y", None, "", b"")]),
            SELECT.of(["a", "b"]),
            Delete((thing, ("owner", "name"))).of([("a", "x"), ("z", "z")]),
            COMMIT,
        ]
    )

    assert results[0].affected == 2
    assert list(results[1].rows) == [("a", "x", 1, "w", b"\x00"), ("a", "y", None, "", b"")]
    assert results[2].affected == 1
    assert (writer.counters.statements, writer.counters.round_trips, writer.counters.commits) == (4, 1, 1)
    writer.close()


def test_values_come_back_as_they_went_whatever_they_hold(database: Database) -> None:
    writer = database.writer()
    data = bytes(range(256)) * 3

    writer.run([INSERT.of([(NASTY, NASTY, -1, NASTY * 100 + "\0", data)]), COMMIT])

    assert list(writer.read(SELECT.of([NASTY]))) == [(NASTY, NASTY, -1, NASTY * 100 + "\0", data)]
    writer.close()


def test_replacing_a_row_gives_it_the_new_values(database: Database) -> None:
    writer = database.writer()
    writer.run([INSERT.of([("a", "x", 1, "w", b"")]), COMMIT])

    writer.run([REPLACE.of([("a", "x", 2, "v", b"q"), ("a", "y", 3, "u", b"")]), COMMIT])

    assert [row[2] for row in writer.read(SELECT.of(["a"]))] == [2, 3]
    writer.close()


def test_a_deletion_takes_all_tables_and_prefixes_of_the_key(database: Database) -> None:
    writer = database.writer()
    writer.run([INSERT.of([("a", "x", 1, "", b""), ("a", "y", 1, "", b""), ("b", "x", 1, "", b"")]), COMMIT])

    writer.run([Delete((thing, ("owner",))).of([("a",)]), COMMIT])

    assert [row[:2] for row in writer.read(SELECT.of(["a", "b"]))] == [("b", "x")]
    writer.close()


def test_a_union_gives_the_rows_of_all_its_parts(database: Database) -> None:
    writer = database.writer()
    writer.run([INSERT.of([("a", "x", 1, "", b""), ("b", "y", 2, "", b"")]), COMMIT])
    one, other = (
        Sql("SELECT 'O', owner FROM thing WHERE owner IN ?*"),
        Sql("SELECT 'N', name FROM thing WHERE name = ?"),
    )

    rows = writer.run([Union([(one, (["a"],)), (other, ("y",))])])[0].rows

    assert list(rows) == [("O", "a"), ("N", "y")]
    writer.close()


def test_what_was_not_committed_is_gone_after_a_rollback(database: Database) -> None:
    writer = database.writer()
    writer.run([INSERT.of([("a", "x", 1, "", b"")])])

    writer.rollback()

    assert list(writer.read(SELECT.of(["a"]))) == []
    writer.close()


def test_a_taken_key_is_told_and_undoes_the_packet(database: Database) -> None:
    writer = database.writer()
    writer.run([INSERT.of([("a", "x", 1, "", b"")]), COMMIT])

    with pytest.raises(DuplicateKey):
        writer.run([INSERT.of([("b", "y", 1, "", b"")]), INSERT.of([("a", "x", 1, "", b"")]), COMMIT])

    assert [row[:2] for row in writer.read(SELECT.of(["a", "b"]))] == [("a", "x")]
    writer.close()


def test_wrong_sql_is_a_bug_and_the_connection_goes_on(database: Database) -> None:
    writer = database.writer()

    with pytest.raises(Exception, match="nowhere"):
        writer.run([Sql("SELECT * FROM nowhere").of(), COMMIT])

    assert list(writer.read(SELECT.of(["a"]))) == []
    writer.close()


def test_another_transactions_lock_is_a_conflict(database: Database) -> None:
    holder, writer = database.writer(), database.writer()
    holder.run([REPLACE.of([("a", "x", 1, "", b"")])])

    with pytest.raises(TransactionConflict):
        writer.run([REPLACE.of([("a", "x", 2, "", b"")]), COMMIT])

    holder.run([COMMIT])
    writer.run([REPLACE.of([("a", "x", 3, "", b"")]), COMMIT])
    assert [row[2] for row in writer.read(SELECT.of(["a"]))] == [3]
    holder.close()
    writer.close()


@pytest.mark.mariadb
def test_a_deadlock_is_a_conflict_for_one_and_nothing_to_the_other(mariadb: Database) -> None:
    one, other = mariadb.writer(), mariadb.writer()
    one.run([INSERT.of([("a", "x", 0, "", b""), ("b", "x", 0, "", b"")]), COMMIT])
    update = Sql("UPDATE thing SET size = size + 1 WHERE owner = ?")
    one.run([update.of("a")])
    other.run([update.of("b")])
    outcomes: list[object] = []

    def cross(run: Callable[[], object]) -> None:
        try:
            run()
            outcomes.append("done")
        except TransactionConflict:
            outcomes.append("conflict")

    crossing = threading.Thread(target=cross, args=(lambda: one.run([update.of("b"), COMMIT]),))
    crossing.start()
    cross(lambda: other.run([update.of("a"), COMMIT]))
    crossing.join()

    assert sorted(map(str, outcomes)) == ["conflict", "done"]
    one.close()
    other.close()


@pytest.mark.mariadb
def test_a_killed_connection_is_lost_and_its_commit_unknown(mariadb: Database) -> None:
    def killed() -> tuple[object, object]:
        victim, killer = mariadb.writer(), mariadb.writer()
        (connection_id,) = victim.read(Sql("SELECT CONNECTION_ID()").of())[0]
        killer.run([Sql(f"KILL {connection_id}").of()])
        killer.close()
        return victim, connection_id

    victim, _ = killed()
    with pytest.raises(ConnectionLost) as lost:
        victim.run([SELECT.of(["a"])])  # type: ignore[attr-defined]
    assert not isinstance(lost.value, CommitUnknown)
    assert not victim.is_open  # type: ignore[attr-defined]

    victim, _ = killed()
    with pytest.raises(CommitUnknown):
        victim.run([REPLACE.of([("a", "x", 1, "", b"")]), COMMIT])  # type: ignore[attr-defined]


@pytest.mark.mariadb
def test_a_packet_larger_than_the_servers_is_sent_in_parts_and_one_row_too_large_is_refused() -> None:
    with running_mariadb(["--max-allowed-packet=1M"]) as small:
        database = open_database(DatabaseSettings(url=small.url()))
        metadata.create_all(database.engine)
        writer = database.writer()

        rows = [("a", f"{n:03}", n, "x" * 20_000, b"") for n in range(100)]
        results = writer.run([INSERT.of(rows), SELECT.of(["a"]), COMMIT])
        assert results[0].affected == 100
        assert len(results[1].rows) == 100

        with pytest.raises(StatementTooLarge):
            writer.run([INSERT.of([("b", "y", 1, "x" * 2_000_000, b"")]), COMMIT])
        assert list(writer.read(SELECT.of(["b"]))) == []
        writer.close()
        database.close()


@pytest.mark.mariadb
def test_a_session_is_strict_and_reads_what_is_committed(mariadb: Database) -> None:
    writer = mariadb.writer()

    (row,) = writer.read(
        Sql("SELECT @@tx_isolation, @@time_zone, @@collation_connection, @@innodb_lock_wait_timeout").of()
    )

    assert row == ("READ-COMMITTED", "+00:00", "utf8mb4_bin", 1)
    with pytest.raises(ValueTooLong):
        writer.run([INSERT.of([("x" * 300, "y", 1, "", b"")]), COMMIT])
    writer.close()


def test_a_server_that_is_not_there_is_away() -> None:
    database = open_database(DatabaseSettings(url=f"mysql://root@127.0.0.1:{free_port()}/x"))

    with pytest.raises(DatabaseAway):
        database.writer()


def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    database = open_database(DatabaseSettings(url=f"sqlite:///{tmp_path / 'no' / 'folder' / 'x.db'}"))

    with pytest.raises(DatabaseAway):
        database.writer()


@pytest.mark.parametrize(("setting", "level"), [(Synchronous.FULL, 2), (Synchronous.NORMAL, 1)])
def test_sqlite_keeps_a_log_and_syncs_as_told(tmp_path: Path, setting: Synchronous, level: int) -> None:
    database = open_database(DatabaseSettings(url=f"sqlite:///{tmp_path / 'x.db'}", sqlite_synchronous=setting))
    writer = database.writer()

    assert list(writer.read(Sql("PRAGMA journal_mode").of())) == [("wal",)]
    assert list(writer.read(Sql("PRAGMA synchronous").of())) == [(level,)]
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
    writer.close()
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://x/y"])
def test_a_database_that_cannot_serve_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        open_database(DatabaseSettings(url=url))


class Watch:
    """Writes down what it is told; loses the connection at one place."""

    def __init__(self, lose: str = "") -> None:
        self.seen: list[str] = []
        self._lose = lose

    def _tell(self, what: str) -> None:
        self.seen.append(what)
        if what == self._lose:
            raise ConnectionLost("on purpose")

    def before_statement(self, number: int, text: str) -> None:
        self._tell(f"before {number}")

    def after_statement(self, number: int, text: str) -> None:
        self._tell(f"after {number}")

    def commit_sent(self, number: int) -> None:
        self._tell(f"sent {number}")


def test_a_hook_stands_before_and_after_every_statement(database: Database) -> None:
    watch = database.hook = Watch()
    writer = database.writer()

    writer.run([INSERT.of([("a", "x", 1, "", b"")]), COMMIT])

    assert watch.seen == ["before 1", "after 1", "before 2", "sent 2", "after 2"]
    assert writer.counters.round_trips == 1
    writer.close()


def test_an_answer_that_is_lost_at_the_commit_is_unknown_and_the_commit_happened(database: Database) -> None:
    database.hook = Watch(lose="sent 2")
    writer = database.writer()

    with pytest.raises(CommitUnknown):
        writer.run([INSERT.of([("a", "x", 1, "", b"")]), COMMIT])

    assert not writer.is_open
    database.hook = None
    other = database.writer()
    _until_seen(other)
    other.close()


def _until_seen(writer: object) -> None:
    for _ in range(1000):
        if list(writer.read(SELECT.of(["a"]))):  # type: ignore[attr-defined]
            return
    raise AssertionError("expected the row to be committed, found it was not")


def test_a_connection_lost_before_the_commit_leaves_nothing(database: Database) -> None:
    database.hook = Watch(lose="after 1")
    writer = database.writer()

    with pytest.raises(ConnectionLost):
        writer.run([INSERT.of([("a", "x", 1, "", b"")]), COMMIT])

    database.hook = None
    other = database.writer()
    assert list(other.read(SELECT.of(["a"]))) == []
    other.close()


def test_a_value_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(TypeError, match="plain value"):
        literal(object())


def test_a_template_says_how_many_values_it_takes() -> None:
    with pytest.raises(ValueError, match="expected 1 values"):
        SELECT.of()
    with pytest.raises(KeyError):
        Sql("SELECT 1 {for ever}")
