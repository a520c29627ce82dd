"""A group commit on a database of its own, with processes compiled from XML and the real kernel."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from engine.app.batch import World
from engine.app.group_commit import GroupCommit, GroupCommitSettings
from engine.app.unit_of_work import CompletionSagas
from engine.bpmn.compile import Identity, compile_process, executable_processes
from engine.bpmn.xml import parse
from engine.effects.events import encode_events
from engine.kernel import commands as cmd
from engine.kernel.definition import Definition
from engine.kernel.env import Limits
from engine.kernel.errors import Called, MissingDefinition, not_found
from engine.kernel.registry import load as load_registry
from engine.kernel.values import variables_of
from engine.storage import tables
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.clock import ManualClock
from mesh.db.database import Database, DatabaseSettings, open_database
from mesh.db.writer import Counters
from mesh.ids import IdSource, shard_of

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HEAD = (
    '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn" '
    'targetNamespace="t">'
)


def process(key: str, body: str, before: str = "") -> str:
    """A document with one process; `before` stands before it (signals, messages)."""
    return f'{HEAD}{before}<process id="{key}" isExecutable="true">{body}</process></definitions>'


ONE_TASK = process(
    "one",
    '<startEvent id="start"/><sequenceFlow id="f1" sourceRef="start" targetRef="task"/>'
    '<userTask id="task" name="Approve" flowable:candidateGroups="managers,clerks" flowable:candidateUsers="kermit"/>'
    '<sequenceFlow id="f2" sourceRef="task" targetRef="end"/><endEvent id="end"/>',
)
TWO_TASKS = process(
    "two",
    '<startEvent id="start"/><sequenceFlow id="f1" sourceRef="start" targetRef="first"/>'
    '<userTask id="first" flowable:candidateGroups="managers"/>'
    '<sequenceFlow id="f2" sourceRef="first" targetRef="second"/>'
    '<userTask id="second" flowable:candidateGroups="clerks"/>'
    '<sequenceFlow id="f3" sourceRef="second" targetRef="end"/><endEvent id="end"/>',
)


class NoScripts:
    """Tests of storage run none."""

    def run(self, *_: Any) -> Any:
        """Refuse."""
        raise AssertionError("expected no script")


class Source:
    """Definitions by id, brought to hand when the kernel asks."""

    def __init__(self) -> None:
        self.known: dict[str, Definition] = {}
        self.at_hand: dict[str, Definition] = {}
        self.loads = 0

    def by_id(self, definition_id: str) -> Definition:
        """Return what is at hand."""
        found = self.at_hand.get(definition_id)
        if found is None:
            raise MissingDefinition(definition_id=definition_id)
        return found

    def called(self, called: Called) -> Definition:
        """Return the greatest version; tests have no deployments."""
        found = [d for d in self.known.values() if (d.key, d.tenant_id) == (called.key, called.tenant_id)]
        if not found:
            raise not_found("process-definition-not-found", f"expected a process '{called.key}', found none")
        return max(found, key=lambda definition: definition.version)

    def load(self, missing: MissingDefinition) -> None:
        """Bring to hand."""
        self.loads += 1
        found = self.known.get(missing.definition_id)
        if found is None:
            raise not_found("process-definition-not-found", f"expected {missing.definition_id}, found none")
        self.at_hand[missing.definition_id] = found


@dataclass(slots=True)
class Bench:
    """What a test holds in its hands."""

    database: Database
    clock: ManualClock
    source: Source
    world: World
    group: GroupCommit
    units: list[SqlUnitOfWork] = field(default_factory=list)
    committed: list[Any] = field(default_factory=list)

    def define(self, xml: str, *, definition_id: str = "", tenant_id: str = "") -> str:
        """Compile the (only) process of a document and give it a row; returns the definition's id."""
        root = parse(xml.encode(), "test.bpmn")
        element = executable_processes(root, "test.bpmn")[0]
        definition_id = definition_id or element.id
        version = 1 + len([known for known in self.source.known.values() if known.key == element.id])
        identity = Identity(definition_id=definition_id, version=version, deployment_id="d", tenant_id=tenant_id)
        definition = compile_process(root, element, load_registry(), "test.bpmn", identity)
        self.source.known[definition_id] = definition
        with self.database.engine.begin() as connection:
            connection.execute(
                tables.process_definition.insert().values(
                    id=definition_id,
                    key=definition.key,
                    version=version,
                    tenant_id=tenant_id,
                    name=definition.name,
                    description="",
                    category="",
                    deployment_id="d",
                    resource_name="test.bpmn",
                    diagram_resource_name="",
                    start_form_key="",
                    suspended=False,
                )
            )
        return definition_id

    async def start(self, definition_id: str, *, request_id: str = "", **variables: Any) -> str:
        """Start an instance and return its id."""
        reply = await self.group.submit(
            cmd.StartProcess(definition_id=definition_id, variables=variables_of(variables)), request_id=request_id
        )
        found: str = reply["process_instance_id"]
        return found

    async def complete(self, task_id: str, *, request_id: str = "", **variables: Any) -> dict[str, Any]:
        """Complete a task."""
        command = cmd.CompleteTask(task_id=task_id, variables=variables_of(variables))
        return await self.group.submit(command, request_id=request_id)

    @contextlib.asynccontextmanager
    async def one_batch(self) -> AsyncIterator[None]:
        """What is submitted inside waits for the end, and then shares a batch (there is one writer)."""
        gate = threading.Event()
        holding = asyncio.create_task(self.group.transact(lambda _: gate.wait()))
        await asyncio.sleep(0)
        try:
            yield
            await asyncio.sleep(0)
        finally:
            gate.set()
            await holding

    async def together(self, *asks: Any) -> list[Any]:
        """Submit commands as one batch; returns replies and errors in their order."""
        async with self.one_batch():
            tasks = [asyncio.ensure_future(ask) for ask in asks]
        return await asyncio.gather(*tasks, return_exceptions=True)

    def rows(self, table: Any, **where: Any) -> list[Any]:
        """The rows of a table, by primary key."""
        query = select(table).order_by(*table.primary_key.columns)
        for name, value in where.items():
            query = query.where(table.c[name] == value)
        with self.database.engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def task_of(self, instance_id: str) -> str:
        """The id of an instance's only task."""
        (found,) = self.rows(tables.task, instance_id=instance_id)
        task_id: str = found["id"]
        return task_id

    def insert(self, table: Any, *rows: dict[str, Any]) -> None:
        """Put rows into a table."""
        with self.database.engine.begin() as connection:
            connection.execute(table.insert(), list(rows))

    def left_over(self) -> dict[str, int]:
        """How many rows each table of instances has, where it has any."""
        names = ("instance", "variable", "task", "identity_link", "job", "subscription", "delivery")
        counts = {name: len(self.rows(tables.metadata.tables[name])) for name in names}
        return {name: count for name, count in counts.items() if count}

    def count(self) -> Counters:
        """The statements of all writers so far."""
        total = Counters()
        for unit in self.units:
            total.statements += unit.writer.counters.statements
            total.round_trips += unit.writer.counters.round_trips
            total.commits += unit.writer.counters.commits
        return total


@contextlib.contextmanager
def fresh_database(url: str, **settings: Any) -> Iterator[Database]:
    """A database with the engine's tables."""
    database = open_database(replace(DatabaseSettings(), url=url, **settings))
    tables.metadata.create_all(database.engine)
    try:
        yield database
    finally:
        database.close()


def sqlite_url(folder: Path) -> str:
    """A file of one's own."""
    return f"sqlite:///{folder / 'engine.db'}"


@contextlib.asynccontextmanager
async def running(
    database: Database,
    *,
    decide: Callable[..., Any] | None = None,
    limits: Limits | None = None,
    known: dict[str, Definition] | None = None,
    wait: bool = True,
    completions: CompletionSagas | None = None,
    **settings: Any,
) -> AsyncIterator[Bench]:
    """A started group commit on a database."""
    clock = ManualClock(START)
    source = Source()
    source.known.update(known or {})
    world = World(
        definitions=source,
        scripts=NoScripts(),
        ids=IdSource(),
        shard_of=shard_of,
        clock=clock,
        encode_events=encode_events,
        limits=limits or Limits(),
    )
    if decide is not None:
        world = replace(world, decide=decide)
    world = replace(world, completions=completions)
    units: list[SqlUnitOfWork] = []

    def open_unit() -> SqlUnitOfWork:
        unit = SqlUnitOfWork(database)
        units.append(unit)
        return unit

    group = GroupCommit(open_unit, world, GroupCommitSettings(**{"delivery_poll_seconds": 60.0} | settings), writers=1)
    bench = Bench(database, clock, source, world, group, units)
    group.listen(bench.committed.extend)
    await group.start()
    if wait:
        await asyncio.sleep(0)
        await group.transact(lambda _: None)  # behind the look for deliveries that were left over
    try:
        yield bench
    finally:
        await group.stop()
