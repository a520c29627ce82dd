"""Batch streams against unary calls: the pair of start and completion of a user task, on MariaDB, in one run.

Unary: 64 calls in flight. Streams: one stream of starts and one of completions, 64 commands in a message, so many
messages in flight that the engine is never without. Rounds of both take turns on one engine.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
from flowloom.engine.v1 import (
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)

from mesh.testing.mariadb import running_mariadb
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import ONE_TASK, deploy, drive, over_grpc
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import cpu_seconds

ROUNDS = 4
PAIRS, IN_FLIGHT = 2048, 64
BATCH, BATCHES_IN_FLIGHT = 64, 4
UNARY, STREAMS = "unary", "streams"


def run() -> list[str]:
    with (
        running_mariadb() as server,
        running_engine(server.create_database(), {"FLOWLOOM_ACCESS_MODE": "off"}) as engine,
    ):
        return asyncio.run(_measure(engine, server.pid))


async def _measure(engine: RunningEngine, database: int) -> list[str]:
    rates: dict[str, list[float]] = {UNARY: [], STREAMS: []}
    costs: dict[str, list[float]] = {UNARY: [], STREAMS: []}
    async with grpc.aio.insecure_channel(engine.grpc) as channel:
        await deploy(channel, "one.bpmn20.xml", ONE_TASK)
        for n in range(ROUNDS + 1):
            for name in (UNARY, STREAMS):
                began, before = time.perf_counter(), engine.cpu_seconds() + cpu_seconds(database)
                if name == UNARY:
                    await drive(over_grpc(channel), IN_FLIGHT, PAIRS)
                else:
                    await _over_streams(channel, PAIRS)
                if n:
                    rates[name].append(PAIRS / (time.perf_counter() - began))
                    costs[name].append((engine.cpu_seconds() + cpu_seconds(database) - before) / PAIRS * 1000)
    unary, streams = Rounds(tuple(rates[UNARY])), Rounds(tuple(rates[STREAMS]))
    unary_cost, cost = Rounds(tuple(costs[UNARY])), Rounds(tuple(costs[STREAMS]))
    return [
        ratio_line(
            "start + complete over batch streams / unary with 64 in flight",
            streams.median / unary.median,
            "≥ 2",
            f"{streams.shown('/s', 0)} and {unary.shown('/s', 0)}",
        ),
        ratio_line(
            "CPU of engine and database for the pair, streams / unary",
            cost.median / unary_cost.median,
            "smaller is better",
            f"{cost.shown('ms', 2)} and {unary_cost.shown('ms', 2)}",
        ),
    ]


class _Pairs:
    """A load of pairs: every started instance's task goes straight to the stream of completions."""

    def __init__(self, channel: grpc.aio.Channel, count: int) -> None:
        self._runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        self._stub = task_service_pb2_grpc.TaskServiceStub(channel)
        self._count = count
        self._tasks: asyncio.Queue[list[str]] = asyncio.Queue()
        self._room = asyncio.Semaphore(BATCHES_IN_FLIGHT)

    async def starts(self) -> AsyncIterator[runtime_service_pb2.StartProcessInstancesRequest]:
        start = runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="oneTask", return_variables=True)
        command = runtime_service_pb2.StartCommand(start=start)
        message = runtime_service_pb2.StartProcessInstancesRequest(commands=[command] * BATCH)
        for _ in range(self._count // BATCH):
            await self._room.acquire()
            yield message

    async def start(self) -> None:
        answered = 0
        async for answer in self._runtime.StartProcessInstances(self.starts()):
            found = [
                next(v.value.string_value for v in result.process_instance.variables if v.name == "taskId")
                for result in answer.results
            ]
            self._tasks.put_nowait(found)
            answered += len(found)
            while answered >= BATCH:
                answered -= BATCH
                self._room.release()

    async def completions(self) -> AsyncIterator[task_service_pb2.CompleteTasksRequest]:
        seen = 0
        while seen < self._count:
            found = await self._tasks.get()
            seen += len(found)
            yield task_service_pb2.CompleteTasksRequest(
                commands=[
                    task_service_pb2.CompleteCommand(complete=task_service_pb2.CompleteTaskRequest(task_id=task))
                    for task in found
                ]
            )

    async def complete(self) -> None:
        answered = 0
        async for answer in self._stub.CompleteTasks(self.completions()):
            assert not any(result.HasField("error") for result in answer.results)
            answered += len(answer.results)
        assert answered == self._count, f"expected {self._count} completions, found {answered}"


async def _over_streams(channel: grpc.aio.Channel, count: int) -> None:
    pairs = _Pairs(channel, count)
    await asyncio.gather(pairs.start(), pairs.complete())
