"""The participant's barrier, on SQLite and MariaDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, create_engine, event, func, select

from mesh.saga_barrier import COMPENSATE, EXECUTE, LateExecution, Passage, SagaBarrier, barrier_table
from mesh.testing.mariadb import MariaDb, running_mariadb

NOW = datetime(2026, 5, 4, tzinfo=UTC)
metadata = MetaData()
TABLE = barrier_table(metadata)
barrier = SagaBarrier(TABLE)


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with running_mariadb() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path}/own.db", connect_args={"timeout": 30})
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    else:
        server: MariaDb = request.getfixturevalue("server")
        engine = create_engine(server.create_database())
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def enter(database: Engine, action: str, step_id: str = "s", answer: str = "") -> Passage:
    with database.begin() as connection:
        passage = barrier.enter(connection, saga_id="saga", step_id=step_id, action=action, now=NOW)
        if answer and passage.must_act:
            barrier.keep(connection, saga_id="saga", step_id=step_id, action=action, answer=answer)
        return passage


def test_a_step_is_done_once_and_answered_as_before(database: Engine) -> None:
    assert enter(database, EXECUTE, answer="shelf 7") == Passage(must_act=True)
    assert enter(database, EXECUTE, answer="shelf 8") == Passage(must_act=False, answer="shelf 7")
    assert enter(database, EXECUTE, step_id="another") == Passage(must_act=True)


def test_what_was_done_is_taken_back_once(database: Engine) -> None:
    enter(database, EXECUTE)

    assert enter(database, COMPENSATE) == Passage(must_act=True)
    assert enter(database, COMPENSATE) == Passage(must_act=False)


def test_what_was_never_done_is_not_taken_back_and_never_done_later(database: Engine) -> None:
    assert enter(database, COMPENSATE) == Passage(must_act=False)

    with pytest.raises(LateExecution):
        enter(database, EXECUTE)
    assert enter(database, COMPENSATE) == Passage(must_act=False)


def test_a_step_whose_transaction_was_rolled_back_may_be_done(database: Engine) -> None:
    with database.connect() as connection:
        barrier.enter(connection, saga_id="saga", step_id="s", action=EXECUTE, now=NOW)
        connection.rollback()

    assert enter(database, EXECUTE) == Passage(must_act=True)


def test_of_many_at_once_one_acts(database: Engine) -> None:
    found: list[bool] = []
    gate = threading.Barrier(6)

    def call() -> None:
        gate.wait()
        found.append(enter(database, EXECUTE).must_act)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [False] * 5 + [True]
    with database.connect() as connection:
        assert connection.execute(select(func.count()).select_from(TABLE)).scalar() == 1


@pytest.mark.parametrize(
    ("saga_id", "step_id", "action"), [("", "s", EXECUTE), ("x" * 65, "s", EXECUTE), ("x", "s", "y")]
)
def test_what_the_table_cannot_keep_is_refused(database: Engine, saga_id: str, step_id: str, action: str) -> None:
    with database.begin() as connection, pytest.raises(ValueError, match="expected"):
        barrier.enter(connection, saga_id=saga_id, step_id=step_id, action=action, now=NOW)
