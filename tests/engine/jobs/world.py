"""An engine with jobs: a database, the group commit, leases, the executor, streams and the two job services."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from flowloom.engine.v1.external_worker_service_pb2_grpc import (
    ExternalWorkerServiceStub,
    add_ExternalWorkerServiceServicer_to_server,
)
from flowloom.engine.v1.management_service_pb2_grpc import (
    ManagementServiceStub,
    add_ManagementServiceServicer_to_server,
)

from engine.app.archives import File
from engine.app.batch import World
from engine.app.definition_changes import DefinitionChanges
from engine.app.definitions import DefinitionCache
from engine.app.deployments import Deploy, Deployments
from engine.app.external_streams import JobStreams
from engine.app.external_work import ExternalWork
from engine.app.group_commit import GroupCommit
from engine.app.operations import EngineFacts, JobOperations, ManualControl, capabilities_of
from engine.app.queries import JobFilter, JobView, Page, TaskFilter
from engine.app.writers import GroupCommitSettings
from engine.effects.events import encode_events
from engine.effects.scripts import JavaScript
from engine.jobs.executor import JobExecutor
from engine.jobs.outside import OutsideWork
from engine.jobs.settings import JobSettings
from engine.kernel import commands as cmd
from engine.kernel import registry
from engine.kernel.env import Limits
from engine.kernel.values import variables_of
from engine.rpc.batch_stream import StreamTerms
from engine.rpc.external_worker_service import ExternalWorkerService
from engine.rpc.management_service import ManagementService
from engine.storage import remark_tables, tables
from engine.storage.codec import decode_value
from engine.storage.leases import LeaseStore
from engine.storage.queries import SqlQueries
from engine.storage.repository import SqlRepository
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.clock import Clock, ManualClock
from mesh.db.database import Database, DatabaseSettings, Synchronous, open_database
from mesh.guard import GuardedServer
from mesh.ids import IdSource, shard_of
from mesh.local_channel import LocalChannel, LocalServer

REGISTRY = registry.load()
START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MANUAL = JobSettings(manual_jobs=True)
Perform = Callable[[str, Mapping[str, Any]], Awaitable[cmd.Command]]
assert remark_tables.comment.metadata is tables.metadata


def bpmn(key: str, *elements: str) -> str:
    """A process: a start event, the elements (with the ids `e1`, `e2`, …) and an end event in a row."""
    ids = ["start", *(f"e{n}" for n in range(1, len(elements) + 1)), "end"]
    flows = [f'<sequenceFlow id="f{n}" sourceRef="{a}" targetRef="{b}"/>' for n, (a, b) in enumerate(pairwise(ids))]
    body = "".join(['<startEvent id="start"/>', *elements, '<endEvent id="end"/>', *flows])
    return document(key, body)


def document(key: str, body: str) -> str:
    """A document with one process."""
    return (
        '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn" '
        f'targetNamespace="t"><process id="{key}" isExecutable="true">{body}</process></definitions>'
    )


AFTER = '<userTask id="e2" name="After"/>'
ASYNC = bpmn("async", '<manualTask id="e1" flowable:async="true"/>', AFTER)
FAILING = bpmn("failing", '<serviceTask id="e1" flowable:async="true" flowable:expression="${missing}"/>', AFTER)
TIMER = bpmn(
    "timer",
    '<intermediateCatchEvent id="e1"><timerEventDefinition><timeDuration>${wait}</timeDuration>'
    "</timerEventDefinition></intermediateCatchEvent>",
    AFTER,
)
EXTERNAL = bpmn("external", '<serviceTask id="e1" flowable:type="external-worker" flowable:topic="mail"/>', AFTER)
HTTP = bpmn(
    "http",
    '<serviceTask id="e1" flowable:type="http"><extensionElements><flowable:field name="requestUrl">'
    "<flowable:string>http://shop.example/</flowable:string></flowable:field></extensionElements></serviceTask>",
    AFTER,
)


async def nothing_outside(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
    """Tests that say nothing else have no outside."""
    raise AssertionError(f"expected no outside work, found job {job_id}")


@dataclass(slots=True)
class Engine:
    """One process of an engine."""

    database: Database
    clock: Clock
    group: GroupCommit
    leases: LeaseStore
    executor: JobExecutor
    outside: OutsideWork
    work: ExternalWork
    streams: JobStreams
    operations: JobOperations
    control: ManualControl
    deployments: Deployments
    definitions: DefinitionCache
    changes: DefinitionChanges
    queries: SqlQueries
    draining: asyncio.Event
    management: ManagementServiceStub
    worker: ExternalWorkerServiceStub

    async def deploy(self, *documents: str) -> None:
        for text in documents:
            await self.deployments.deploy(Deploy(files=[File(name="p.bpmn20.xml", data=text.encode())], name="test"))

    async def start(self, key: str, **variables: Any) -> str:
        definition = await asyncio.to_thread(self.definitions.start_by_key, key)
        reply = await self.group.submit(
            cmd.StartProcess(definition_id=definition.definition_id, variables=variables_of(variables))
        )
        return str(reply["process_instance_id"])

    async def tasks(self, instance_id: str) -> list[str]:
        found = await self.queries.list_tasks(TaskFilter(process_instance_id=instance_id), Page())
        return sorted(task.name for task in found.rows)

    async def jobs(self, kind: str, instance_id: str | None = None) -> list[JobView]:
        found = await self.queries.list_jobs(JobFilter(kind=kind, process_instance_id=instance_id), Page(size=1000))
        return list(found.rows)

    def advance(self, **by: float) -> None:
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(timedelta(**by))
        self.executor.wake()
        self.streams.wake_all()


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - what is waited for is a row of a database
            await asyncio.sleep(0.005)


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'engine.db'}"


@contextlib.asynccontextmanager
async def running(
    url: str,
    *,
    settings: JobSettings = MANUAL,
    clock: Clock | None = None,
    perform: Perform = nothing_outside,
    owner: str = "here",
    alive_seconds: float = 15.0,
    writers: int = 1,
) -> AsyncIterator[Engine]:
    """A started engine on a database; its tables are made if there are none."""
    database = open_database(replace(DatabaseSettings(), url=url, sqlite_synchronous=Synchronous.NORMAL))
    tables.metadata.create_all(database.engine)
    clock, ids = clock or ManualClock(START), IdSource()
    now = clock.now
    store = SqlRepository(database, now=now, new_id=ids.root)
    cache = DefinitionCache(store, REGISTRY)
    world = World(
        definitions=cache,
        scripts=JavaScript(),
        ids=ids,
        shard_of=shard_of,
        clock=clock,
        encode_events=encode_events,
        limits=Limits(),
    )
    group = GroupCommit(lambda: SqlUnitOfWork(database), world, GroupCommitSettings(), writers=writers)
    queries = SqlQueries(database, cache.by_id, clock)
    changes = DefinitionChanges(store, cache, group, now=now, new_id=ids.root)
    leases = LeaseStore(database, group.transact, new_id=ids.root, decode_value=decode_value)
    outside = OutsideWork(leases=leases, commands=group, perform=perform, now=now, owner=owner, settings=settings)
    executor = JobExecutor(due=group, definitions=changes, leases=leases, outside=outside, now=now, settings=settings)
    work = ExternalWork(commands=group, leases=leases, now=now)
    streams = JobStreams(work, now=now, alive_seconds=alive_seconds)
    group.listen(executor.on_committed, executor.HEARS)
    group.listen(streams.on_committed, streams.HEARS)
    operations = JobOperations(queries=queries, commands=group, runs=executor, now=now)
    control = ManualControl(clock=clock, runs=executor, manual_jobs=settings.manual_jobs, on_clock_moved=executor.wake)
    facts = EngineFacts(
        name="flowloom",
        version="1",
        capabilities=capabilities_of(REGISTRY, ["javascript", "juel"], {"steps": 10_000}),
        properties={"schema.version": "1"},
    )
    draining = asyncio.Event()
    local = LocalServer()
    server = GuardedServer((local,))
    add_ManagementServiceServicer_to_server(ManagementService(operations, control, queries, facts), server)
    workers = ExternalWorkerService(work, streams, queries, StreamTerms(draining=draining))
    add_ExternalWorkerServiceServicer_to_server(workers, server)
    await group.start()
    await server.start()
    executor.start()
    channel = LocalChannel(local)
    try:
        yield Engine(
            database=database,
            clock=clock,
            group=group,
            leases=leases,
            executor=executor,
            outside=outside,
            work=work,
            streams=streams,
            operations=operations,
            control=control,
            deployments=Deployments(store, cache, group, REGISTRY, now=now, new_id=ids.root),
            definitions=cache,
            changes=changes,
            queries=queries,
            draining=draining,
            management=ManagementServiceStub(channel),
            worker=ExternalWorkerServiceStub(channel),
        )
    finally:
        await server.stop(None)
        await executor.stop()
        await group.stop()
        queries.close()
        database.close()
