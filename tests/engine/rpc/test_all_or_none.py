"""Calls that carry out several commands, and calls whose first answer outlives what they were about."""

from __future__ import annotations

import pytest
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts

from engine.app.operations import JobOperations
from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.storage import tables
from tests.engine.rpc.world import ONE_TASK, RECEIVE, TWO_TASKS, Mesh, bpmn, refusing, sequence, variable, variables

FAILING = bpmn(
    "failing",
    sequence(
        '<serviceTask id="e1" flowable:expression="${missing}" flowable:async="true">'
        "<extensionElements><flowable:failedJobRetryTimeCycle>R1/PT1S</flowable:failedJobRetryTimeCycle>"
        "</extensionElements></serviceTask>"
    ),
)


async def test_a_start_sets_business_status_and_tenant_in_one_command(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    started = await mesh.runtime.StartProcessInstance(
        rt.StartProcessInstanceRequest(
            process_definition_key="one", business_status="new", override_definition_tenant_id="acme"
        )
    )

    found = await mesh.runtime.GetProcessInstance(rt.GetProcessInstanceRequest(process_instance_id=started.id))
    assert (started.business_status, started.tenant_id) == ("new", "acme")
    assert (found.business_status, found.tenant_id, (await mesh.task(started.id)).tenant_id) == ("new", "acme", "acme")
    with mesh.database.engine.connect() as connection:
        assert len(connection.execute(tables.outbox.select()).all()) == 1


async def test_a_bulk_deletion_with_an_unknown_instance_deletes_none(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    with refusing("NOT_FOUND", "process-instance-not-found"):
        await mesh.runtime.BulkDeleteProcessInstances(
            rt.BulkDeleteProcessInstancesRequest(instance_ids=[instance_id, "nothing"])
        )

    assert await mesh.task_names(instance_id) == ["Approve"]


async def test_a_bulk_update_with_a_suspended_task_changes_none(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instances = [await mesh.start("one") for _ in range(2)]
    tasks = [(await mesh.task(instance_id)).id for instance_id in instances]
    await mesh.group.submit(cmd.SuspendInstance(instance_id=instances[1]))

    with refusing("FAILED_PRECONDITION", "process-instance-suspended"):
        await mesh.tasks.BulkUpdateTasks(ts.BulkUpdateTasksRequest(task_ids=tasks, name="New"))

    assert [await mesh.task_names(instance_id) for instance_id in instances] == [["Approve"], ["Approve"]]


async def test_a_bulk_update_takes_standalone_tasks_and_those_of_instances(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    tasks = [(await mesh.task(instance_id)).id]
    tasks += [(await mesh.tasks.CreateTask(ts.CreateTaskRequest(name=name))).id for name in ("x", "y")]

    found = await mesh.tasks.BulkUpdateTasks(
        ts.BulkUpdateTasksRequest(task_ids=tasks, assignee="kermit", request_id="r")
    )

    assert [task.assignee for task in found.data] == ["kermit"] * 3


async def test_a_bulk_update_of_standalone_tasks_changes_none_if_one_is_refused(mesh: Mesh) -> None:
    tasks = [(await mesh.tasks.CreateTask(ts.CreateTaskRequest(name=name))).id for name in ("x", "y")]

    with refusing("INVALID_ARGUMENT", "task-below-itself"):
        await mesh.tasks.BulkUpdateTasks(ts.BulkUpdateTasksRequest(task_ids=tasks, parent_task_id=tasks[1]))

    found = await mesh.tasks.GetTask(ts.GetTaskRequest(task_id=tasks[0]))
    assert found.parent_task_id == ""


async def test_local_and_global_variables_of_one_call_are_set_all_or_none(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"there": 1})
    task = await mesh.task(instance_id)
    request = ts.CreateTaskVariablesRequest(
        task_id=task.id, variables=[variable("own", 1, scope="local"), variable("there", 2, scope="global")]
    )

    with refusing("ALREADY_EXISTS", "variable-exists"):
        [found async for found in mesh.tasks.CreateTaskVariables(request)]

    assert await mesh.values(instance_id) == {"there": 1}
    listed = mesh.tasks.ListTaskVariables(ts.ListTaskVariablesRequest(task_id=task.id, scope="local"))
    assert [found.name async for found in listed] == []


async def test_a_repeated_variable_call_gets_its_first_answer_after_the_task_has_ended(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    request = ts.CreateTaskVariablesRequest(
        task_id=task.id,
        variables=[variable("a", 1, scope="local"), variable("b", 2, scope="global")],
        request_id="r",
    )
    first = [found async for found in mesh.tasks.CreateTaskVariables(request)]
    await mesh.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))

    again = [found async for found in mesh.tasks.CreateTaskVariables(request)]

    assert again == first
    request.request_id = "other"
    with refusing("NOT_FOUND", "task-not-found"):
        [found async for found in mesh.tasks.CreateTaskVariables(request)]


async def test_a_repeated_variable_call_gets_its_first_answer_after_a_standalone_task_has_ended(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="x"))
    request = ts.CreateTaskVariablesRequest(task_id=task.id, variables=variables(a=1), request_id="r")
    first = [found async for found in mesh.tasks.CreateTaskVariables(request)]
    await mesh.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=task.id))

    assert [found async for found in mesh.tasks.CreateTaskVariables(request)] == first


async def test_a_repeated_variable_call_gets_its_first_answer_after_the_instance_has_ended(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"a": 1})
    request = rt.DeleteProcessInstanceVariableRequest(
        process_instance_id=instance_id, variable_name="a", request_id="r"
    )
    await mesh.runtime.DeleteProcessInstanceVariable(request)
    await mesh.group.submit(cmd.DeleteInstance(instance_id=instance_id))

    assert await mesh.runtime.DeleteProcessInstanceVariable(request) == rt.DeleteProcessInstanceVariableResponse()


async def test_a_repeated_variable_call_gets_its_first_answer_after_the_execution_has_ended(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive")
    execution_id = await mesh.execution_at(instance_id, "e1")
    request = rt.UpsertExecutionVariablesRequest(execution_id=execution_id, variables=variables(a=1), request_id="r")
    first = [found async for found in mesh.runtime.UpsertExecutionVariables(request)]
    await mesh.group.submit(cmd.TriggerExecution(execution_id=execution_id))

    assert [found async for found in mesh.runtime.UpsertExecutionVariables(request)] == first


async def test_moved_tokens_have_the_local_variables_of_the_request(mesh: Mesh) -> None:
    await mesh.deploy(TWO_TASKS)
    instance_id = await mesh.start("two")

    await mesh.runtime.ChangeProcessInstanceState(
        rt.ChangeProcessInstanceStateRequest(
            process_instance_id=instance_id,
            cancel_activity_ids=["e1"],
            start_activity_ids=["e2"],
            local_variables=variables(mine=1),
        )
    )

    task = await mesh.task(instance_id)
    listed = mesh.tasks.ListTaskVariables(ts.ListTaskVariablesRequest(task_id=task.id, scope="local"))
    assert (task.name, [found.name async for found in listed]) == ("Second", ["mine"])


async def test_dead_jobs_come_back_all_or_none_and_a_repeat_gets_the_first_answer(mesh: Mesh) -> None:
    await mesh.deploy(FAILING)
    for _ in range(2):
        await mesh.start("failing")
    await mesh.group.execute_due()
    with mesh.database.engine.connect() as connection:
        jobs = [row.id for row in connection.execute(tables.job.select()) if row.dead]
    operations = JobOperations(queries=mesh.queries, commands=mesh.group, runs=NoRuns(), now=mesh.clock.now)

    with pytest.raises(Refused, match="nothing"):
        await operations.revive([*jobs, "nothing"], 2)
    with mesh.database.engine.connect() as connection:
        assert all(row.dead for row in connection.execute(tables.job.select()))
    await operations.revive(jobs, 2, request_id="r")
    await operations.revive(jobs, 2, request_id="r")

    with mesh.database.engine.connect() as connection:
        assert [(row.dead, row.retries) for row in connection.execute(tables.job.select())] == [(False, 2)] * 2


class NoRuns:
    """Nothing is executed here."""

    async def run_now(self, job_id: str) -> bool:
        """Refuse."""
        raise AssertionError(f"expected no job to be executed, found {job_id}")

    async def run_available(self, limit: int) -> int:
        """Refuse."""
        raise AssertionError(f"expected no job to be executed, found a wish for {limit}")
