"""An engine behind the real check of access, and people who call it with tokens of their own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import grpc
from flowloom.engine.v1 import (
    external_worker_service_pb2_grpc,
    management_service_pb2_grpc,
    repository_service_pb2_grpc,
    runtime_service_pb2_grpc,
    task_service_pb2_grpc,
)
from flowloom.engine.v1 import repository_service_pb2 as rp
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts

from engine.service import EngineService, EngineSettings
from engine.settings import TaskSettings
from mesh.access.contract import read_rules
from mesh.clock import SystemClock
from mesh.db.database import DatabaseSettings, Synchronous
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import refusal_in
from mesh.testing.access import IdentityForTests
from tests.engine.rpc.world import bpmn, sequence, variable

RULES = read_rules(files("flowloom").joinpath("descriptors.pb").read_bytes())
ONE = bpmn(
    "one",
    sequence(
        '<userTask id="e1" name="Approve" flowable:candidateUsers="kermit" flowable:candidateGroups="frogs"/>',
        '<userTask id="e2" name="After"/>',
    ),
)
OFFERED = bpmn("offered", sequence('<userTask id="e1"/>')).replace(
    '<process id="offered"',
    '<process id="offered" flowable:candidateStarterUsers="kermit" flowable:candidateStarterGroups="frogs"',
)
WORKER = bpmn("worked", sequence('<serviceTask id="e1" flowable:type="external-worker" flowable:topic="parcels"/>'))
WAITING = bpmn(
    "waiting",
    sequence(
        '<intermediateCatchEvent id="e1"><messageEventDefinition messageRef="m"/></intermediateCatchEvent>',
    ),
    '<message id="m" name="paid"/>',
)
TIMED = bpmn(
    "timed",
    sequence(
        '<intermediateCatchEvent id="e1"><timerEventDefinition><timeDuration>PT1H</timeDuration>'
        "</timerEventDefinition></intermediateCatchEvent>"
    ),
)


class Person:
    """Calls the engine with a token."""

    def __init__(self, channel: LocalChannel, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self.runtime: Any = _Signed(runtime_service_pb2_grpc.RuntimeServiceStub(channel), self._metadata)
        self.tasks: Any = _Signed(task_service_pb2_grpc.TaskServiceStub(channel), self._metadata)
        self.repository: Any = _Signed(repository_service_pb2_grpc.RepositoryServiceStub(channel), self._metadata)
        self.management: Any = _Signed(management_service_pb2_grpc.ManagementServiceStub(channel), self._metadata)
        self.workers: Any = _Signed(external_worker_service_pb2_grpc.ExternalWorkerServiceStub(channel), self._metadata)

    async def deploy(self, *documents: str, tenant_id: str = "") -> str:
        uploads = [
            rp.ResourceUpload(name=f"p{n}.bpmn20.xml", bytes=document.encode()) for n, document in enumerate(documents)
        ]
        found = await self.repository.CreateDeployment(
            rp.CreateDeploymentRequest(resources=uploads, name="test", tenant_id=tenant_id)
        )
        return str(found.id)

    async def start(self, key: str, **more: Any) -> Any:
        return await self.runtime.StartProcessInstance(
            rt.StartProcessInstanceRequest(
                process_definition_key=key, variables=[variable("amount", 5, "integer")], **more
            )
        )

    async def tasks_of(self, **filters: Any) -> list[Any]:
        return list((await self.tasks.ListTasks(ts.ListTasksRequest(**filters))).data)


class _Signed:
    """A stub whose every call carries metadata."""

    def __init__(self, stub: Any, metadata: Sequence[tuple[str, str]]) -> None:
        self._stub = stub
        self._given = metadata

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)
        return lambda request: method(request, metadata=self._given)


@dataclass(slots=True)
class World:
    """The engine, its identity, and whoever calls."""

    service: EngineService
    identity: IdentityForTests
    channel: LocalChannel

    def person(self, user_id: str, *privileges: str, tenant_id: str = "", groups: Sequence[str] = ()) -> Person:
        """Let somebody exist, and call."""
        self.identity.allow(user_id, *privileges, tenant_id=tenant_id, groups=groups)
        return Person(self.channel, self.identity.token(user_id))


class Groups:
    """The groups of whoever the identity of tests knows."""

    def __init__(self, identity: IdentityForTests) -> None:
        self._identity = identity

    async def groups_of(self, user_id: str) -> tuple[str, ...]:
        return (await self._identity.permissions(user_id)).groups


@contextlib.asynccontextmanager
async def running(url: str, *, restricted: bool = True) -> AsyncIterator[World]:
    """Start an engine on an empty database."""
    identity = IdentityForTests()
    database = replace(DatabaseSettings(), url=url, sqlite_synchronous=Synchronous.NORMAL)
    settings = replace(EngineSettings(), database=database, tasks=TaskSettings(restricted=restricted))
    service = EngineService(settings, clock=SystemClock(), groups=Groups(identity))
    local = LocalServer()
    service.add_to(GuardedServer((local,), access=identity.control(RULES, refusal_seconds=0.0)))
    await service.start()
    await local.start()
    channel = LocalChannel(local)
    try:
        yield World(service=service, identity=identity, channel=channel)
    finally:
        await channel.close()
        await local.stop(None)
        await service.stop()


async def outcome(call: Any) -> str:
    """`ok`, or the code and reason of the refusal; of a stream, of all of it."""
    try:
        if hasattr(call, "__aiter__") and not hasattr(call, "__await__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as failed:
        refused = refusal_in(failed)
        return f"{failed.code().name} {refused.reason if refused is not None else failed.details()}"
    return "ok"
