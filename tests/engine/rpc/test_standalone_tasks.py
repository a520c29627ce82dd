"""Tasks without a process over TaskService, on both kinds of database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flowloom.engine.v1 import task_service_pb2 as pb

from mesh.testing.mariadb import MariaDb, running_mariadb
from tests.engine.rpc.world import Mesh, refusing, running, variable, variables


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb]:
    """A MariaDB for all tests here; each takes a database of its own."""
    with running_mariadb() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
async def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Mesh]:
    """The services of an engine of one's own."""
    url = request.getfixturevalue("server").create_database() if request.param == "mariadb" else ""
    async with running(tmp_path, url) as found:
        yield found


async def test_a_created_task_is_what_the_request_says(mesh: Mesh) -> None:
    found = await mesh.tasks.CreateTask(
        pb.CreateTaskRequest(name="Call", assignee="kermit", category="phone", delegation_state="pending")
    )

    assert await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=found.id)) == found
    assert (found.name, found.assignee, found.category, found.priority) == ("Call", "kermit", "phone", 50)
    assert (found.delegation_state, found.create_time.ToJsonString()) == ("pending", "2026-05-04T12:00:00Z")
    assert not found.HasField("process_instance_id")


async def test_a_repeated_creation_gets_the_first_task(mesh: Mesh) -> None:
    request = pb.CreateTaskRequest(name="Call", request_id="r")

    first = await mesh.tasks.CreateTask(request)

    assert await mesh.tasks.CreateTask(request) == first
    assert (await mesh.tasks.ListTasks(pb.ListTasksRequest())).total == 1


async def test_a_task_below_an_unknown_one_is_not_created(mesh: Mesh) -> None:
    with refusing("NOT_FOUND", "task-not-found"):
        await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call", parent_task_id="nothing"))


async def test_tasks_below_a_task_are_listed_and_end_with_it(mesh: Mesh) -> None:
    parent = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Parent"))
    child = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Child", parent_task_id=parent.id))
    await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Grandchild", parent_task_id=child.id))

    listed = [task.name async for task in mesh.tasks.ListSubtasks(pb.ListSubtasksRequest(task_id=parent.id))]
    await mesh.tasks.CompleteTask(pb.CompleteTaskRequest(task_id=parent.id))

    assert listed == ["Child"]
    assert (await mesh.tasks.ListTasks(pb.ListTasksRequest())).total == 0


async def test_a_task_does_not_go_below_itself(mesh: Mesh) -> None:
    parent = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Parent"))
    child = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Child", parent_task_id=parent.id))

    with refusing("INVALID_ARGUMENT", "task-below-itself"):
        await mesh.tasks.UpdateTask(pb.UpdateTaskRequest(task_id=parent.id, parent_task_id=child.id))


async def test_a_completed_task_is_gone(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))

    await mesh.tasks.ExecuteTaskAction(pb.ExecuteTaskActionRequest(task_id=task.id, action="complete"))

    with refusing("NOT_FOUND", "task-not-found"):
        await mesh.tasks.CompleteTask(pb.CompleteTaskRequest(task_id=task.id))


async def test_a_repeated_completion_gets_the_first_answer(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))
    request = pb.CompleteTaskRequest(task_id=task.id, request_id="r")

    await mesh.tasks.CompleteTask(request)
    await mesh.tasks.CompleteTask(request)

    assert (await mesh.tasks.ListTasks(pb.ListTasksRequest())).total == 0


async def test_a_task_is_claimed_by_one(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))
    await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task.id, assignee="kermit"))

    with refusing("FAILED_PRECONDITION", "task-claimed"):
        await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task.id, assignee="gonzo"))

    found = await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))
    assert (found.assignee, found.claim_time.ToJsonString()) == ("kermit", "2026-05-04T12:00:00Z")


async def test_a_delegated_task_goes_back_to_its_owner(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call", assignee="kermit"))
    await mesh.tasks.DelegateTask(pb.DelegateTaskRequest(task_id=task.id, assignee="gonzo"))

    with refusing("FAILED_PRECONDITION", "task-delegated"):
        await mesh.tasks.CompleteTask(pb.CompleteTaskRequest(task_id=task.id))
    await mesh.tasks.ResolveTask(pb.ResolveTaskRequest(task_id=task.id))

    found = await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))
    assert (found.assignee, found.owner, found.delegation_state) == ("kermit", "kermit", "resolved")


async def test_a_task_has_variables_of_its_own(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))
    create = pb.CreateTaskVariablesRequest(task_id=task.id, variables=variables(a=1, b="x"))

    await mesh.tasks.CreateTaskVariables(create).read()

    listed = mesh.tasks.ListTaskVariables(pb.ListTaskVariablesRequest(task_id=task.id))
    assert [(v.name, v.type, v.scope) async for v in listed] == [("a", "integer", "local"), ("b", "string", "local")]
    with refusing("ALREADY_EXISTS", "variable-exists"):
        await mesh.tasks.CreateTaskVariables(create).read()
    await mesh.tasks.DeleteTaskVariables(pb.DeleteTaskVariablesRequest(task_id=task.id))
    with refusing("NOT_FOUND"):
        await mesh.tasks.GetTaskVariable(pb.GetTaskVariableRequest(task_id=task.id, variable_name="a"))


async def test_a_global_variable_is_refused(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))

    with refusing("INVALID_ARGUMENT", "no-global-scope"):
        await mesh.tasks.CreateTaskVariables(
            pb.CreateTaskVariablesRequest(task_id=task.id, variables=[variable("a", 1, scope="global")])
        ).read()


async def test_a_task_is_found_by_its_candidates(mesh: Mesh) -> None:
    await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Other"))
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))
    await mesh.tasks.CreateTaskIdentityLink(
        pb.CreateTaskIdentityLinkRequest(task_id=task.id, user="kermit", type="candidate")
    )

    found = await mesh.tasks.ListTasks(pb.ListTasksRequest(candidate_user="kermit"))

    assert [row.id for row in found.data] == [task.id]


async def test_a_deleted_task_is_gone_with_all_that_belongs_to_it(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))
    create = pb.CreateTaskVariablesRequest(task_id=task.id, variables=variables(a=1))
    await mesh.tasks.CreateTaskVariables(create).read()

    await mesh.tasks.DeleteTask(pb.DeleteTaskRequest(task_id=task.id))

    with refusing("NOT_FOUND"):
        await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))
    with refusing("NOT_FOUND", "task-not-found"):
        await mesh.tasks.DeleteTask(pb.DeleteTaskRequest(task_id=task.id))


async def test_of_many_who_claim_a_task_at_once_one_gets_it(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call"))
    claims = [mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task.id, assignee=f"u{n}")) for n in range(8)]

    outcomes = await asyncio.gather(*claims, return_exceptions=True)

    winners = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
    found = await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))
    assert [f"u{n}" for n in winners] == [found.assignee]


async def test_of_the_same_request_sent_twice_at_once_one_creates(mesh: Mesh) -> None:
    request = pb.CreateTaskRequest(name="Call", request_id="r")

    first, second = await asyncio.gather(mesh.tasks.CreateTask(request), mesh.tasks.CreateTask(request))

    assert first == second
    assert (await mesh.tasks.ListTasks(pb.ListTasksRequest())).total == 1


async def test_an_old_answer_is_forgotten(mesh: Mesh) -> None:
    request = pb.CreateTaskRequest(name="Call", request_id="r")
    first = await mesh.tasks.CreateTask(request)

    mesh.clock.advance(timedelta(hours=2))
    await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Other", request_id="s"))

    assert (await mesh.tasks.CreateTask(request)).id != first.id


async def test_a_request_id_that_is_too_long_is_refused(mesh: Mesh) -> None:
    with refusing("INVALID_ARGUMENT", "invalid-request"):
        await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="Call", request_id="r" * 129))
