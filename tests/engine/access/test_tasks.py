"""Whose a task is decides who sees it, claims it and does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import repository_service_pb2 as rp
from flowloom.engine.v1 import task_service_pb2 as ts

from mesh.db.writer import Writer
from tests.engine.access.world import OFFERED, ONE, Person, World, outcome, running
from tests.engine.rpc.world import bpmn, sequence, variable

WORKER = ("engine.task.read", "engine.task.claim", "engine.task.complete", "engine.task.act", "engine.task.update")
DOER = (
    *WORKER,
    "engine.task.delegate",
    "engine.task.assign",
    "engine.task.comment",
    "engine.task.create",
    "engine.task.delete",
)
TWO = bpmn("two", sequence('<userTask id="e1" name="Open"/>'))
INITIATED = bpmn("initiated", sequence('<userTask id="e1" flowable:assignee="${initiator}"/>')).replace(
    '<startEvent id="start"/>', '<startEvent id="start" flowable:initiator="initiator"/>'
)


def claim(task_id: str, user: str) -> ts.ClaimTaskRequest:
    return ts.ClaimTaskRequest(task_id=task_id, assignee=user)


async def ids(who: Person, **filters: Any) -> set[str]:
    return {task.id for task in await who.tasks_of(**filters)}


async def test_candidates_see_and_claim_others_do_not_know_it_is_there(world: World) -> None:
    admin = world.person("admin", "*")
    kermit = world.person("kermit", *DOER)
    robin = world.person("robin", *DOER, groups=["frogs"])
    gonzo = world.person("gonzo", *DOER, groups=["birds"])
    await admin.deploy(ONE, TWO)
    await admin.start("one")
    await admin.start("two")
    (one,) = await admin.tasks_of(name="Approve")
    (opened,) = await admin.tasks_of(name="Open")

    assert await ids(kermit) == await ids(robin) == {one.id, opened.id}
    assert await ids(gonzo) == {opened.id}
    assert await ids(gonzo, name="Approve") == set()
    assert await outcome(gonzo.tasks.GetTask(ts.GetTaskRequest(task_id=one.id))) == "NOT_FOUND task-not-found"
    assert await outcome(gonzo.tasks.ClaimTask(claim(one.id, "gonzo"))) == "NOT_FOUND task-not-found"
    assert await outcome(gonzo.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=one.id))) == "NOT_FOUND task-not-found"
    assert await outcome(gonzo.tasks.ListTaskVariables(ts.ListTaskVariablesRequest(task_id=one.id))) == (
        "NOT_FOUND task-not-found"
    )

    assert await outcome(robin.tasks.ClaimTask(claim(one.id, "kermit"))) == "PERMISSION_DENIED task-of-others"
    assert await outcome(robin.tasks.ClaimTask(claim(one.id, "robin"))) == "ok"
    assert await ids(robin) == {one.id, opened.id}
    assert one.id in await ids(kermit), "a candidate goes on seeing who has it"
    assert await outcome(kermit.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=one.id))) == (
        "PERMISSION_DENIED task-of-others"
    )
    assert await outcome(robin.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=one.id))) == "ok"


async def test_a_task_of_nobody_is_everybodys_to_claim(world: World) -> None:
    admin = world.person("admin", "*")
    gonzo = world.person("gonzo", *DOER)
    reader = world.person("reader", "engine.task.read")
    await admin.deploy(TWO)
    await admin.start("two")
    (task,) = await admin.tasks_of()

    assert await ids(reader) == {task.id}
    assert await outcome(reader.tasks.ClaimTask(claim(task.id, "reader"))) == "PERMISSION_DENIED privilege-missing"
    assert await outcome(gonzo.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))) == (
        "PERMISSION_DENIED task-of-others"
    )
    assert await outcome(gonzo.tasks.ClaimTask(claim(task.id, "gonzo"))) == "ok"
    assert await ids(reader) == set()
    assert await outcome(gonzo.tasks.UnclaimTask(ts.UnclaimTaskRequest(task_id=task.id))) == "ok"
    assert await ids(reader) == {task.id}


async def test_only_assignee_and_owner_change_a_task(world: World) -> None:
    admin = world.person("admin", "*")
    kermit, robin = world.person("kermit", *DOER), world.person("robin", *DOER, groups=["frogs"])
    await admin.deploy(ONE)
    await admin.start("one")
    (task,) = await admin.tasks_of()
    await kermit.tasks.ClaimTask(claim(task.id, "kermit"))
    v = [variable("x", 1, "integer")]
    calls: dict[str, Any] = {
        "update": lambda w: w.tasks.UpdateTask(ts.UpdateTaskRequest(task_id=task.id, priority=7)),
        "bulk": lambda w: w.tasks.BulkUpdateTasks(ts.BulkUpdateTasksRequest(task_ids=[task.id], priority=7)),
        "variables": lambda w: w.tasks.CreateTaskVariables(ts.CreateTaskVariablesRequest(task_id=task.id, variables=v)),
        "remove variable": lambda w: w.tasks.DeleteTaskVariable(
            ts.DeleteTaskVariableRequest(task_id=task.id, variable_name="x")
        ),
        "link": lambda w: w.tasks.CreateTaskIdentityLink(
            ts.CreateTaskIdentityLinkRequest(task_id=task.id, user="piggy", type="candidate")
        ),
        "unlink": lambda w: w.tasks.DeleteTaskIdentityLink(
            ts.DeleteTaskIdentityLinkRequest(task_id=task.id, family="users", identity_id="piggy", type="candidate")
        ),
        "delegate": lambda w: w.tasks.DelegateTask(ts.DelegateTaskRequest(task_id=task.id, assignee="robin")),
    }

    denied = {name: await outcome(call(robin)) for name, call in calls.items()}
    assert denied == dict.fromkeys(calls, "PERMISSION_DENIED task-of-others")
    assert {name: await outcome(call(kermit)) for name, call in calls.items()} == dict.fromkeys(calls, "ok")
    # Kermit is the owner now, Robin has it.
    assert await outcome(robin.tasks.ResolveTask(ts.ResolveTaskRequest(task_id=task.id))) == "ok"
    assert await outcome(robin.tasks.AssignTask(ts.AssignTaskRequest(task_id=task.id, assignee="robin"))) == (
        "PERMISSION_DENIED task-of-others"
    )
    assert await outcome(kermit.tasks.AssignTask(ts.AssignTaskRequest(task_id=task.id, assignee="robin"))) == "ok"
    comment = ts.CreateTaskCommentRequest(task_id=task.id, message="hello")
    assert await outcome(kermit.tasks.CreateTaskComment(comment)) == "ok"


async def test_standalone_tasks_keep_the_same_rules(world: World) -> None:
    kermit, gonzo = world.person("kermit", *DOER), world.person("gonzo", *DOER)
    task = await kermit.tasks.CreateTask(ts.CreateTaskRequest(name="alone", owner="kermit", assignee="kermit"))

    assert await ids(gonzo) == set()
    for call in (
        gonzo.tasks.GetTask(ts.GetTaskRequest(task_id=task.id)),
        gonzo.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id)),
        gonzo.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=task.id)),
        gonzo.tasks.CreateTask(ts.CreateTaskRequest(name="below", parent_task_id=task.id)),
    ):
        assert await outcome(call) == "NOT_FOUND task-not-found"
    link = ts.CreateTaskIdentityLinkRequest(task_id=task.id, user="gonzo", type="candidate")
    assert await outcome(kermit.tasks.CreateTaskIdentityLink(link)) == "ok"
    assert await outcome(gonzo.tasks.GetTask(ts.GetTaskRequest(task_id=task.id))) == "ok"
    assert await outcome(gonzo.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=task.id))) == (
        "PERMISSION_DENIED task-of-others"
    )
    assert await outcome(kermit.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))) == "ok"


async def test_lists_of_candidates_know_the_groups_of_the_user(world: World) -> None:
    admin = world.person("admin", "*")
    world.person("robin", *DOER, groups=["frogs"])
    await admin.deploy(ONE, OFFERED)
    await admin.start("one")
    (task,) = await admin.tasks_of()

    assert await ids(admin, candidate_user="robin") == {task.id}
    assert await ids(admin, candidate_or_assigned="robin") == {task.id}
    assert await ids(admin, candidate_user="admin") == set()

    for user, found in (("robin", ["offered"]), ("kermit", ["offered"]), ("gonzo", [])):
        listed = await admin.repository.ListProcessDefinitions(rp.ListProcessDefinitionsRequest(startable_by_user=user))
        assert [each.key for each in listed.data] == found


async def test_an_inbox_of_somebody_else_shows_what_one_may_see_oneself(world: World) -> None:
    admin = world.person("admin", "*")
    gonzo = world.person("gonzo", *DOER)
    await admin.deploy(ONE)
    await admin.start("one")

    assert len(await ids(admin, candidate_user="kermit")) == 1
    assert await ids(gonzo, candidate_user="kermit") == set()
    assert await ids(gonzo, candidate_user="gonzo", candidate_group="frogs") == set()
    assert await ids(gonzo, candidate_group="frogs") == set()


async def test_a_definition_with_candidate_starters_is_started_by_them_alone(world: World) -> None:
    admin = world.person("admin", "*")
    starter = ("engine.process-instance.start",)
    kermit, robin = world.person("kermit", *starter), world.person("robin", *starter, groups=["frogs"])
    gonzo = world.person("gonzo", *starter)
    manager = world.person("boss", *starter, "engine.process.manage")
    await admin.deploy(OFFERED, TWO)

    outcomes = [await outcome(who.start("offered")) for who in (kermit, robin, manager, admin, gonzo)]

    assert outcomes == ["ok"] * 4 + ["PERMISSION_DENIED not-a-starter"]
    assert await outcome(gonzo.start("two")) == "ok"


async def test_acting_in_anothers_name_takes_a_privilege(small: World) -> None:
    admin = small.person("admin", "*")
    gonzo = small.person("gonzo", "engine.process-instance.start", *DOER)
    await admin.deploy(TWO, INITIATED)

    assert await outcome(gonzo.start("two", start_user_id="kermit")) == "PERMISSION_DENIED in-anothers-name"
    assert await outcome(gonzo.start("two", start_user_id="gonzo")) == "ok"
    assert (await admin.start("two", start_user_id="kermit")).start_user_id == "kermit"
    await gonzo.start("initiated")
    (mine,) = await gonzo.tasks_of(assignee="gonzo")
    complete = ts.CompleteTaskRequest(task_id=mine.id, user_id="kermit")
    assert await outcome(gonzo.tasks.CompleteTask(complete)) == "PERMISSION_DENIED in-anothers-name"
    assert await outcome(admin.tasks.CompleteTask(complete)) == "ok"


async def test_whoever_manages_tasks_does_all_of_them(small: World) -> None:
    admin = small.person("admin", "*")
    manager = small.person("boss", *DOER, "engine.task.manage")
    await admin.deploy(ONE)
    await admin.start("one")

    (task,) = await manager.tasks_of()

    assert await outcome(manager.tasks.ClaimTask(claim(task.id, "anybody"))) == "ok"
    assert await outcome(manager.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))) == "ok"


async def test_an_action_needs_the_privilege_of_its_method(small: World) -> None:
    admin = small.person("admin", "*")
    acting = small.person("kermit", "engine.task.act", "engine.task.claim", "engine.task.read")
    await admin.deploy(ONE)
    await admin.start("one")
    (task,) = await acting.tasks_of()

    async def act(action: str) -> str:
        request = ts.ExecuteTaskActionRequest(task_id=task.id, action=action, assignee="kermit")
        return await outcome(acting.tasks.ExecuteTaskAction(request))

    assert await act("claim") == "ok"
    assert [await act(action) for action in ("complete", "delegate", "resolve")] == [
        "PERMISSION_DENIED privilege-missing"
    ] * 3


async def test_without_the_restriction_privileges_alone_decide_as_in_flowable(tmp_path: Path) -> None:
    async with running(f"sqlite:///{tmp_path / 'engine.db'}", restricted=False) as world:
        admin, gonzo = world.person("admin", "*"), world.person("gonzo", *DOER)
        await admin.deploy(ONE)
        await admin.start("one")

        (task,) = await gonzo.tasks_of()

        assert await outcome(gonzo.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))) == "ok"


async def test_the_user_of_expressions_and_events_is_the_principal(small: World) -> None:
    admin = small.person("admin", "*")
    script = bpmn("who", sequence('<userTask id="e1" flowable:assignee="${authenticatedUserId}"/>'))
    kermit = small.person("kermit", "engine.process-instance.*", "engine.task.*")
    await admin.deploy(script)

    started = await kermit.start("who")

    (task,) = await admin.tasks_of(process_instance_id=started.id)
    assert (started.start_user_id, task.assignee) == ("kermit", "kermit")


@pytest.mark.parametrize("restricted", [False, True])
async def test_rights_cost_no_statement_more(tmp_path: Path, restricted: bool) -> None:
    """The rules are checked with the rows that a batch loads anyway: the same packets, the same statements."""
    async with running(f"sqlite:///{tmp_path / 'engine.db'}", restricted=restricted) as world:
        admin = world.person("admin", "*")
        kermit = world.person("kermit", *DOER, "engine.process-instance.start")
        await admin.deploy(ONE, OFFERED)
        counted: dict[str, list[int]] = {}
        for name, who in (("admin", admin), ("kermit", kermit)):
            await admin.start("one")
            (task,) = await admin.tasks_of(name="Approve")
            counts = []
            for call in (
                lambda who=who, name=name: who.start("offered", request_id=f"start-{name}"),
                lambda who=who, task=task: who.tasks.ClaimTask(claim(task.id, "kermit")),
                lambda who=who, task=task: who.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id)),
            ):
                with counting() as statements:
                    await call()
                counts.append(len(statements))
            counted[name] = counts

    assert counted["admin"] == counted["kermit"]


class counting:  # noqa: N801 - a context manager
    """Count the statements of the writers."""

    def __init__(self) -> None:
        self._type = Writer
        self.found: list[Any] = []

    def __enter__(self) -> list[Any]:
        self._run = self._type.run
        found, run = self.found, self._run

        def counted(writer: Any, statements: Any) -> Any:
            found.extend(statements)
            return run(writer, statements)

        self._type.run = counted  # type: ignore[method-assign]
        return found

    def __exit__(self, *_: object) -> None:
        self._type.run = self._run  # type: ignore[method-assign]


async def test_a_batch_stream_keeps_the_rules(small: World) -> None:
    admin = small.person("admin", "*")
    gonzo = small.person("gonzo", *DOER)
    await admin.deploy(ONE)
    await admin.start("one")
    (task,) = await admin.tasks_of()

    async def requests() -> Any:
        command = ts.CompleteCommand(correlation=1, complete=ts.CompleteTaskRequest(task_id=task.id))
        yield ts.CompleteTasksRequest(commands=[command])

    results = [result async for answer in gonzo.tasks.CompleteTasks(requests()) for result in answer.results]

    assert [result.error.code for result in results] == [grpc.StatusCode.NOT_FOUND.value[0]]
