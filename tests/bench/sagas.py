"""Sagas: what the completion saga costs where nobody takes part, and how many sagas of two steps an engine drives.

On MariaDB at full durability, engine and participants each in a process of its own, client on the same machine. The
cost without participants is a ratio of two engines that take turns within one run: one with the saga, one without.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from flowloom.engine.v1 import runtime_service_pb2, runtime_service_pb2_grpc, saga_service_pb2, saga_service_pb2_grpc

from mesh.testing.mariadb import running_mariadb
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import ONE_TASK, deploy, drive, over_grpc
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import cpu_seconds

ROUNDS = 3
PAIRS, IN_FLIGHT = 1500, 64
SAGAS = 1500
SECONDS = 300.0
STRAIGHT = b"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="bench">
<process id="straight" isExecutable="true"><startEvent id="s"/><sequenceFlow id="f" sourceRef="s" targetRef="e"/>
<endEvent id="e"/></process></definitions>"""


def run() -> list[str]:
    return [*_cost(), *_two_steps()]


def _cost() -> list[str]:
    """Pairs of start and completion a second, with and without the rows of the completion saga."""

    off = {"FLOWLOOM_ENGINE_SAGAS_COMPLETION": "false", "FLOWLOOM_ACCESS_MODE": "off"}
    with (
        running_mariadb() as server,
        running_engine(server.create_database(), {"FLOWLOOM_ACCESS_MODE": "off"}) as with_sagas,
        running_engine(server.create_database(), off) as without,
    ):
        return asyncio.run(_take_turns(with_sagas, without, ONE_TASK, server.pid))


async def _take_turns(with_sagas: RunningEngine, without: RunningEngine, model: bytes, database: int) -> list[str]:
    rates: dict[str, list[float]] = {"with": [], "without": []}
    costs: dict[str, list[float]] = {"with": [], "without": []}
    async with (
        grpc.aio.insecure_channel(with_sagas.grpc) as first,
        grpc.aio.insecure_channel(without.grpc) as second,
    ):
        for channel in (first, second):
            await deploy(channel, "one.bpmn20.xml", model)
            await drive(over_grpc(channel), IN_FLIGHT, 300)
        for _ in range(ROUNDS):
            for name, channel, engine in (("with", first, with_sagas), ("without", second, without)):
                before = engine.cpu_seconds() + cpu_seconds(database)
                rates[name].append((await drive(over_grpc(channel), IN_FLIGHT, PAIRS)).pairs_a_second)
                costs[name].append((engine.cpu_seconds() + cpu_seconds(database) - before) / PAIRS * 1000)
    rate, bare = Rounds(tuple(rates["with"])), Rounds(tuple(rates["without"]))
    cost, bare_cost = Rounds(tuple(costs["with"])), Rounds(tuple(costs["without"]))
    return [
        ratio_line(
            "start + complete with the completion saga and no participants / without it",
            rate.median / bare.median,
            "≥ 0.9",
            f"{rate.shown('/s', 0)} and {bare.shown('/s', 0)}",
        ),
        ratio_line(
            "CPU of engine and database for the pair, with / without",
            cost.median / bare_cost.median,
            "≤ 1.1",
            f"{cost.shown('ms', 2)} and {bare_cost.shown('ms', 2)}",
        ),
    ]


@contextlib.contextmanager
def _participants() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="flowloom-bench-") as folder:
        command = [sys.executable, "-m", "tests.bench.saga_participants", folder]
        process = subprocess.Popen(command)
        try:
            address = Path(folder, "address")
            until = time.monotonic() + SECONDS
            while not address.exists():
                assert process.poll() is None and time.monotonic() < until, "the participants did not start"
                time.sleep(0.05)
            yield address.read_text()
        finally:
            process.kill()
            process.wait()


def _two_steps() -> list[str]:
    """Sagas of two steps, each with its effect behind a barrier, from the first start to the last end."""
    with (
        running_mariadb() as server,
        _participants() as address,
        running_engine(server.create_database(), {"FLOWLOOM_ACCESS_MODE": "off"}) as engine,
    ):
        return asyncio.run(_drive_sagas(engine, address, server.pid))


async def _drive_sagas(engine: RunningEngine, address: str, database: int) -> list[str]:
    rates, costs = [], []
    async with grpc.aio.insecure_channel(engine.grpc) as channel:
        sagas: Any = saga_service_pb2_grpc.SagaServiceStub(channel)
        runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        await deploy(channel, "straight.bpmn20.xml", STRAIGHT)
        for position, name in enumerate(("archive", "billing")):
            await sagas.RegisterSagaParticipant(
                saga_service_pb2.RegisterSagaParticipantRequest(name=name, target=address, position=position)
            )
        for n in range(ROUNDS + 1):
            began, before = time.perf_counter(), engine.cpu_seconds() + cpu_seconds(database)
            await _started(runtime, SAGAS)
            await _over(sagas)
            if n:
                rates.append(SAGAS / (time.perf_counter() - began))
                costs.append((engine.cpu_seconds() + cpu_seconds(database) - before) / SAGAS * 1000)
    rate, cost = Rounds(tuple(rates)), Rounds(tuple(costs))
    details = f"{rate.shown('/s', 0)}, {cost.shown('ms', 2)} of CPU (engine and database), starts included"
    return [ratio_line("sagas of two steps with a barrier, against 600/s", rate.median / 600, "≥ 1", details)]


async def _started(runtime: runtime_service_pb2_grpc.RuntimeServiceStub, count: int) -> None:
    """Start so many over a batch stream, so that the starts are not what is measured."""
    request = runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="straight")
    command = runtime_service_pb2.StartCommand(start=request)
    batches = [runtime_service_pb2.StartProcessInstancesRequest(commands=[command] * 100)] * (count // 100)
    answered = 0
    async for answer in runtime.StartProcessInstances(iter(batches)):
        assert not any(result.HasField("error") for result in answer.results)
        answered += len(answer.results)
    assert answered == count


async def _over(sagas: Any) -> None:
    request = saga_service_pb2.ListSagasRequest(open=True, size=0)
    while (await sagas.ListSagas(request)).total:  # noqa: ASYNC110 - another process has to end them
        await asyncio.sleep(0.05)
