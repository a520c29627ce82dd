"""What the caches bring: the same engine with and without each of them, side by side, on MariaDB and Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
from flowloom.engine.v1 import task_service_pb2, task_service_pb2_grpc

from mesh.testing.mariadb import running_mariadb
from mesh.testing.redis import running_redis
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import ONE_TASK, Starter, deploy
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import cpu_seconds

ROUNDS = 5
ASKS = 1000
IN_FLIGHT = 16
OPEN_TASKS = 300
WITHOUT_LISTS = {"FLOWLOOM_ENGINE_TASKS_CACHED_SECONDS": "0"}
WITHOUT_DEFINITIONS = {"FLOWLOOM_ENGINE_DEFINITIONS_KEPT_SECONDS": "1", "FLOWLOOM_ENGINE_DEFINITIONS_KEPT": "1"}


def run() -> list[str]:
    """Open tasks of a user; compiled definitions. Permissions are measured by `access`."""
    with running_mariadb() as server, running_redis() as redis:
        url, cache = server.create_database(), {"FLOWLOOM_CACHE_URL": redis.url}
        with running_engine(url, cache) as cached, running_engine(url, {**cache, **WITHOUT_LISTS}) as plain:
            lines = asyncio.run(_lists(cached, plain, server.pid))
        with running_engine(url, cache) as cached, running_engine(url, {**cache, **WITHOUT_DEFINITIONS}) as plain:
            return lines + asyncio.run(_definitions(cached, plain, server.pid))


async def _lists(cached: RunningEngine, plain: RunningEngine, database_pid: int) -> list[str]:
    async with grpc.aio.insecure_channel(cached.grpc) as one, grpc.aio.insecure_channel(plain.grpc) as other:
        await deploy(one, "one-task.bpmn20.xml", ONE_TASK)
        await Starter(one).start_many(IN_FLIGHT, OPEN_TASKS)

        def asking(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
            stub = task_service_pb2_grpc.TaskServiceStub(channel)
            request = task_service_pb2.ListTasksRequest(assignee="kermit", size=25)
            return lambda: stub.ListTasks(request)

        return await _compared(
            "a user's open tasks, cached against read", asking(one), asking(other), cached, plain, database_pid
        )


async def _definitions(cached: RunningEngine, plain: RunningEngine, database_pid: int) -> list[str]:
    async with grpc.aio.insecure_channel(cached.grpc) as one, grpc.aio.insecure_channel(plain.grpc) as other:
        # Two definitions by turns: where only one is kept, each start needs the other one.
        second = ONE_TASK.replace(b'id="oneTask"', b'id="oneTaskMore"')
        await deploy(one, "one-task.bpmn20.xml", ONE_TASK)
        await deploy(one, "one-task-more.bpmn20.xml", second)

        def starting(channel: grpc.aio.Channel) -> Callable[[], Awaitable[object]]:
            keys = ["oneTask", "oneTaskMore"]
            starters = [Starter(channel, key) for key in keys]
            turn = 0

            def start() -> Awaitable[object]:
                nonlocal turn
                turn += 1
                return starters[turn % 2].start()

            return start

        return await _compared(
            "compiled definitions, kept against loaded each time",
            starting(one),
            starting(other),
            cached,
            plain,
            database_pid,
        )


async def _compared(
    name: str,
    first: Callable[[], Awaitable[object]],
    second: Callable[[], Awaitable[object]],
    cached: RunningEngine,
    plain: RunningEngine,
    database_pid: int,
) -> list[str]:
    rates: tuple[list[float], list[float]] = ([], [])
    costs: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for place, (ask, engine) in enumerate(((first, cached), (second, plain))):
            before = engine.cpu_seconds() + cpu_seconds(database_pid)
            began = time.perf_counter()
            await _ask(ask)
            rates[place].append(ASKS / (time.perf_counter() - began))
            costs[place].append((engine.cpu_seconds() + cpu_seconds(database_pid) - before) / ASKS * 1000)
    fast, slow = (Rounds(tuple(found)) for found in rates)
    cheap, dear = (Rounds(tuple(found)) for found in costs)
    shown = f"{fast.shown('calls/s', 0)} against {slow.shown('calls/s', 0)}"
    return [
        ratio_line(
            name,
            fast.median / slow.median,
            "none",
            f"{shown}; CPU {cheap.shown('ms', 2)} against {dear.shown('ms', 2)}",
        )
    ]


async def _ask(ask: Callable[[], Awaitable[object]]) -> None:
    left = iter(range(ASKS))

    async def client() -> None:
        for _ in left:
            await ask()

    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
