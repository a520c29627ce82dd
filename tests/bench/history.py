"""History: how fast it records what the engine says, and whether a page of a list costs more the deeper it lies."""

import asyncio
import time
from datetime import timedelta
from typing import Any

from flowloom.events.v1 import events_pb2
from sqlalchemy import insert

from history.app.queries import InstanceFilter
from history.settings import HistoryDatabase, HistorySettings
from history.storage import tables
from history.storage.migrate import MIGRATIONS
from history.storage.queries import Queries
from mesh.bus.ports import GroupSettings
from mesh.clock import ManualClock
from mesh.db.database import DatabaseSettings, open_database
from mesh.paging import Page
from mesh.testing.mariadb import running_mariadb
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import Running, World

INSTANCES = 2_000
ROWS = 120_000
DEEP = 100_000
PAGE = 50
ASKED = 60
REVIEW = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review", attributes='flowable:assignee="kermit" flowable:candidateGroups="frogs"'),
    bpmn.service("file"),
    bpmn.end(),
    bpmn.flows("s>review>file>e"),
)


def run() -> list[str]:
    with running_mariadb() as server:
        return asyncio.run(_measure(str(server.create_database()), str(server.create_database())))


async def _measure(recorded: str, listed: str) -> list[str]:
    return [*await _recording(recorded), *await _depth(listed)]


async def _recording(url: str) -> list[str]:
    world = World(url)
    world.engine.deploy(REVIEW)
    for n in range(INSTANCES):
        tree = world.engine.start("p", {"customer": f"customer {n}", "amount": n}, name=f"Case {n}")
        world.engine.complete(tree, "review")
    messages = world.outbox._visible.values()
    events = sum(len(events_pb2.CommandEvents.FromString(message.payload).events) for message in messages)
    lines = []
    for name, size in (("batches of 200", 200), ("batches of one", 1)):
        part = World(url)
        part.outbox, part.engine = world.outbox, world.engine
        await _clear(url)
        bus = GroupSettings(batch_messages=size, linger_seconds=0.0, poll_seconds=0.01)
        history = Running(part, HistorySettings(database=HistoryDatabase(url=url), bus=bus), ManualClock(BEGINNING))
        await history._server.start()
        await asyncio.to_thread(MIGRATIONS.upgrade, history.service._database)
        cpu, began = time.process_time(), time.perf_counter()
        await history.service.start()
        await history.service.wait_until(world.engine.sequence if size > 1 else world.engine.sequence // 10)
        took, spent = time.perf_counter() - began, time.process_time() - cpu
        share = events if size > 1 else events / 10
        lines.append(
            f"   recording, {name}, MariaDB durable: {share / took:,.0f} events/s, "
            f"{spent / share * 1e6:.0f} us of Python an event"
        )
        await history.stop()
    return lines


async def _clear(url: str) -> None:
    database = open_database(DatabaseSettings(url=url))

    def clear() -> None:
        MIGRATIONS.upgrade(database)
        with database.engine.begin() as connection:
            connection.execute(tables.applied.delete())
            connection.execute(tables.process_instance.delete())
        database.close()

    await asyncio.to_thread(clear)


async def _depth(url: str) -> list[str]:
    database = open_database(DatabaseSettings(url=url))
    await asyncio.to_thread(_fill, database)
    queries = Queries(database)
    lines = []
    for sort in ("startTime", "businessKey"):
        first = await queries.instances(InstanceFilter(), Page(size=PAGE, sort=sort), None)
        jump = Page(size=PAGE, sort=sort, start=DEEP)
        deep = await queries.instances(InstanceFilter(), jump, None)
        shallow = await _latency(queries, Page(size=PAGE, sort=sort, page_token=first.next_page_token))
        token = await _latency(queries, Page(size=PAGE, sort=sort, page_token=deep.next_page_token))
        start = await _latency(queries, jump)
        lines.append(
            f"   page of {PAGE} by {sort}: {shallow * 1e3:.1f} ms at depth 1, {token * 1e3:.1f} ms at depth {DEEP:,} "
            f"by token ({token / shallow:.2f} x), {start * 1e3:.1f} ms by start"
        )
    database.close()
    return lines


async def _latency(queries: Queries, page: Page) -> float:
    """The median of some pages, in seconds."""
    taken = []
    for _ in range(ASKED):
        began = time.perf_counter()
        await queries.instances(InstanceFilter(), page, None)
        taken.append(time.perf_counter() - began)
    return sorted(taken)[ASKED // 2]


def _fill(database: Any) -> None:
    MIGRATIONS.upgrade(database)
    columns = [column.name for column in tables.process_instance.columns]
    with database.engine.begin() as connection:
        for start in range(0, ROWS, 5_000):
            rows = []
            for n in range(start, start + 5_000):
                row: dict[str, Any] = dict.fromkeys(columns, "")
                at = BEGINNING + timedelta(seconds=n)
                row |= {"id": f"{n:08}", "root_id": f"{n:08}", "definition_version": 1, "started_at": at}
                row |= {"ended_at": at, "duration_ms": n, "state": "completed", "business_key": f"key {n:08}"}
                rows.append(row)
            connection.execute(insert(tables.process_instance), rows)
