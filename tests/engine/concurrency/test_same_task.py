"""Everybody wants the same task, or the tasks of the same instance."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb
from flowloom.engine.v1 import task_service_pb2 as tasks_pb

from tests.engine.concurrency.processes import (
    CLIENTS,
    FAILED_PRECONDITION,
    NOT_FOUND,
    OK,
    Crowd,
    Engine,
    claim,
    complete,
)
from tests.faults import models
from tests.faults.embedded import variables

ROUNDS = 5


async def test_a_task_is_claimed_by_exactly_one(crowd: Crowd) -> None:
    await crowd.deploy(models.ONE)
    for _ in range(ROUNDS):
        instance = await crowd.start("one")
        (task,) = await crowd.open_tasks(instance)

        counts = await crowd.together(
            (claim(task.id, f"user-{n}") for n in range(CLIENTS)), allowed=(OK, FAILED_PRECONDITION)
        )

        assert counts == {OK: 1, FAILED_PRECONDITION: CLIENTS - 1}
        (task,) = await crowd.open_tasks(instance)
        assert task.assignee.startswith("user-")


async def test_a_task_is_completed_by_exactly_one(crowd: Crowd) -> None:
    await crowd.deploy(models.TWO)
    for _ in range(ROUNDS):
        instance = await crowd.start("two")
        (task,) = await crowd.open_tasks(instance)

        counts = await crowd.together((complete(task.id, winner=n) for n in range(CLIENTS)), allowed=(OK, NOT_FOUND))

        assert counts == {OK: 1, NOT_FOUND: CLIENTS - 1}
        assert [task.name for task in await crowd.open_tasks(instance)] == ["Second"]


async def test_the_same_request_sent_by_all_is_carried_out_once_and_answered_to_all(crowd: Crowd) -> None:
    await crowd.deploy(models.TWO)
    for _ in range(ROUNDS):
        instance = await crowd.start("two")
        (task,) = await crowd.open_tasks(instance)

        counts = await crowd.together(complete(task.id, request_id=f"same-{task.id}") for _ in range(CLIENTS))

        assert counts == {OK: CLIENTS}
        assert [task.name for task in await crowd.open_tasks(instance)] == ["Second"]


async def test_the_same_start_sent_by_all_starts_one_instance(crowd: Crowd) -> None:
    await crowd.deploy(models.ONE)
    found: list[str] = []

    async def start(engine: Engine) -> None:
        request = runtime_pb.StartProcessInstanceRequest(
            process_definition_key="one", business_key="only-once", request_id="only-once"
        )
        found.append((await engine.runtime.StartProcessInstance(request)).id)

    await crowd.together(start for _ in range(CLIENTS))

    assert len(found) == CLIENTS
    assert len(set(found)) == 1


async def test_variables_that_all_set_in_one_instance_are_all_there(crowd: Crowd) -> None:
    await crowd.deploy(models.ONE)
    instance = await crowd.start("one")

    def setting(number: int) -> Any:
        async def call(engine: Engine) -> None:
            request = runtime_pb.UpsertProcessInstanceVariablesRequest(
                process_instance_id=instance, variables=variables(**{f"v{number}": number, "shared": number})
            )
            _ = [variable async for variable in engine.runtime.UpsertProcessInstanceVariables(request)]

        return call

    await crowd.together(setting(number) for number in range(CLIENTS))

    request = runtime_pb.ListProcessInstanceVariablesRequest(process_instance_id=instance)
    found = {v.name: v.value async for v in crowd.engine().runtime.ListProcessInstanceVariables(request)}
    assert set(found) == {f"v{number}" for number in range(CLIENTS)} | {"shared"}
    assert found["shared"].number_value in range(CLIENTS)


async def test_claims_completions_and_changes_of_one_task_never_end_in_a_conflict(crowd: Crowd) -> None:
    await crowd.deploy(models.ONE)
    counts: Counter[str] = Counter()
    for _ in range(ROUNDS):
        instance = await crowd.start("one")
        (task,) = await crowd.open_tasks(instance)

        def renamed(engine: Engine, task_id: str = task.id) -> Any:
            return engine.tasks.UpdateTask(tasks_pb.UpdateTaskRequest(task_id=task_id, name="Renamed"))

        wishes = [renamed, claim(task.id, "kermit"), complete(task.id), claim(task.id, "gonzo")]
        counts += await crowd.together(
            (wishes[n % 4] for n in range(CLIENTS)), allowed=(OK, NOT_FOUND, FAILED_PRECONDITION)
        )
        assert not await crowd.runs(instance)
    assert counts[OK] >= ROUNDS
