"""What cannot be done is refused by a status and a reason, by a named limit where it is one, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import external_worker_service_pb2 as workers_pb
from flowloom.engine.v1 import management_service_pb2 as management_pb
from flowloom.engine.v1 import repository_service_pb2 as repository_pb
from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb
from flowloom.engine.v1 import task_service_pb2 as task_pb

from engine.settings import LimitSettings
from tests.faults import models
from tests.faults.embedded import Embedded, refused, running, settings_for, variables
from tests.faults.stores import Store, picture

NOBODY = "01a20abc-c832-791d-8b35-7835c51e7fc9"
SMALL = LimitSettings(steps=50, loop_turns=20, variable_bytes=2048, call_depth=3)

ENDLESS = models.bpmn(
    "endless",
    '<startEvent id="start"/><exclusiveGateway id="again"/><manualTask id="turn"/>'
    + models.flows(("start", "again"), ("again", "turn"), ("turn", "again")),
)
LONG = models.bpmn("long", models.row(*(f'<manualTask id="e{n}"/>' for n in range(1, 60))))
ITSELF = models.bpmn("itself", models.row('<callActivity id="e1" calledElement="itself"/>'))


class World:
    """An engine with small limits, and what its database looks like."""

    def __init__(self, engine: Embedded, url: str) -> None:
        self.engine = engine
        self._store = Store(url)

    def look(self) -> Any:
        """A picture of everything that is stored."""
        return picture(self._store.rows())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    url = f"sqlite:///{tmp_path}/engine.db"
    async with running(settings_for(url, limits=SMALL)) as engine:
        yield World(engine, url)


async def test_unknown_ids_are_not_found(world: World) -> None:
    engine = world.engine
    before = world.look()

    for unknown in (NOBODY, "nobody", "x" * 500, "ä; DROP TABLE task"):
        calls = (
            engine.tasks.CompleteTask(task_pb.CompleteTaskRequest(task_id=unknown)),
            engine.tasks.ClaimTask(task_pb.ClaimTaskRequest(task_id=unknown, assignee="kermit")),
            engine.tasks.GetTask(task_pb.GetTaskRequest(task_id=unknown)),
            engine.runtime.GetProcessInstance(runtime_pb.GetProcessInstanceRequest(process_instance_id=unknown)),
            engine.runtime.DeleteProcessInstance(runtime_pb.DeleteProcessInstanceRequest(process_instance_id=unknown)),
            engine.runtime.StartProcessInstance(runtime_pb.StartProcessInstanceRequest(process_definition_id=unknown)),
            engine.runtime.StartProcessInstance(runtime_pb.StartProcessInstanceRequest(process_definition_key=unknown)),
            engine.runtime.ExecuteExecutionAction(
                runtime_pb.ExecuteExecutionActionRequest(execution_id=unknown, action="trigger")
            ),
            engine.runtime.UpdateProcessInstance(
                runtime_pb.UpdateProcessInstanceRequest(process_instance_id=unknown, action="suspend")
            ),
            engine.runtime.CorrelateMessage(
                runtime_pb.CorrelateMessageRequest(message_name="paid", process_instance_id=unknown)
            ),
            engine.repository.DeleteDeployment(repository_pb.DeleteDeploymentRequest(deployment_id=unknown)),
            engine.workers.CompleteJob(workers_pb.CompleteJobRequest(job_id=unknown, worker_id="w")),
            engine.management.MoveTimerJob(management_pb.MoveTimerJobRequest(job_id=unknown)),
        )
        for call in calls:
            with refused("NOT_FOUND"):
                await call
    assert world.look() == before


async def test_a_task_that_is_done_cannot_be_completed_again(world: World) -> None:
    await world.engine.deploy(models.TWO)
    task = await world.engine.task(await world.engine.start("two"))
    await world.engine.complete(task)
    before = world.look()

    with refused("NOT_FOUND", "task-not-found"):
        await world.engine.complete(task)

    assert world.look() == before


async def test_a_repeated_request_gets_its_first_answer_and_changes_nothing(world: World) -> None:
    engine = world.engine
    await engine.deploy(models.TWO)
    first = await engine.start("two", request_id="start", amount=1)
    task = await engine.task(first)
    await engine.complete(task, request_id="complete")
    before = world.look()

    again = await engine.start("two", request_id="start", amount=2)
    await engine.complete(task, request_id="complete", amount=2)

    assert again == first
    assert world.look() == before


async def test_nothing_moves_in_a_suspended_instance(world: World) -> None:
    engine = world.engine
    await engine.deploy(models.RICH)
    instance = await engine.start("rich", business_key="key", who="kermit")
    task = await engine.task(instance, "Work")
    suspend = runtime_pb.UpdateProcessInstanceRequest(process_instance_id=instance, action="suspend")
    await engine.runtime.UpdateProcessInstance(suspend)
    before = world.look()

    with refused("FAILED_PRECONDITION"):
        await engine.complete(task)
    with refused("FAILED_PRECONDITION"):
        await engine.tasks.ClaimTask(task_pb.ClaimTaskRequest(task_id=task, assignee="kermit"))
    with refused("FAILED_PRECONDITION"):
        request = runtime_pb.CorrelateMessageRequest(message_name="paid", business_key="key")
        await engine.runtime.CorrelateMessage(request)
    # Flowable answers 409 to who wants a state that is there already.
    with refused("ALREADY_EXISTS"):
        await engine.runtime.UpdateProcessInstance(suspend)
    assert world.look() == before


async def test_a_suspended_definition_starts_nothing(world: World) -> None:
    engine = world.engine
    await engine.deploy(models.ONE)
    (definition,) = (await engine.repository.ListProcessDefinitions(repository_pb.ListProcessDefinitionsRequest())).data
    request = repository_pb.UpdateProcessDefinitionRequest(process_definition_id=definition.id, action="suspend")
    await engine.repository.UpdateProcessDefinition(request)
    before = world.look()

    with refused("FAILED_PRECONDITION"):
        await engine.start("one")

    assert world.look() == before


async def test_what_does_not_wait_cannot_be_triggered(world: World) -> None:
    engine = world.engine
    await engine.deploy(models.ONE)
    execution = await engine.execution_at(await engine.start("one"), "e1")
    before = world.look()

    with refused("FAILED_PRECONDITION"):
        request = runtime_pb.ExecuteExecutionActionRequest(execution_id=execution, action="trigger")
        await engine.runtime.ExecuteExecutionAction(request)

    assert world.look() == before


async def test_a_variable_that_is_too_large_is_refused_by_its_limit(world: World) -> None:
    engine = world.engine
    await engine.deploy(models.ONE)
    task = await engine.task(await engine.start("one"))
    before = world.look()

    with refused("INVALID_ARGUMENT", naming="limit: variable_bytes"):
        await engine.start("one", text="x" * 3000)
    with refused("INVALID_ARGUMENT", naming="limit: variable_bytes"):
        await engine.complete(task, text="x" * 3000)

    assert world.look() == before


async def test_a_value_that_is_nested_too_deeply_is_refused(world: World) -> None:
    engine = world.engine
    await engine.deploy(models.ONE)
    before = world.look()
    nested = runtime_pb.StartProcessInstanceRequest(process_definition_key="one", variables=variables(deep=1))
    value = nested.variables[0].value
    for _ in range(200):
        value = value.list_value.values.add()
    value.number_value = 1

    # Protobuf itself takes no more than 100 levels, so the request is not even read; the status is the transport's.
    with pytest.raises(grpc.aio.AioRpcError):
        await engine.runtime.StartProcessInstance(nested)

    assert world.look() == before


async def test_a_loop_that_never_waits_is_refused_by_its_limit(world: World) -> None:
    await world.engine.deploy(ENDLESS)
    before = world.look()

    with refused("FAILED_PRECONDITION", naming="limit: steps"):
        await world.engine.start("endless")

    assert world.look() == before


async def test_too_many_steps_before_the_next_wait_are_refused_by_their_limit(world: World) -> None:
    await world.engine.deploy(LONG)
    before = world.look()

    with refused("FAILED_PRECONDITION", naming="limit: steps"):
        await world.engine.start("long")

    assert world.look() == before


async def test_too_many_turns_of_a_loop_are_refused_by_their_limit(world: World) -> None:
    await world.engine.deploy(models.FIVE)
    before = world.look()

    with refused("FAILED_PRECONDITION", naming="limit: loop_turns"):
        await world.engine.start("five", n=21)

    assert world.look() == before


async def test_a_process_that_calls_itself_without_end_is_refused_by_its_limit(world: World) -> None:
    await world.engine.deploy(ITSELF)
    before = world.look()

    with refused("FAILED_PRECONDITION", naming="limit: call_depth"):
        await world.engine.start("itself")

    assert world.look() == before


@pytest.mark.parametrize(
    ("document", "naming"),
    [
        ("<definitions>", "line"),
        ("no xml at all", "line"),
        (models.bpmn("wrong", '<startEvent id="start"/><sequenceFlow id="f" sourceRef="start" targetRef="x"/>'), "'f'"),
        (models.bpmn("wrong", models.row('<unheardOf id="e1"/>')), "unheardOf"),
        (models.bpmn("wrong", models.row('<userTask id="e1" flowable:assignee="${1 +}"/>')), "e1"),
        ('<!DOCTYPE x [<!ENTITY e "e">]>' + models.ONE, "document type"),
    ],
)
async def test_a_model_that_cannot_run_is_refused_with_its_place_and_nothing_is_deployed(
    world: World, document: str, naming: str
) -> None:
    before = world.look()

    with refused("INVALID_ARGUMENT", naming=naming):
        await world.engine.deploy(models.TWO, document)

    assert world.look() == before
