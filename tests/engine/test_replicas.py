"""Two engines on one database and one Redis: what one of them caches, a change by the other one reaches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from flowloom.engine.v1 import repository_service_pb2 as rp
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts
from flowloom.engine.v1.process_instance_pb2 import ProcessInstance
from flowloom.engine.v1.repository_service_pb2_grpc import RepositoryServiceStub
from flowloom.engine.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from flowloom.engine.v1.task_service_pb2_grpc import TaskServiceStub

from engine.service import EngineService, EngineSettings
from engine.settings import DefinitionSettings
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.clock import SystemClock
from mesh.db.database import DatabaseSettings
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from mesh.testing.mariadb import MariaDb, running_mariadb
from mesh.testing.redis import Redis, running_redis

pytestmark = pytest.mark.mariadb

MODEL = """<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
  targetNamespace="t"><process id="inbox" name="{name}" isExecutable="true"><startEvent id="s"/>
  <userTask id="a" name="Read" flowable:assignee="${{who}}"/><sequenceFlow id="f" sourceRef="s" targetRef="a"/>
  <boundaryEvent id="b" attachedToRef="a"><messageEventDefinition messageRef="m"/></boundaryEvent>
  <endEvent id="e"/><sequenceFlow id="g" sourceRef="b" targetRef="e"/></process>
  <message id="m" name="enough"/></definitions>"""


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    with running_mariadb() as found:
        yield found


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with running_redis() as found:
        yield found


@dataclass(slots=True)
class Replica:
    """One engine, with its stubs."""

    caches: Caches
    repository: RepositoryServiceStub
    runtime: RuntimeServiceStub
    tasks: TaskServiceStub

    async def deploy(self, name: str) -> None:
        model = rp.ResourceUpload(name="inbox.bpmn20.xml", bytes=MODEL.format(name=name).encode())
        await self.repository.CreateDeployment(rp.CreateDeploymentRequest(resources=[model]))

    async def start(self, who: str) -> ProcessInstance:
        request = rt.StartProcessInstanceRequest(process_definition_key="inbox")
        variable = request.variables.add(name="who")
        variable.value.string_value = who
        return await self.runtime.StartProcessInstance(request)

    async def inbox(self, who: str) -> list[str]:
        found = await self.tasks.ListTasks(ts.ListTasksRequest(assignee=who, size=100))
        return [task.id for task in found.data]

    def has_told_redis(self) -> bool:
        remote = self.caches._remote
        return remote is not None and not remote._pending

    def answered_by(self, level: str) -> int:
        return int(getattr(self.caches._caches["open-tasks"], level))


@asynccontextmanager
async def replica(url: str, redis_url: str) -> AsyncIterator[Replica]:
    settings = EngineSettings(
        database=replace(DatabaseSettings(), url=url),
        # Nothing but the news tells of a deployment in time.
        definitions=replace(DefinitionSettings(), fresh_seconds=3600.0),
    )
    caches = Caches(CacheSettings(url=redis_url), alone=False)
    engine = EngineService(settings, clock=SystemClock(), caches=caches)
    local = LocalServer()
    guarded = GuardedServer((local,))
    engine.add_to(guarded)
    await caches.start()
    await engine.start()
    await guarded.start()
    channel = LocalChannel(local)
    try:
        await until(lambda: caches.attached)
        yield Replica(caches, RepositoryServiceStub(channel), RuntimeServiceStub(channel), TaskServiceStub(channel))
    finally:
        await guarded.stop(None)
        await engine.stop()
        await caches.stop()


@pytest.fixture
async def replicas(server: MariaDb, redis: Redis) -> AsyncIterator[tuple[Replica, Replica]]:
    redis.restart()  # empty
    url = server.create_database()
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(replica(url, redis.url)),
            await stack.enter_async_context(replica(url, redis.url)),
        )


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - the other side tells nobody
            await asyncio.sleep(0.001)


async def took(until_true: Callable[[], Awaitable[bool]], seconds: float = 30) -> float:
    """Seconds until it is true."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await until_true():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    return time.monotonic() - began


async def test_an_inbox_is_cached_for_all_replicas_until_it_changes_anywhere(replicas: tuple[Replica, Replica]) -> None:
    one, two = replicas
    await one.deploy("first")
    await one.start("kermit")
    await until(one.has_told_redis)  # before that, whoever changed something does not ask Redis about it
    inbox = await one.inbox("kermit")
    assert await two.inbox("kermit") == inbox
    assert await two.inbox("kermit") == inbox
    assert (one.answered_by("source"), two.answered_by("redis"), two.answered_by("memory")) == (1, 1, 1)

    seconds: list[float] = []
    for _ in range(5):
        before = await two.inbox("kermit")
        await one.start("kermit")
        assert len(await one.inbox("kermit")) == len(before) + 1  # whoever changes it sees it at once

        async def grown(was: int = len(before)) -> bool:
            return len(await two.inbox("kermit")) > was

        seconds.append(await took(grown))
    assert sorted(seconds)[2] < 0.1


async def test_whatever_takes_a_task_away_empties_the_inbox_at_once(replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    await one.deploy("first")

    async def inbox_after(change: Callable[[str, str], Awaitable[object]]) -> list[str]:
        instance = await one.start("kermit")
        (task_id,) = await one.inbox("kermit")
        await change(instance.id, task_id)
        return await one.inbox("kermit")

    assert await inbox_after(lambda _, t: one.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=t))) == []
    assert (
        await inbox_after(lambda _, t: one.tasks.AssignTask(ts.AssignTaskRequest(task_id=t, assignee="fozzie"))) == []
    )
    assert len(await one.inbox("fozzie")) == 1
    assert await inbox_after(lambda _, t: one.tasks.UnclaimTask(ts.UnclaimTaskRequest(task_id=t))) == []
    delete = rt.DeleteProcessInstanceRequest
    assert await inbox_after(lambda i, _: one.runtime.DeleteProcessInstance(delete(process_instance_id=i))) == []
    # The task itself is not loaded when an event takes its activity away, so nobody could say whose it was.
    message = rt.CorrelateMessageRequest
    assert (
        await inbox_after(
            lambda i, _: one.runtime.CorrelateMessage(message(message_name="enough", process_instance_id=i))
        )
        == []
    )


async def test_a_deployment_is_known_to_the_other_replica_within_100_milliseconds(
    replicas: tuple[Replica, Replica],
) -> None:
    one, two = replicas
    await one.deploy("version 1")
    await two.start("kermit")
    seconds: list[float] = []
    for number in range(2, 7):
        await one.deploy(f"version {number}")

        async def newest(wanted: str = f"version {number}") -> bool:
            return (await two.start("kermit")).process_definition_name == wanted

        seconds.append(await took(newest))

    assert sorted(seconds)[2] < 0.1
    files = two.caches._caches["definition-files"]
    assert files.redis + files.source == 6
