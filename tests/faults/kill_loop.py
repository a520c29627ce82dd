"""kill -9 under load, again and again: every acknowledged command is there, none happened twice.

Each client starts an instance and completes its two tasks at once, so that they meet in a join, all with request ids of
their own, and writes down what was acknowledged. The mesh is killed in the middle. After the restart every open
command is sent again with its request id, and at the end each instance must have existed exactly once.
"""

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field

import grpc
from flowloom.engine.v1 import (
    management_service_pb2,
    management_service_pb2_grpc,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)
from flowloom.history.v1 import history_service_pb2, history_service_pb2_grpc

from tests.bench.load import deploy
from tests.faults import models
from tests.mesh_process import RunningMesh, running_mesh

CLIENTS = 16
SIDES = ("left", "right")
TWO_SIDES = models.bpmn(
    "twoSides",
    '<startEvent id="start"/><parallelGateway id="fork"/><parallelGateway id="join"/><endEvent id="end"/>'
    + "".join(f'<userTask id="{side}" flowable:taskIdVariableName="{side}"/>' for side in SIDES)
    + models.flows(("start", "fork"), ("join", "end"))
    + models.flows(*(("fork", side) for side in SIDES), *((side, "join") for side in SIDES)),
)
HISTORY_SECONDS = 60


@dataclass(slots=True)
class Work:
    """One instance's life as its client knows it."""

    key: str = field(default_factory=lambda: secrets.token_hex(16))
    instance_id: str = ""
    task_ids: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    wrong: str = ""

    @property
    def completed(self) -> bool:
        return len(self.done) == len(SIDES)


@dataclass(slots=True)
class Tally:
    """What happened in all."""

    kills: int = 0
    works: list[Work] = field(default_factory=list)
    open: list[Work] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def run(database_url: str, history_url: str, kills: int, seed: int) -> Tally:
    """Kill so many times, then check everything. `findings` of the tally is empty if nothing was lost or doubled."""
    chance = random.Random(seed)
    tally = Tally()
    for _ in range(kills):
        with running_mesh(database_url=database_url, history_url=history_url) as mesh:
            asyncio.run(_load_and_kill(mesh, tally, chance.uniform(0.3, 1.2)))
        tally.kills += 1
    with running_mesh(database_url=database_url, history_url=history_url) as mesh:
        asyncio.run(_settle(mesh, tally))
    return tally


async def _load_and_kill(mesh: RunningMesh, tally: Tally, seconds: float) -> None:
    async with grpc.aio.insecure_channel(mesh.grpc) as channel:
        if not tally.works:
            await deploy(channel, "two-sides.bpmn20.xml", TWO_SIDES.encode())
        clients = [asyncio.create_task(_client(channel, tally)) for _ in range(CLIENTS)]
        await asyncio.sleep(seconds)
        mesh.kill()
        for client in clients:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await client


async def _client(channel: grpc.aio.Channel, tally: Tally) -> None:
    """Finish what was left open, then begin anew, until the mesh dies."""
    while True:
        if tally.open:
            work = tally.open.pop()
        else:
            work = Work()
            tally.works.append(work)
        try:
            await _advance(channel, work)
        except grpc.aio.AioRpcError as error:
            tally.open.append(work)
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                work.wrong = f"{error.code().name}: {error.details()}"
            raise


async def _advance(channel: grpc.aio.Channel, work: Work) -> None:
    """Send what is not acknowledged yet, with the request ids that it had before."""
    if not work.instance_id:
        instance = await runtime_service_pb2_grpc.RuntimeServiceStub(channel).StartProcessInstance(
            runtime_service_pb2.StartProcessInstanceRequest(
                process_definition_key="twoSides",
                business_key=work.key,
                return_variables=True,
                request_id=f"start-{work.key}",
            )
        )
        work.task_ids = {v.name: v.value.string_value for v in instance.variables}
        work.instance_id = instance.id
    await asyncio.gather(*(_complete(channel, work, side) for side in SIDES if side not in work.done))


async def _complete(channel: grpc.aio.Channel, work: Work, side: str) -> None:
    await task_service_pb2_grpc.TaskServiceStub(channel).CompleteTask(
        task_service_pb2.CompleteTaskRequest(task_id=work.task_ids[side], request_id=f"{side}-{work.key}")
    )
    work.done.add(side)


async def _settle(mesh: RunningMesh, tally: Tally) -> None:
    """Send the rest again, then hold what the engine and its history say against what was acknowledged."""
    async with grpc.aio.insecure_channel(mesh.grpc) as channel:
        for work in tally.works:
            try:
                if not work.completed:
                    await _advance(channel, work)
            except grpc.aio.AioRpcError as error:
                tally.findings.append(f"{work.key}: sent again, got {error.code().name}: {error.details()}")
            if work.wrong:
                tally.findings.append(f"{work.key}: {work.wrong}")
        await _check_consistency(channel, tally)
        await _check_history(channel, tally)


async def _check_consistency(channel: grpc.aio.Channel, tally: Tally) -> None:
    management = management_service_pb2_grpc.ManagementServiceStub(channel)
    answer = await management.CheckConsistency(management_service_pb2.CheckConsistencyRequest())
    tally.findings.extend(str(finding) for finding in answer.findings)


async def _check_history(channel: grpc.aio.Channel, tally: Tally) -> None:
    """Each business key must be there once, completed; history may have to catch up first."""
    history = history_service_pb2_grpc.HistoryServiceStub(channel)
    expected = {work.key for work in tally.works}
    found: list[str] = []
    for _ in range(HISTORY_SECONDS * 2):
        found = await _finished_keys(history)
        if len(found) >= len(expected):
            break
        await asyncio.sleep(0.5)
    twice = {key for key, times in Counter(found).items() if times > 1}
    tally.findings.extend(f"{key}: expected one completed instance, found none" for key in expected - set(found))
    tally.findings.extend(f"{key}: expected one completed instance, found several" for key in twice)
    tally.findings.extend(f"{key}: expected no such instance, found one" for key in set(found) - expected)


async def _finished_keys(history: history_service_pb2_grpc.HistoryServiceStub) -> list[str]:
    keys: list[str] = []
    token = ""
    while True:
        page = await history.ListHistoricProcessInstances(
            history_service_pb2.ListHistoricProcessInstancesRequest(finished=True, size=1000, page_token=token)
        )
        keys += [instance.business_key for instance in page.data]
        token = page.next_page_token
        if not token:
            return keys
