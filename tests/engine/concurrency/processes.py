"""Engines in processes of their own on one database, and many clients that reach for the same things at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from flowloom.engine.v1 import job_pb2, task_pb2
from flowloom.engine.v1 import management_service_pb2 as management_pb
from flowloom.engine.v1 import management_service_pb2_grpc as management_grpc
from flowloom.engine.v1 import repository_service_pb2 as repository_pb
from flowloom.engine.v1 import repository_service_pb2_grpc as repository_grpc
from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb
from flowloom.engine.v1 import runtime_service_pb2_grpc as runtime_grpc
from flowloom.engine.v1 import task_service_pb2 as tasks_pb
from flowloom.engine.v1 import task_service_pb2_grpc as task_grpc

from mesh.testing.ports import free_port
from tests.faults.embedded import variables

CLIENTS = 32
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
SOON_SECONDS = 15.0
"""Within which what runs by itself (a job, a delivery) has happened."""
OK, NOT_FOUND, FAILED_PRECONDITION = "OK", "NOT_FOUND", "FAILED_PRECONDITION"


@contextlib.contextmanager
def running_engines(url: str, processes: int) -> Iterator[list[str]]:
    """Start engines on a database, and give their addresses; they migrate and may be asked at once."""
    ports = [free_port() for _ in range(processes)]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="flowloom-engines-"))
        for port in ports:
            stack.enter_context(_running_engine(url, port, Path(folder, f"engine-{port}.log")))
        yield [f"127.0.0.1:{port}" for port in ports]


@contextlib.contextmanager
def _running_engine(url: str, port: int, log: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "FLOWLOOM_ENGINE_DATABASE_URL": url,
        "FLOWLOOM_SERVER_PORT": str(port),
        "FLOWLOOM_SERVER_LAME_DUCK_SECONDS": "0",
        # This is about the engine alone: nobody logs in.
        "FLOWLOOM_ACCESS_MODE": "off",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "host", "serve", "engine"], stdout=output, stderr=output, env=environment
        )
    try:
        yield
        assert process.poll() is None, f"expected the engine to live, found:\n{log.read_text()[-4000:]}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, slots=True)
class Engine:
    """The stubs of one engine process."""

    repository: repository_grpc.RepositoryServiceStub
    runtime: runtime_grpc.RuntimeServiceStub
    tasks: task_grpc.TaskServiceStub
    management: management_grpc.ManagementServiceStub


class Crowd:
    """Clients that take turns with the engines."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self.engines = [
            Engine(
                repository_grpc.RepositoryServiceStub(channel),
                runtime_grpc.RuntimeServiceStub(channel),
                task_grpc.TaskServiceStub(channel),
                management_grpc.ManagementServiceStub(channel),
            )
            for channel in channels
        ]

    def engine(self, number: int = 0) -> Engine:
        """The engine that client asks."""
        return self.engines[number % len(self.engines)]

    async def together(
        self, calls: Iterable[Callable[[Engine], Awaitable[Any]]], *, allowed: Sequence[str] = (OK,)
    ) -> Counter[str]:
        """Make calls at once, each at another engine than the one before, and count their statuses.

        Fails if there is one that is not allowed: a conflict that a caller would have to deal with.
        """

        async def one(number: int, call: Callable[[Engine], Awaitable[Any]]) -> tuple[str, str]:
            try:
                await call(self.engine(number))
            except grpc.aio.AioRpcError as error:
                return error.code().name, str(error.details())
            return OK, ""

        found = await asyncio.gather(*(one(number, call) for number, call in enumerate(calls)))
        wrong = [status for status in found if status[0] not in allowed]
        assert wrong == [], f"expected only {allowed}, found {wrong[:5]}"
        return Counter(code for code, _ in found)

    async def deploy(self, *documents: str) -> None:
        """Deploy documents, unless they are there."""
        for document in documents:
            upload = repository_pb.ResourceUpload(name="process.bpmn20.xml", bytes=document.encode())
            request = repository_pb.CreateDeploymentRequest(
                resources=[upload], name=str(hash(document)), enable_duplicate_filtering=True
            )
            await self.engine().repository.CreateDeployment(request)

    async def start(self, key: str, *, number: int = 0, business_key: str = "", **values: Any) -> str:
        """Start an instance; returns its id."""
        request = runtime_pb.StartProcessInstanceRequest(
            process_definition_key=key, business_key=business_key, variables=variables(**values)
        )
        return str((await self.engine(number).runtime.StartProcessInstance(request)).id)

    async def open_tasks(self, instance_id: str, name: str = "") -> list[task_pb2.Task]:
        """The open tasks of an instance."""
        request = tasks_pb.ListTasksRequest(process_instance_id=instance_id, size=1000)
        found = (await self.engine().tasks.ListTasks(request)).data
        return [task for task in found if not name or task.name == name]

    async def timers(self, instance_id: str) -> list[job_pb2.Job]:
        """The waiting timers of an instance."""
        request = management_pb.ListJobsRequest(process_instance_id=instance_id, kind="timer-jobs")
        return list((await self.engine().management.ListJobs(request)).data)

    async def runs(self, instance_id: str) -> bool:
        """Tell whether an instance is still there."""
        request = runtime_pb.ListProcessInstancesRequest(id=instance_id)
        return bool((await self.engine().runtime.ListProcessInstances(request)).data)

    async def until_ended(self, instance_id: str) -> None:
        """Wait for an instance that ends by itself."""
        async with asyncio.timeout(SOON_SECONDS):
            while True:
                if not await self.runs(instance_id):
                    return
                await asyncio.sleep(0.02)

    async def check(self) -> None:
        """The engine's own check must find nothing."""
        answer = await self.engine().management.CheckConsistency(management_pb.CheckConsistencyRequest())
        assert [str(finding) for finding in answer.findings] == []


def complete(task_id: str, *, request_id: str = "", **values: Any) -> Callable[[Engine], Awaitable[Any]]:
    """A client's wish to complete a task."""
    request = tasks_pb.CompleteTaskRequest(task_id=task_id, variables=variables(**values), request_id=request_id)
    return lambda engine: engine.tasks.CompleteTask(request)


def claim(task_id: str, user: str) -> Callable[[Engine], Awaitable[Any]]:
    """A client's wish to claim a task."""
    request = tasks_pb.ClaimTaskRequest(task_id=task_id, assignee=user)
    return lambda engine: engine.tasks.ClaimTask(request)


@contextlib.asynccontextmanager
async def crowd_of(addresses: Sequence[str]) -> AsyncIterator[Crowd]:
    """Clients of these engines, once all of them answer."""
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address)) for address in addresses]
        async with asyncio.timeout(READY_SECONDS):
            for channel in channels:
                await channel.channel_ready()
        yield Crowd(channels)
