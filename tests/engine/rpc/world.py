"""RuntimeService and TaskService on real pieces: a database in a file, the group commit, the read side, local stubs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_pb2, variable_pb2
from flowloom.engine.v1 import task_service_pb2 as ts
from flowloom.engine.v1.runtime_service_pb2_grpc import RuntimeServiceStub, add_RuntimeServiceServicer_to_server
from flowloom.engine.v1.task_service_pb2_grpc import TaskServiceStub, add_TaskServiceServicer_to_server
from google.protobuf import json_format

from engine.app.archives import File
from engine.app.batch import World
from engine.app.correlation import Correlation
from engine.app.definitions import DefinitionCache
from engine.app.deployments import Deploy, Deployments
from engine.app.group_commit import GroupCommit, GroupCommitSettings
from engine.app.instance_changes import InstanceChanges
from engine.app.signalling import Signalling
from engine.app.standalone import TaskCommands
from engine.app.starting import Starting
from engine.app.task_remarks import TaskRemarks
from engine.app.variable_changes import ExecutionVariables, TaskVariables
from engine.effects.events import encode_events
from engine.effects.scripts import JavaScript
from engine.kernel import registry
from engine.kernel.env import Limits
from engine.rpc.runtime_service import RuntimeService
from engine.rpc.task_service import TaskService
from engine.storage import remark_tables, tables
from engine.storage.comments import CommentRows
from engine.storage.queries import SqlQueries
from engine.storage.repository import SqlRepository
from engine.storage.small_writes import SmallWrites
from engine.storage.standalone_tasks import StandaloneTaskRows
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.clock import ManualClock
from mesh.db.database import Database, DatabaseSettings, Synchronous, open_database
from mesh.guard import GuardedServer
from mesh.ids import IdSource, shard_of
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import refusal_in

REGISTRY = registry.load()
START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
assert remark_tables.comment.metadata is tables.metadata


def bpmn(key: str, body: str, before: str = "") -> str:
    """A document with one process; `before` stands before it (signals, messages)."""
    return (
        '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" '
        f'xmlns:flowable="http://flowable.org/bpmn" targetNamespace="t">{before}'
        f'<process id="{key}" name="The {key}" isExecutable="true">{body}</process></definitions>'
    )


def sequence(*elements: str) -> str:
    """A start event, the elements (each with the id `e1`, `e2`, …) and an end event in a row."""
    found = ['<startEvent id="start"/>', *elements, '<endEvent id="end"/>']
    ids = ["start", *(f"e{n}" for n in range(1, len(elements) + 1)), "end"]
    flows = [
        f'<sequenceFlow id="f{n}" sourceRef="{one}" targetRef="{other}"/>'
        for n, (one, other) in enumerate(pairwise(ids))
    ]
    return "".join(found + flows)


ONE_TASK = bpmn(
    "one", sequence('<userTask id="e1" name="Approve" flowable:candidateUsers="kermit" flowable:priority="70"/>')
)
TWO_TASKS = bpmn("two", sequence('<userTask id="e1" name="First"/>', '<userTask id="e2" name="Second"/>'))
STRAIGHT = bpmn("straight", sequence('<manualTask id="e1"/>'))
RECEIVE = bpmn("receive", sequence('<receiveTask id="e1"/>', '<userTask id="e2" name="After"/>'))
MESSAGE = '<message id="m" name="paid"/>'
CATCH_MESSAGE = bpmn(
    "catching",
    sequence(
        '<intermediateCatchEvent id="e1"><messageEventDefinition messageRef="m"/></intermediateCatchEvent>',
        '<userTask id="e2" name="After"/>',
    ),
    MESSAGE,
)
START_BY_MESSAGE = bpmn(
    "ordered",
    '<startEvent id="start"><messageEventDefinition messageRef="m"/></startEvent>'
    '<sequenceFlow id="f" sourceRef="start" targetRef="t"/><userTask id="t" name="Pack"/>',
    '<message id="m" name="order"/>',
)
CATCH_SIGNAL = bpmn(
    "listening",
    sequence(
        '<intermediateCatchEvent id="e1"><signalEventDefinition signalRef="s"/></intermediateCatchEvent>',
        '<userTask id="e2" name="After"/>',
    ),
    '<signal id="s" name="alarm"/>',
)
CALLING = bpmn("calling", sequence('<callActivity id="e1" calledElement="catching"/>'))


@dataclass(slots=True)
class Mesh:
    """The services of one engine."""

    database: Database
    clock: ManualClock
    group: GroupCommit
    deployments: Deployments
    queries: SqlQueries
    definitions: DefinitionCache
    starting: Starting
    runtime: RuntimeServiceStub
    tasks: TaskServiceStub

    async def deploy(self, *documents: str, tenant_id: str = "") -> None:
        """Deploy each document by itself."""
        for document in documents:
            file = File(name="process.bpmn20.xml", data=document.encode())
            await self.deployments.deploy(Deploy(files=[file], name="test", tenant_id=tenant_id))

    async def start(self, key: str, **more: Any) -> str:
        """Start an instance and return its id; `variables` may be a dict."""
        found = await self.runtime.StartProcessInstance(
            rt.StartProcessInstanceRequest(
                process_definition_key=key, variables=variables(**more.pop("variables", {})), **more
            )
        )
        return found.id

    async def task(self, process_instance_id: str) -> task_pb2.Task:
        """The only open task of an instance."""
        found = await self.tasks.ListTasks(ts.ListTasksRequest(process_instance_id=process_instance_id))
        (task,) = found.data
        return task

    async def task_names(self, process_instance_id: str) -> list[str]:
        """Names of the open tasks of an instance."""
        found = await self.tasks.ListTasks(ts.ListTasksRequest(process_instance_id=process_instance_id))
        return sorted(task.name for task in found.data)

    async def execution_at(self, process_instance_id: str, activity_id: str) -> str:
        """The id of the only execution at an element."""
        found = await self.runtime.ListExecutions(
            rt.ListExecutionsRequest(process_instance_id=process_instance_id, activity_id=activity_id)
        )
        (execution,) = found.data
        return execution.id

    async def values(self, process_instance_id: str) -> dict[str, Any]:
        """The variables of an instance by name."""
        request = rt.ListProcessInstanceVariablesRequest(process_instance_id=process_instance_id)
        found = self.runtime.ListProcessInstanceVariables(request)
        return {variable.name: json_format.MessageToDict(variable.value) async for variable in found}


def variable(name: str, value: Any, type_name: str = "", scope: str = "") -> variable_pb2.Variable:
    """A variable of the contract."""
    found = variable_pb2.Variable(name=name, type=type_name or None, scope=scope or None)
    json_format.ParseDict(value, found.value)
    return found


def variables(**values: Any) -> list[variable_pb2.Variable]:
    """Variables without types."""
    return [variable(name, value) for name, value in values.items()]


@contextlib.contextmanager
def refusing(code: str, reason: str = "") -> Iterator[None]:
    """Expect an RPC to be refused with this code (and this reason)."""
    try:
        yield
    except grpc.aio.AioRpcError as failed:
        refusal = refusal_in(failed)
        found = (failed.code().name, refusal.reason if refusal is not None and reason else "")
        assert found == (code, reason), f"{failed.code().name}: {failed.details()}"
    else:
        raise AssertionError(f"expected {code}, found no refusal")


@contextlib.asynccontextmanager
async def running(folder: Path, url: str = "") -> AsyncIterator[Mesh]:
    """A started engine on an empty database, by default an SQLite file in the folder."""
    url = url or f"sqlite:///{folder / 'engine.db'}"
    settings = replace(DatabaseSettings(), url=url, sqlite_synchronous=Synchronous.NORMAL)
    database = open_database(settings)
    tables.metadata.create_all(database.engine)
    clock, ids = ManualClock(START), IdSource()
    store = SqlRepository(database, now=clock.now, new_id=ids.root)
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
    group = GroupCommit(lambda: SqlUnitOfWork(database), world, GroupCommitSettings(), writers=1)
    queries = SqlQueries(database, cache.by_id, clock)
    writes = SmallWrites(database, clock)
    starting = Starting(group, cache, queries, ids.root)
    group.listen(starting.committed, starting.HEARS)
    task_commands = TaskCommands(group, StandaloneTaskRows(writes, ids, clock.now, encode_events))
    local = LocalServer()
    server = GuardedServer((local,))
    add_RuntimeServiceServicer_to_server(
        RuntimeService(
            starting,
            InstanceChanges(group, cache, queries),
            ExecutionVariables(group, queries),
            Signalling(group, queries),
            Correlation(group, queries, starting),
            queries,
        ),
        server,
    )
    add_TaskServiceServicer_to_server(
        TaskService(
            task_commands,
            TaskVariables(task_commands, queries),
            TaskRemarks(CommentRows(writes, ids, clock.now, encode_events), queries),
            queries,
        ),
        server,
    )
    await group.start()
    await server.start()
    channel = LocalChannel(local)
    try:
        yield Mesh(
            database=database,
            clock=clock,
            group=group,
            deployments=Deployments(store, cache, group, REGISTRY, now=clock.now, new_id=ids.root),
            queries=queries,
            definitions=cache,
            starting=starting,
            runtime=RuntimeServiceStub(channel),
            tasks=TaskServiceStub(channel),
        )
    finally:
        await server.stop(None)
        await group.stop()
        queries.close()
        database.close()
