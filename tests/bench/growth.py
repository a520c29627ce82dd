"""Cost for each command as the number of open instances grows, and for a parallel multi-instance as it gets wider."""

import asyncio
import time

import grpc
from flowloom.engine.v1 import (
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    variable_pb2,
)

from mesh.testing.mariadb import running_mariadb
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import ONE_TASK, deploy, drive, over_grpc
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import cpu_seconds

FEW, MANY = 1_000, 300_000
PAIRS = 2000
ROUNDS = 3
CALLED = 100
WIDE, NARROW = 1000, 10

MANY_TASKS = b"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="bench">
<process id="manyTasks" isExecutable="true">
  <startEvent id="start"/><sequenceFlow id="f1" sourceRef="start" targetRef="work"/>
  <userTask id="work" name="Work"><multiInstanceLoopCharacteristics isSequential="false">
    <loopCardinality>${width}</loopCardinality></multiInstanceLoopCharacteristics></userTask>
  <sequenceFlow id="f2" sourceRef="work" targetRef="end"/><endEvent id="end"/>
</process></definitions>"""


MANY_CALLS = f"""<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="bench">
<process id="manyCalls" isExecutable="true">
  <startEvent id="start"/><sequenceFlow id="f1" sourceRef="start" targetRef="call"/>
  <callActivity id="call" calledElement="oneTask"><multiInstanceLoopCharacteristics isSequential="false">
    <loopCardinality>{CALLED}</loopCardinality></multiInstanceLoopCharacteristics></callActivity>
  <sequenceFlow id="f2" sourceRef="call" targetRef="end"/><endEvent id="end"/>
</process></definitions>""".encode()
"""Calls the measured process many times, so that hundreds of thousands of its instances are opened in minutes."""


def run() -> list[str]:
    with running_mariadb() as server, running_engine(server.create_database()) as engine:
        return asyncio.run(_measure(engine, server.pid))


async def _measure(engine: RunningEngine, database_pid: int) -> list[str]:
    async with grpc.aio.insecure_channel(engine.grpc) as channel:
        await deploy(channel, "one-task.bpmn20.xml", ONE_TASK)
        await deploy(channel, "many-tasks.bpmn20.xml", MANY_TASKS)
        await deploy(channel, "many-calls.bpmn20.xml", MANY_CALLS)
        await drive(over_grpc(channel), 64, 500)
        lines = [await _width(channel)]
        await _open(channel, FEW)
        few = await _cost(channel, engine, database_pid)
        await _open(channel, MANY - FEW)
        many = await _cost(channel, engine, database_pid)
        details = f"{many.shown('ms', 2)} against {few.shown('ms', 2)} of CPU for a start and a completion"
        lines.append(
            ratio_line(f"cost with {MANY:,} open instances against {FEW:,}", many.median / few.median, "≤ 1.3", details)
        )
        return lines


async def _cost(channel: grpc.aio.Channel, engine: RunningEngine, database_pid: int) -> Rounds:
    figures = []
    for _ in range(ROUNDS):
        before = engine.cpu_seconds() + cpu_seconds(database_pid)
        await drive(over_grpc(channel), 64, PAIRS)
        figures.append((engine.cpu_seconds() + cpu_seconds(database_pid) - before) / PAIRS * 1000)
    return Rounds(tuple(figures))


async def _open(channel: grpc.aio.Channel, count: int) -> None:
    """Open so many instances of the measured process, each called by one of a few others."""
    runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
    request = runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="manyCalls")
    left = iter(range(count // CALLED))

    async def client() -> None:
        for _ in left:
            await runtime.StartProcessInstance(request)

    await asyncio.gather(*(client() for _ in range(8)))
    found = await runtime.ListProcessInstances(
        runtime_service_pb2.ListProcessInstancesRequest(process_definition_key="oneTask", size=1)
    )
    assert found.total >= count, f"expected at least {count} open instances, found {found.total}"


async def _width(channel: grpc.aio.Channel) -> str:
    await _complete_all(channel, NARROW)
    wide = Rounds(tuple([await _complete_all(channel, WIDE) for _ in range(ROUNDS)]))
    narrow = Rounds(tuple([await _complete_all(channel, NARROW) for _ in range(ROUNDS * 10)]))
    details = f"{wide.shown('ms', 2)} against {narrow.shown('ms', 2)} for a completion, one after the other"
    return ratio_line(
        f"parallel multi-instance of {WIDE} against {NARROW}", wide.median / narrow.median, "≤ 3", details
    )


async def _complete_all(channel: grpc.aio.Channel, width: int) -> float:
    """Milliseconds for one completion when all tasks of an instance are completed one after the other."""
    runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
    tasks = task_service_pb2_grpc.TaskServiceStub(channel)
    variable = variable_pb2.Variable(name="width", type="integer")
    variable.value.number_value = width
    instance = await runtime.StartProcessInstance(
        runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="manyTasks", variables=[variable])
    )
    listed = await tasks.ListTasks(task_service_pb2.ListTasksRequest(process_instance_id=instance.id, size=width))
    assert len(listed.data) == width
    began = time.perf_counter()
    for task in listed.data:
        await tasks.CompleteTask(task_service_pb2.CompleteTaskRequest(task_id=task.id))
    return (time.perf_counter() - began) / width * 1000
