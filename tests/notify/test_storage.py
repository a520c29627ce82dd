"""What the database is asked: by an index, so many statements for a batch of any size, and by one replica at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, text

from mesh.clock import ManualClock
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.paging import Page
from mesh.testing.statements import note_statements
from notify.app.notifications import DeliveryFilter
from notify.app.sending import Outcome
from notify.app.templates import TemplateFilter
from notify.effects.consumer import Consumer
from notify.model.names import PENDING, SENT, key_of
from notify.model.records import Delivery
from notify.storage import deliveries, erasing, notices, recording, tables
from notify.storage.connection import Connection
from notify.storage.deliveries import DeliveryRows
from notify.storage.erasing import RecipientRows
from notify.storage.migrate import MIGRATIONS
from notify.storage.notices import NoticeStore
from notify.storage.queries import Queries
from notify.storage.requests import Answers
from notify.storage.templates import TemplateRows
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.notify.worlds import QUICK, World

ROWS = 3000
RARE = "v-7"
DUE = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review", attributes='flowable:assignee="kermit" flowable:dueDate="${\'P2D\'}"'),
    bpmn.end(),
    bpmn.flows("s>review>e"),
)


class Store:
    """Notify's storage on a database of its own, as one replica has it."""

    def __init__(self, url: str) -> None:
        self.database = open_database(DatabaseSettings(url=url))
        self.connection = Connection(self.database)
        self.clock = ManualClock(BEGINNING)
        self.answers = Answers(self.connection, self.clock)
        self.deliveries = DeliveryRows(self.connection, self.answers, self.clock, 60.0)
        self.notices = NoticeStore(self.connection)

    async def close(self) -> None:
        await self.connection.close()
        self.database.close()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    found = Store(url)
    await asyncio.to_thread(MIGRATIONS.upgrade, found.database)
    yield found
    await found.close()


def _delivery(n: int, **fields: Any) -> Delivery:
    values: dict[str, Any] = {"event": "message", "channel": "mail", "state": PENDING, "created_at": BEGINNING}
    values |= {"id": key_of(str(n)), "due_at": BEGINNING, **fields}
    return Delivery(**values)


def _row(table: Any, n: int) -> dict[str, Any]:
    """A row in which every text and moment differs from the next one's."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name.endswith(("_at", "_date")):
            row[column.name] = BEGINNING + timedelta(seconds=n)
        elif column.name in ("attempts", "resends", "priority"):
            row[column.name] = n
        elif column.name in ("facts", "context"):
            row[column.name] = "{}"
        elif column.name == "candidates":
            row[column.name] = "[]"
        elif column.name == "incidents":
            row[column.name] = n == 7
        else:
            row[column.name] = f"v-{n}"
    return row


class Plans:
    """Remembers the statements of a database, and asks how it carries them out."""

    def __init__(self, database: Database) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._database = database
        self._explaining = False
        note_statements(database, self._note)

    def _note(self, statement: str, parameters: Any) -> None:
        if not self._explaining and statement.startswith("SELECT"):
            self.seen.append((statement, parameters))

    def scans(self) -> list[str]:
        """The steps that read a whole table without an index."""
        self._explaining = True
        found = []
        with self._database.reader.connect() as connection:
            for statement, parameters in self.seen:
                prefix = "EXPLAIN QUERY PLAN " if self._database.is_sqlite else "EXPLAIN "
                for row in connection.exec_driver_sql(prefix + statement, parameters).mappings():
                    step = self._sqlite(row) if self._database.is_sqlite else self._mysql(row)
                    if step:
                        found.append(step)
        self._explaining = False
        return found

    @staticmethod
    def _sqlite(row: Any) -> str:
        detail = str(row["detail"])
        return detail if detail.startswith("SCAN") and "USING" not in detail else ""

    @staticmethod
    def _mysql(row: Any) -> str:
        few = int(str(row["rows"] or 0).split()[0]) <= ROWS // 4
        return "" if row["type"] != "ALL" and few else f"{row['table']}: {row['type']} {row['key']} {row['rows']}"


@pytest.fixture
async def filled(store: Store) -> Store:
    kinds = (
        tables.task,
        tables.notice,
        tables.delivery,
        tables.template,
        tables.preferences,
        tables.request,
    )

    def fill() -> None:
        with store.database.engine.begin() as connection:
            for table in kinds:
                connection.execute(insert(table), [_row(table, n) for n in range(ROWS)])
        if not store.database.is_sqlite:
            with store.database.reader.connect() as connection:
                for table in kinds:
                    connection.execute(text(f"ANALYZE TABLE {table.name}"))

    await asyncio.to_thread(fill)
    return store


async def test_every_filter_of_a_list_is_served_by_an_index(filled: Store) -> None:
    queries, templates = Queries(filled.database), TemplateRows(filled.database, filled.answers)
    plans = Plans(filled.database)
    asked = [DeliveryFilter(**{name: RARE}) for name in DeliveryFilter.__struct_fields__[:7]]
    asked += [
        DeliveryFilter(tenant_id=RARE),
        DeliveryFilter(created_before=BEGINNING + timedelta(seconds=3)),
        DeliveryFilter(created_after=BEGINNING + timedelta(seconds=ROWS - 3)),
    ]

    bad = {}
    for wanted in asked:
        plans.seen.clear()
        await queries.deliveries(wanted, Page())
        bad[str(wanted)] = await asyncio.to_thread(plans.scans)
    for name in ("event", "channel", "language", "tenant_id"):
        plans.seen.clear()
        await templates.listed(TemplateFilter(**{name: RARE}), Page())
        bad[f"template {name}"] = await asyncio.to_thread(plans.scans)
    plans.seen.clear()
    await templates.candidates(RARE, ["v-7", "en"])
    bad["candidates"] = await asyncio.to_thread(plans.scans)

    assert {name: steps for name, steps in bad.items() if steps} == {}


async def test_what_the_workers_look_for_is_served_by_an_index(filled: Store) -> None:
    moment = "2026-01-01 12:00:03"
    calls = [
        notices._DUE.of(moment, 10),
        notices._PREFERENCES.of([RARE]),
        notices._OPERATORS.of(10),
        deliveries._DUE.of(moment, 10),
        deliveries._ENTRIES.of(RARE, 10),
        deliveries._LEFT.of([RARE]),
        recording._TASKS_OF.of([RARE]),
        recording._NOTICES_OF.of([RARE]),
        recording._NOTICES_OF_ENDED.of([RARE]),
        *(statement.of(RARE, 10) for statement in erasing._OF.values()),
    ]

    def scans() -> list[str]:
        found = []
        with filled.database.reader.connect() as connection:
            for call in calls:
                if filled.database.is_sqlite:
                    spelled = "EXPLAIN QUERY PLAN " + call.mysql(0)[0].replace("FOR UPDATE", "").replace(
                        "SKIP LOCKED", ""
                    )
                    steps = [Plans._sqlite(row) for row in connection.exec_driver_sql(spelled).mappings()]
                else:
                    rows = connection.exec_driver_sql("EXPLAIN " + call.mysql(0)[0].replace("%", "%%")).mappings()
                    steps = [Plans._mysql(row) for row in rows]
                found += [f"{call.text}: {step}" for step in steps if step]
        return found

    assert await asyncio.to_thread(scans) == []


@pytest.mark.parametrize("count", [1, 8, 40])
async def test_recording_takes_the_same_statements_whatever_the_batch(url: str, mail: Any, count: int) -> None:
    world = World(url, mail)
    world.engine.deploy(DUE)
    trees = [world.engine.start("p") for _ in range(count)]
    notify = await world.start(bus=QUICK)
    await notify.settled()
    for worker in notify.service._workers:
        await worker.stop()
    counters = notify.service._connection.writer.counters
    counters.statements = counters.round_trips = counters.commits = 0
    for tree in trees:
        world.engine.complete(tree, "review")

    batch = list(await world.outbox.read(count, 10_000))
    await notify.service._subscription.stop()  # type: ignore[union-attr]
    await Consumer(notify.service.recorder.record)(batch)

    # Loaded: applied, processes, tasks, notices, tasks and notices of what ended. Written: tasks, processes and notices
    # that go, deliveries that lose their reason, applied, COMMIT.
    assert (counters.statements, counters.round_trips, counters.commits) == (12, 2, 1)
    notify.service._subscription = None
    await world.close()


@pytest.mark.parametrize("count", [1, 8, 40])
async def test_taking_and_settling_take_the_same_statements_whatever_the_batch(store: Store, count: int) -> None:
    await store.deliveries.add([_delivery(n) for n in range(count)], "")
    counters = store.connection.writer.counters
    counters.statements = counters.round_trips = counters.commits = 0

    taken = await store.deliveries.take(100, "me")
    await store.deliveries.settle(
        [Outcome(delivery=_delivery(0, id=one.id, state=SENT, due_at=None, lease_owner="me")) for one in taken]
    )

    assert len(taken) == count
    assert (counters.statements, counters.round_trips, counters.commits) == (6, 4, 2)
    assert await store.deliveries.take(100, "me") == []


async def test_two_replicas_never_take_the_same_delivery(store: Store, url: str) -> None:
    other = Store(url)
    await store.deliveries.add([_delivery(n) for n in range(60)], "")

    async def take_all(replica: Store, owner: str) -> list[str]:
        found: list[str] = []
        while taken := await replica.deliveries.take(5, owner):
            found += [one.id for one in taken]
        return found

    mine, theirs = await asyncio.gather(take_all(store, "me"), take_all(other, "they"))

    assert sorted(mine + theirs) == sorted(key_of(str(n)) for n in range(60))
    await other.close()


async def test_a_lease_that_ran_out_is_taken_by_another_and_settles_nothing(store: Store) -> None:
    await store.deliveries.add([_delivery(1)], "")
    (slow,) = await store.deliveries.take(1, "slow")
    store.clock.advance(timedelta(seconds=61))
    (quick,) = await store.deliveries.take(1, "quick")

    dead = msgspec.structs.replace(slow, state="dead", due_at=None)
    sent = msgspec.structs.replace(quick, state=SENT, due_at=None)
    await store.deliveries.settle([Outcome(delivery=sent)])
    await store.deliveries.settle([Outcome(delivery=dead)])

    found = await Queries(store.database).delivery(key_of("1"))
    assert found is not None
    assert (found.state, found.attempts, found.lease_owner) == (SENT, 2, "")


async def test_what_is_over_for_long_is_forgotten(store: Store) -> None:
    old = [_delivery(n, state=SENT, due_at=None) for n in range(3)]
    waiting = _delivery(4, due_at=BEGINNING + timedelta(days=365))
    young = _delivery(5, state=SENT, due_at=None, created_at=BEGINNING + timedelta(days=80))
    await store.deliveries.add([*old, waiting, young], "request-1")

    forgotten = await store.deliveries.prune(BEGINNING + timedelta(days=1), 100)
    answers = await store.answers.prune(BEGINNING + timedelta(days=1), 100)

    left = await Queries(store.database).deliveries(DeliveryFilter(), Page())
    assert (forgotten, answers) == (3, 1)
    assert {row.id for row in left.rows} == {waiting.id, young.id}


async def test_a_crowd_of_deliveries_is_erased_batch_by_batch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "BATCH", 4)
    rows = RecipientRows(store.connection, store.answers)
    await store.deliveries.add([_delivery(n, recipient="anna" if n < 10 else "piggy") for n in range(12)], "")
    counters = store.connection.writer.counters
    counters.commits = 0

    removed = await rows.erase("anna", "r-1")

    assert removed == {"preferences": 0, "delivery": 10, "answer": 0}
    assert counters.commits == 3
    assert await rows.erase("anna", "r-1") == removed
    assert (await rows.erase("piggy", ""))["delivery"] == 2
