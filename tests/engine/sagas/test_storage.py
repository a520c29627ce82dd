"""Rows of sagas: fenced writes, leases, pruning, participants, and the plans of all that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from engine.app.queries import Page
from engine.app.sagas import machine
from engine.app.sagas.completion import Completions, Participants, hold, let_go
from engine.app.sagas.ports import ParticipantFilter, SagaFilter, SagaLogFilter
from engine.app.sagas.state import RPC, TRANSACTION, Change, Participant, PlannedStep, Saga
from engine.storage.queries import sagas as queries
from engine.storage.sagas import participants, tables, writing
from mesh.db.database import Database
from mesh.db.writer import Writer
from mesh.testing.statements import note_statements
from tests.engine.storage.support import ONE_TASK, running

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
PLAN = (PlannedStep(name="publish", kind=TRANSACTION), PlannedStep(name="a", kind=RPC, target="a:1"))


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    found = database.writer()
    yield found
    found.close()


def begun(saga_id: str, *, token: str = "t", due_at: datetime = NOW, **more: Any) -> Change:
    """A saga that stands before its outside step; held by a token, or free and due."""
    saga = Saga(id=saga_id, name="completion", created_at=NOW, plan=PLAN, **more)
    lines = machine.begin(saga, NOW)
    saga.due_at = due_at
    if token:
        hold(saga, "me", token, LATER)
    return Change(saga=saga, lines=lines, is_new=True)


def count(database: Database, table: Any) -> int:
    with database.reader.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def read(database: Database, saga_id: str) -> Saga:
    with database.reader.connect() as connection:
        return queries.get_saga(connection, saga_id)


def test_a_saga_comes_back_as_it_was_written(database: Database, writer: Writer) -> None:
    change = begun("s1", instance_id="i", definition_key="k", tenant_id="acme", data={"a": [1, {"b": None}]})
    change.saga.error = "no 'paper'"

    assert writing.write(writer, [change], NOW) == [""]

    assert read(database, "s1") == Saga(
        id="s1",
        name="completion",
        created_at=NOW,
        instance_id="i",
        definition_key="k",
        tenant_id="acme",
        plan=PLAN,
        data={"a": [1, {"b": None}]},
        position=1,
        number=1,
        error="no 'paper'",
        owner="me",
        token="t",
        lease_until=LATER,
    )


def test_what_is_not_held_any_more_is_not_written_and_takes_nothing_with_it(database: Database, writer: Writer) -> None:
    first, second = begun("s1"), begun("s2")
    writing.write(writer, [first, second], NOW)
    changes = []
    for change, token in ((first, "t"), (second, "another")):
        lines = machine.start_step(change.saga, NOW)
        changes.append(Change(saga=change.saga, lines=lines, held_token=token))

    assert writing.write(writer, changes, NOW) == ["", writing.LOST]

    assert (read(database, "s1").number, read(database, "s2").number) == (2, 1)
    assert count(database, tables.transaction_log) == 3


def test_a_new_saga_that_is_known_changes_nothing(database: Database, writer: Writer) -> None:
    writing.write(writer, [begun("s1")], NOW)

    assert writing.write(writer, [begun("s1", token="other"), begun("s2")], NOW) == [writing.KNOWN, ""]

    assert read(database, "s1").token == "t"


def test_due_sagas_are_taken_once_the_longest_due_first(database: Database, writer: Writer) -> None:
    writing.write(
        writer,
        [
            begun("later", token="", due_at=LATER),
            begun("second", token="", due_at=NOW),
            begun("first", token="", due_at=NOW - timedelta(seconds=1)),
            begun("held"),
        ],
        NOW,
    )

    taken = writing.acquire(writer, "me", "t2", NOW, LATER, 10)
    again = writing.acquire(writer, "other", "t3", NOW, LATER, 10)

    assert [saga.id for saga in taken] == ["first", "second"]
    assert again == []
    assert {saga.token for saga in taken} == {read(database, "first").token} == {"t2"}
    # Whoever died leaves its sagas at the end of the lease.
    assert {saga.id for saga in writing.acquire(writer, "other", "t3", LATER, LATER, 10)} == {
        "first",
        "second",
        "later",
        "held",
    }


def test_a_lease_is_extended_only_for_whoever_holds_it(database: Database, writer: Writer) -> None:
    writing.write(writer, [begun("s1"), begun("s2")], NOW)
    writing.acquire(writer, "other", "t2", LATER, LATER + timedelta(seconds=30), 1)
    mine = {"s1", "s2"} - {saga for saga in ("s1", "s2") if read(database, saga).owner == "other"}

    lost = writing.extend(writer, "me", ["s1", "s2", "gone"], LATER)

    assert lost == {"s1", "s2", "gone"} - mine
    assert writing.next_due(writer) == LATER


def test_old_sagas_that_ended_well_go_with_their_logs(database: Database, writer: Writer) -> None:
    ended, bad, open_one, fresh = (begun(name) for name in ("ended", "bad", "open", "fresh"))
    for change, at in ((ended, NOW), (fresh, LATER)):
        change.lines = [*change.lines, *machine.start_step(change.saga, at), *machine.succeed(change.saga, at)]
    bad.lines = [
        *bad.lines,
        *machine.start_step(bad.saga, NOW),
        *machine.fail(bad.saga, NOW, "x", lambda _: timedelta(0), final=True),
    ]
    let_go(bad.saga)
    writing.write(writer, [ended, bad, open_one, fresh], NOW)

    assert writing.prune(writer, LATER, 100) == 1

    with database.reader.connect() as connection:
        left = set(connection.execute(select(tables.transaction_log.c.saga_id)).scalars())
    assert left == {"bad", "open", "fresh"}


def test_a_participant_has_one_place_and_keeps_its_id(database: Database, writer: Writer) -> None:
    def wanted(new_id: str, **more: Any) -> Participant:
        return Participant(id=new_id, name="archive", saga_name="completion", created_at=NOW, **more)

    first = participants.register(writer, wanted("p1", target="a:1"))
    again = participants.register(writer, wanted("p2", target="b:2"))
    other = participants.register(writer, wanted("p3", topic="t", definition_key="leave"))

    assert (first.id, again.id, other.id) == ("p1", "p1", "p3")
    assert participants.every(writer) == [again, other]
    assert participants.unregister(writer, "p1", "r", NOW)
    assert participants.unregister(writer, "p1", "r", NOW)
    assert not participants.unregister(writer, "p1", "", NOW)


# --- what a batch costs -----------------------------------------------------------------------------------------------

MAX_STATEMENTS, MAX_ROUND_TRIPS = 10, 3


async def test_a_batch_that_ends_instances_costs_the_same_with_their_sagas_whatever_its_size(
    database: Database,
) -> None:
    alone = Completions(
        Participants(), owner="me", new_id=lambda: "t", lease=timedelta(seconds=30), has_room=lambda: True
    )
    async with running(database, completions=alone) as bench:
        definition = bench.define(ONE_TASK)
        await bench.start(definition)
        costs = []
        for size in (1, 8, 64):
            started = await bench.together(*(bench.start(definition, request_id=f"s{size}-{n}") for n in range(size)))
            tasks = [bench.task_of(instance) for instance in started]
            before = bench.count()
            answers = await bench.together(*(bench.complete(task, request_id=task, approved=True) for task in tasks))
            after = bench.count()
            assert not any(isinstance(answer, BaseException) for answer in answers)
            costs.append((after.statements - before.statements, after.round_trips - before.round_trips))

    assert costs[0] == costs[1] == costs[2]
    assert costs[0][0] <= MAX_STATEMENTS
    assert costs[0][1] <= MAX_ROUND_TRIPS
    assert (count(database, tables.saga), count(database, tables.transaction_log)) == (73, 3 * 73)


# --- plans ------------------------------------------------------------------------------------------------------------

GROWN = 4_000
LISTS = [
    SagaFilter(),
    SagaFilter(id="s7"),
    SagaFilter(process_instance_id="i7"),
    SagaFilter(process_definition_key="k7"),
    SagaFilter(task_id="t7"),
    SagaFilter(state="STARTED"),
    SagaFilter(open=True),
    SagaFilter(created_after=NOW + timedelta(seconds=GROWN - 5)),
]


def _grown(writer: Writer) -> None:
    for start in range(0, GROWN, 500):
        changes = []
        for n in range(start, start + 500):
            change = begun(f"s{n}", instance_id=f"i{n}", definition_key=f"k{n % 1000}", task_id=f"t{n}")
            change.saga.created_at = NOW + timedelta(seconds=n)
            if n % 400:
                change.lines = [*change.lines, *machine.start_step(change.saga, NOW)]
                change.lines = [*change.lines, *machine.succeed(change.saga, NOW)]
            changes.append(change)
        writing.write(writer, changes, NOW)


def _plan(connection: Any, sql: str, values: Any, *, sqlite: bool) -> list[str]:
    """What the plan does that must not be done: the steps that walk through a table without an index."""
    if sqlite:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
        return [row[3] for row in rows if row[3].startswith("SCAN") and "USING" not in row[3]]
    rows = connection.exec_driver_sql(f"EXPLAIN {sql}", values).mappings().all()
    return [f"{row['table']}: {row['type']}" for row in rows if row["type"] == "ALL"]


def test_every_list_is_answered_through_an_index(database: Database, writer: Writer) -> None:
    _grown(writer)
    if not database.is_sqlite:
        with database.engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE TABLE saga, transaction_log")
    asked: list[tuple[str, Any]] = []

    sqlite = database.is_sqlite
    with database.reader.connect() as connection:
        end = note_statements(database, lambda statement, values: asked.append((statement, values)))
        try:
            for wanted in LISTS:
                # Page tokens spare the count, which walks through whatever it counts.
                listed = queries.list_sagas(connection, wanted, Page(size=2), sqlite=sqlite)
                if listed.next_page_token:
                    page = Page(size=2, page_token=listed.next_page_token)
                    queries.list_sagas(connection, wanted, page, sqlite=sqlite)
            queries.list_saga_log(connection, SagaLogFilter(saga_id="s7"), Page(), sqlite=sqlite)
            queries.list_participants(connection, ParticipantFilter(name="archive"), Page(), sqlite=sqlite)
        finally:
            end()
        found = {
            sql: plan
            for sql, values in asked
            if "count(" not in sql and "saga_participant" not in sql
            if (plan := _plan(connection, sql, values, sqlite=sqlite))
        }

    assert len(asked) > len(LISTS)
    assert found == {}
