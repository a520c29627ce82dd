"""Tasks of processes over TaskService."""

from __future__ import annotations

import pytest
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as pb
from flowloom.events.v1 import events_pb2
from google.protobuf import json_format

from engine.storage import tables
from tests.engine.rpc.world import ONE_TASK, TWO_TASKS, Mesh, refusing, variable, variables


async def test_a_task_is_what_the_model_says(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    task = await mesh.task(instance_id)

    assert json_format.MessageToDict(await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))) == {
        "id": task.id,
        "name": "Approve",
        "createTime": "2026-05-04T12:00:00Z",
        "priority": 70,
        "taskDefinitionKey": "e1",
        "executionId": task.execution_id,
        "processInstanceId": instance_id,
        "processDefinitionId": task.process_definition_id,
    }


async def test_a_completed_task_is_gone_and_the_process_goes_on(mesh: Mesh) -> None:
    await mesh.deploy(TWO_TASKS)
    instance_id = await mesh.start("two")
    task = await mesh.task(instance_id)

    await mesh.tasks.CompleteTask(
        pb.CompleteTaskRequest(
            task_id=task.id, variables=[variable("a", 1), variable("b", 2, scope="local")], outcome="approved"
        )
    )

    assert await mesh.task_names(instance_id) == ["Second"]
    assert await mesh.values(instance_id) == {"a": 1, "outcome": "approved"}
    with refusing("NOT_FOUND", "task-not-found"):
        await mesh.tasks.CompleteTask(pb.CompleteTaskRequest(task_id=task.id))


async def test_a_repeated_completion_gets_the_first_answer(mesh: Mesh) -> None:
    await mesh.deploy(TWO_TASKS)
    instance_id = await mesh.start("two")
    request = pb.CompleteTaskRequest(task_id=(await mesh.task(instance_id)).id, request_id="r")

    await mesh.tasks.CompleteTask(request)
    await mesh.tasks.CompleteTask(request)

    assert await mesh.task_names(instance_id) == ["Second"]


async def test_a_claimed_task_is_not_claimed_by_another(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task.id, assignee="kermit"))

    with refusing("FAILED_PRECONDITION", "task-claimed"):
        await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task.id, assignee="gonzo"))

    assert (await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))).assignee == "kermit"


async def test_a_claim_without_an_assignee_unclaims(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task.id, assignee="kermit"))

    await mesh.tasks.ExecuteTaskAction(pb.ExecuteTaskActionRequest(task_id=task.id, action="claim"))

    assert not (await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))).HasField("assignee")


async def test_a_delegated_task_is_resolved_before_it_is_completed(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    task = await mesh.task(instance_id)
    await mesh.tasks.AssignTask(pb.AssignTaskRequest(task_id=task.id, assignee="kermit"))
    await mesh.tasks.DelegateTask(pb.DelegateTaskRequest(task_id=task.id, assignee="gonzo"))

    with refusing("FAILED_PRECONDITION", "task-delegated"):
        await mesh.tasks.CompleteTask(pb.CompleteTaskRequest(task_id=task.id))
    await mesh.tasks.ResolveTask(pb.ResolveTaskRequest(task_id=task.id, variables=variables(a=1)))

    found = await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))
    assert (found.assignee, found.owner, found.delegation_state) == ("kermit", "kermit", "resolved")
    assert await mesh.values(instance_id) == {"a": 1}


async def test_a_task_of_a_suspended_instance_is_not_completed(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    task = await mesh.task(instance_id)
    await mesh.runtime.UpdateProcessInstance(
        rt.UpdateProcessInstanceRequest(process_instance_id=instance_id, action="suspend")
    )

    with refusing("FAILED_PRECONDITION", "process-instance-suspended"):
        await mesh.tasks.CompleteTask(pb.CompleteTaskRequest(task_id=task.id))


async def test_the_given_fields_of_a_task_are_changed(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    request = pb.UpdateTaskRequest(task_id=task.id, name="Decide", owner="kermit", priority=5)
    request.due_date.FromJsonString("2026-06-01T00:00:00Z")

    found = await mesh.tasks.UpdateTask(request)

    assert (found.name, found.owner, found.priority) == ("Decide", "kermit", 5)
    assert found.due_date.ToJsonString() == "2026-06-01T00:00:00Z"
    cleared = await mesh.tasks.UpdateTask(pb.UpdateTaskRequest(task_id=task.id, clear=["dueDate", "owner"]))
    assert (cleared.HasField("due_date"), cleared.HasField("owner"), cleared.name) == (False, False, "Decide")


async def test_several_tasks_are_changed_alike_in_the_order_of_the_request(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    ids = [(await mesh.task(await mesh.start("one"))).id for _ in range(2)]

    found = await mesh.tasks.BulkUpdateTasks(pb.BulkUpdateTasksRequest(task_ids=reversed(ids), assignee="kermit"))

    assert [(task.id, task.assignee) for task in found.data] == [(ids[1], "kermit"), (ids[0], "kermit")]
    assert (found.total, found.size) == (2, 2)


async def test_one_unknown_task_keeps_the_others_as_they_are(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))

    with refusing("NOT_FOUND"):
        await mesh.tasks.BulkUpdateTasks(pb.BulkUpdateTasksRequest(task_ids=[task.id, "nothing"], name="new"))

    assert (await mesh.tasks.GetTask(pb.GetTaskRequest(task_id=task.id))).name == "Approve"


async def test_a_task_of_a_process_is_not_deleted(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))

    with refusing("PERMISSION_DENIED", "task-of-instance"):
        await mesh.tasks.DeleteTask(pb.DeleteTaskRequest(task_id=task.id))


async def test_an_unknown_action_is_refused(mesh: Mesh) -> None:
    with refusing("INVALID_ARGUMENT", "invalid-request"):
        await mesh.tasks.ExecuteTaskAction(pb.ExecuteTaskActionRequest(task_id="t", action="finish"))


async def test_tasks_are_listed_by_who_could_claim_them(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK, TWO_TASKS)
    await mesh.start("two")
    task = await mesh.task(await mesh.start("one"))

    found = await mesh.tasks.ListTasks(pb.ListTasksRequest(candidate_user="kermit"))

    assert [row.id for row in found.data] == [task.id]
    assert found.total == 1


async def test_a_listed_task_carries_the_variables_that_are_asked_for(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    await mesh.start("one", variables={"a": 1})

    found = await mesh.tasks.ListTasks(pb.ListTasksRequest(include_process_variables=True))

    assert [(v.name, v.scope, v.value.number_value) for v in found.data[0].variables] == [("a", "global", 1)]


async def test_a_variable_is_local_to_its_task_unless_it_says_global(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    task = await mesh.task(instance_id)
    wanted = [variable("a", 1), variable("b", 2, scope="global")]

    created = mesh.tasks.CreateTaskVariables(pb.CreateTaskVariablesRequest(task_id=task.id, variables=wanted))

    assert [(v.name, v.scope) async for v in created] == [("a", "local"), ("b", "global")]
    listed = mesh.tasks.ListTaskVariables(pb.ListTaskVariablesRequest(task_id=task.id))
    assert [(v.name, v.scope) async for v in listed] == [("a", "local"), ("b", "global")]
    assert await mesh.values(instance_id) == {"b": 2}


async def test_of_variables_none_is_created_if_one_is_there(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"b": 1})
    task = await mesh.task(instance_id)
    wanted = [variable("a", 1), variable("b", 2, scope="global")]

    with refusing("ALREADY_EXISTS", "variable-exists"):
        await mesh.tasks.CreateTaskVariables(pb.CreateTaskVariablesRequest(task_id=task.id, variables=wanted)).read()

    local = mesh.tasks.ListTaskVariables(pb.ListTaskVariablesRequest(task_id=task.id, scope="local"))
    assert [v async for v in local] == []


async def test_a_variable_of_a_task_is_changed_read_and_deleted(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    update = pb.UpdateTaskVariableRequest(task_id=task.id, variable_name="a", variable=variable("", 2))
    with refusing("NOT_FOUND"):
        await mesh.tasks.UpdateTaskVariable(update)
    await mesh.tasks.CreateTaskVariables(
        pb.CreateTaskVariablesRequest(task_id=task.id, variables=variables(a=1))
    ).read()

    await mesh.tasks.UpdateTaskVariable(update)

    found = await mesh.tasks.GetTaskVariable(pb.GetTaskVariableRequest(task_id=task.id, variable_name="a"))
    assert (found.scope, found.type, found.value.number_value) == ("local", "integer", 2)
    removal = pb.DeleteTaskVariableRequest(task_id=task.id, variable_name="a")
    await mesh.tasks.DeleteTaskVariable(removal)
    with refusing("NOT_FOUND"):
        await mesh.tasks.DeleteTaskVariable(removal)


async def test_another_name_in_the_body_is_refused(mesh: Mesh) -> None:
    with refusing("INVALID_ARGUMENT", "invalid-request"):
        await mesh.tasks.UpdateTaskVariable(
            pb.UpdateTaskVariableRequest(task_id="t", variable_name="a", variable=variable("b", 2))
        )


async def test_the_bytes_of_a_binary_variable_are_read_as_they_are(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    wanted = [variable("file", "AAEC", "binary"), variable("a", 1)]
    await mesh.tasks.CreateTaskVariables(pb.CreateTaskVariablesRequest(task_id=task.id, variables=wanted)).read()

    found = await mesh.tasks.GetTaskVariable(pb.GetTaskVariableRequest(task_id=task.id, variable_name="file"))
    data = await mesh.tasks.GetTaskVariableData(pb.GetTaskVariableDataRequest(task_id=task.id, variable_name="file"))

    assert found.value_url == f"/process-api/runtime/tasks/{task.id}/variables/file/data"
    assert (data.content_type, data.data) == ("application/octet-stream", b"\x00\x01\x02")
    with refusing("NOT_FOUND", "variable-not-binary"):
        await mesh.tasks.GetTaskVariableData(pb.GetTaskVariableDataRequest(task_id=task.id, variable_name="a"))


async def test_links_of_a_task_are_listed_by_family(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    await mesh.tasks.CreateTaskIdentityLink(
        pb.CreateTaskIdentityLinkRequest(task_id=task.id, group="frogs", type="candidate")
    )

    users = mesh.tasks.ListTaskIdentityLinks(pb.ListTaskIdentityLinksRequest(task_id=task.id, family="users"))
    groups = mesh.tasks.ListTaskIdentityLinks(pb.ListTaskIdentityLinksRequest(task_id=task.id, family="groups"))

    assert [(link.user, link.type) async for link in users] == [("kermit", "candidate")]
    assert [(link.group, link.type) async for link in groups] == [("frogs", "candidate")]


async def test_a_link_of_a_task_is_removed_once(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    removal = pb.DeleteTaskIdentityLinkRequest(task_id=task.id, family="users", identity_id="kermit", type="candidate")

    await mesh.tasks.DeleteTaskIdentityLink(removal)

    with refusing("NOT_FOUND", "identity-link-not-found"):
        await mesh.tasks.DeleteTaskIdentityLink(removal)


async def test_remarks_on_a_task_are_listed_newest_first(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    task = await mesh.task(instance_id)
    for message in ("one", "two"):
        await mesh.tasks.CreateTaskComment(
            pb.CreateTaskCommentRequest(task_id=task.id, message=message, save_process_instance_id=message == "two"),
            metadata=(("x-user", "kermit"),),
        )

    found = [c async for c in mesh.tasks.ListTaskComments(pb.ListTaskCommentsRequest(task_id=task.id))]

    assert [(c.message, c.author, c.process_instance_id) for c in found] == [
        ("two", "kermit", instance_id),
        ("one", "kermit", ""),
    ]


async def test_a_remark_is_read_and_deleted(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    kept = await mesh.tasks.CreateTaskComment(pb.CreateTaskCommentRequest(task_id=task.id, message="hm"))
    named = {"task_id": task.id, "comment_id": kept.id}

    assert await mesh.tasks.GetTaskComment(pb.GetTaskCommentRequest(**named)) == kept
    await mesh.tasks.DeleteTaskComment(pb.DeleteTaskCommentRequest(**named))

    with refusing("NOT_FOUND", "comment-not-found"):
        await mesh.tasks.DeleteTaskComment(pb.DeleteTaskCommentRequest(**named))


async def test_a_repeated_remark_is_kept_once(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    request = pb.CreateTaskCommentRequest(task_id=task.id, message="hm", request_id="r")

    first = await mesh.tasks.CreateTaskComment(request)

    assert await mesh.tasks.CreateTaskComment(request) == first
    found = [c async for c in mesh.tasks.ListTaskComments(pb.ListTaskCommentsRequest(task_id=task.id))]
    assert found == [first]


async def test_what_is_said_and_unsaid_about_a_task_is_told_once_under_the_root_of_its_instance(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    task = await mesh.task(instance_id)
    request = pb.CreateTaskCommentRequest(task_id=task.id, message="hm", save_process_instance_id=True, request_id="r")

    kept = await mesh.tasks.CreateTaskComment(request)
    await mesh.tasks.CreateTaskComment(request)
    await mesh.tasks.DeleteTaskComment(pb.DeleteTaskCommentRequest(task_id=task.id, comment_id=kept.id))

    with mesh.database.engine.connect() as connection:
        rows = connection.execute(tables.outbox.select().order_by(tables.outbox.c.sequence)).mappings().all()
    told = [(row["root_id"], events_pb2.CommandEvents.FromString(row["events"])) for row in rows[-2:]]
    (added,), (removed,) = (envelope.events for _, envelope in told)
    assert {root for root, _ in told} == {instance_id}
    assert added.process_instance_id == removed.process_instance_id == instance_id
    assert (added.comment_added.comment_id, added.comment_added.message) == (kept.id, "hm")
    assert added.comment_added.of_process_instance
    assert removed.comment_removed.comment_id == kept.id
    assert len(rows) == 3


async def test_events_tell_of_remarks_and_links(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    task = await mesh.task(await mesh.start("one"))
    link = pb.CreateTaskIdentityLinkRequest(task_id=task.id, user="gonzo", type="candidate", request_id="r")
    await mesh.tasks.CreateTaskIdentityLink(link, metadata=(("x-user", "kermit"),))
    await mesh.tasks.CreateTaskIdentityLink(link, metadata=(("x-user", "kermit"),))
    await mesh.tasks.CreateTaskComment(pb.CreateTaskCommentRequest(task_id=task.id, message="hm"))

    found = [e async for e in mesh.tasks.ListTaskEvents(pb.ListTaskEventsRequest(task_id=task.id))]

    assert [(e.action, list(e.message), e.user_id) for e in found] == [
        ("AddComment", ["hm"], ""),
        ("AddUserLink", ["gonzo", "candidate"], "kermit"),
    ]
    for event in found:
        assert await mesh.tasks.GetTaskEvent(pb.GetTaskEventRequest(task_id=task.id, event_id=event.id)) == event
    for task_id, event_id in ((task.id, "x"), ("x", found[0].id)):
        with refusing("NOT_FOUND"):
            await mesh.tasks.GetTaskEvent(pb.GetTaskEventRequest(task_id=task_id, event_id=event_id))


async def test_remarks_on_an_unknown_task_are_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND"):
        await mesh.tasks.ListTaskComments(pb.ListTaskCommentsRequest(task_id="nothing")).read()


async def _told(mesh: Mesh, task_id: str) -> list[tuple[str, list[str], str]]:
    found = mesh.tasks.ListTaskEvents(pb.ListTaskEventsRequest(task_id=task_id))
    return [(event.action, list(event.message), event.user_id) async for event in found][::-1]


@pytest.mark.parametrize("is_standalone", [False, True])
async def test_events_tell_of_claims_and_assignments(mesh: Mesh, is_standalone: bool) -> None:
    if is_standalone:
        task_id = (await mesh.tasks.CreateTask(pb.CreateTaskRequest(name="x"))).id
    else:
        await mesh.deploy(ONE_TASK)
        task_id = (await mesh.task(await mesh.start("one"))).id
    by = [("x-user", "piggy")]

    await mesh.tasks.ClaimTask(pb.ClaimTaskRequest(task_id=task_id, assignee="kermit"), metadata=by)
    await mesh.tasks.UnclaimTask(pb.UnclaimTaskRequest(task_id=task_id), metadata=by)
    await mesh.tasks.UpdateTask(
        pb.UpdateTaskRequest(task_id=task_id, owner="gonzo", assignee="fozzie", name="y"), metadata=by
    )
    await mesh.tasks.UpdateTask(pb.UpdateTaskRequest(task_id=task_id, name="z"), metadata=by)

    assert await _told(mesh, task_id) == [
        ("AddUserLink", ["kermit", "assignee"], "piggy"),
        ("DeleteUserLink", ["", "assignee"], "piggy"),
        ("AddUserLink", ["fozzie", "assignee"], "piggy"),
        ("AddUserLink", ["gonzo", "owner"], "piggy"),
    ]
