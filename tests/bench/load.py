"""Load on a mesh: one-task instances started and completed, over gRPC or over REST, so many in flight."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import grpc
from flowloom.engine.v1 import (
    repository_service_pb2,
    repository_service_pb2_grpc,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)

ONE_TASK = b"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
    targetNamespace="bench"><process id="oneTask" isExecutable="true">
  <startEvent id="start"/><sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
  <userTask id="work" name="Work" flowable:assignee="kermit" flowable:taskIdVariableName="taskId"/>
  <sequenceFlow id="f2" sourceRef="work" targetRef="end"/><endEvent id="end"/>
</process></definitions>"""

Pair = Callable[[], Awaitable[tuple[float, float]]]
"""Starts an instance and completes its task; gives the two latencies in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a load gave: pairs of start and completion a second, and the median latencies in milliseconds."""

    pairs_a_second: float
    start_ms: float
    complete_ms: float


async def drive(pair: Pair, in_flight: int, pairs: int) -> Outcome:
    """Run so many pairs with so many in flight."""
    left = pairs
    latencies: list[tuple[float, float]] = []

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            latencies.append(await pair())

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(in_flight)))
    seconds = time.perf_counter() - began
    return Outcome(
        pairs_a_second=pairs / seconds,
        start_ms=statistics.median(start for start, _ in latencies) * 1000,
        complete_ms=statistics.median(complete for _, complete in latencies) * 1000,
    )


async def deploy(channel: grpc.aio.Channel, name: str, model: bytes) -> None:
    repository = repository_service_pb2_grpc.RepositoryServiceStub(channel)
    resource = repository_service_pb2.ResourceUpload(name=name, bytes=model)
    await repository.CreateDeployment(repository_service_pb2.CreateDeploymentRequest(resources=[resource], name=name))


class Starter:
    """The two calls by the generated stubs. The start's answer names the task, so that nothing has to be queried."""

    def __init__(self, channel: grpc.aio.Channel, key: str = "oneTask") -> None:
        self._runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        self._tasks = task_service_pb2_grpc.TaskServiceStub(channel)
        self._start = runtime_service_pb2.StartProcessInstanceRequest(process_definition_key=key, return_variables=True)

    async def start(self) -> str:
        """Start an instance; return the id of its task."""
        instance = await self._runtime.StartProcessInstance(self._start)
        return next(v.value.string_value for v in instance.variables if v.name == "taskId")

    async def complete(self, task_id: str) -> None:
        await self._tasks.CompleteTask(task_service_pb2.CompleteTaskRequest(task_id=task_id))

    async def start_many(self, in_flight: int, count: int) -> list[str]:
        """Start so many; return the ids of their tasks."""
        left = iter(range(count))

        async def client() -> list[str]:
            return [await self.start() for _ in left]

        return [task_id for found in await asyncio.gather(*(client() for _ in range(in_flight))) for task_id in found]

    async def complete_many(self, in_flight: int, task_ids: list[str]) -> None:
        left = iter(task_ids)

        async def client() -> None:
            for task_id in left:
                await self.complete(task_id)

        await asyncio.gather(*(client() for _ in range(in_flight)))


def over_grpc(channel: grpc.aio.Channel) -> Pair:
    """The pair by direct gRPC."""
    starter = Starter(channel)

    async def pair() -> tuple[float, float]:
        began = time.perf_counter()
        task_id = await starter.start()
        started = time.perf_counter()
        await starter.complete(task_id)
        return started - began, time.perf_counter() - started

    return pair


class RestClient:
    """A lean HTTP/1.1 client: one kept connection for each call in flight, since the client shares the machine."""

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: object) -> dict[str, object]:
        """Post JSON and give the JSON answer ({} for none). Raises RuntimeError for a status of 400 or more."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        payload = json.dumps(body).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(payload)}\r\n{self._headers}\r\n".encode()
            + payload
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        answer = await self._body(reader, head)
        self._idle.append((reader, writer))
        status = int(head.split(" ", 2)[1])
        if status >= 400:
            raise RuntimeError(f"{path}: {status} {answer!r}")
        return json.loads(answer) if answer else {}

    @staticmethod
    async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
        if "transfer-encoding: chunked" in head:
            parts = []
            while size := int((await reader.readline()).split(b";")[0], 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            await reader.readline()
            return b"".join(parts)
        length = next((line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")), "0")
        return await reader.readexactly(int(length))

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


def over_rest(client: RestClient) -> Pair:
    """The same pair with Flowable's paths and bodies, through the edge."""

    async def pair() -> tuple[float, float]:
        began = time.perf_counter()
        body = {"processDefinitionKey": "oneTask", "returnVariables": True}
        instance = await client.post("/process-api/runtime/process-instances", body)
        started = time.perf_counter()
        variables: list[dict[str, str]] = instance["variables"]  # type: ignore[assignment]
        task_id = next(v["value"] for v in variables if v["name"] == "taskId")
        await client.post(f"/process-api/runtime/tasks/{task_id}", {"action": "complete"})
        return started - began, time.perf_counter() - started

    return pair
