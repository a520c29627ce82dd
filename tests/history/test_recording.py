"""What history makes of what an engine does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import World, values_of

REVIEW = bpmn.model(
    bpmn.start(),
    bpmn.user_task("review", attributes='flowable:assignee="kermit" flowable:category="papers"'),
    bpmn.service("file"),
    bpmn.end(),
    bpmn.flows("s>review>file>e"),
)


def _moment(stamp: object) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)  # type: ignore[attr-defined,no-any-return]


async def test_a_finished_instance_is_kept_with_its_times_its_end_and_who_started_it(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", business_key="order-1", name="First", user_id="fozzie")
    world.engine.later(seconds=90)
    world.engine.user_id = "kermit"
    world.engine.complete(tree, "review")
    history = await world.start()

    await history.caught_up()
    (found,) = await history.instances()

    assert (found.id, found.state, found.process_definition_key) == (tree.root_id, "completed", "p")
    assert (found.business_key, found.name, found.process_definition_version) == ("order-1", "First", 1)
    assert (_moment(found.start_time), found.duration_in_millis) == (BEGINNING, 90_000)
    assert (found.start_activity_id, found.end_activity_id) == ("s", "e")
    assert (found.start_user_id, found.end_user_id) == ("fozzie", "kermit")
    assert found.root_process_instance_id == tree.root_id
    assert not found.HasField("delete_reason")


async def test_activities_are_told_in_the_order_in_which_they_started_with_the_flows_between_them(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    world.engine.later(seconds=5)
    world.engine.complete(tree, "review")
    history = await world.start()

    await history.caught_up()
    from flowloom.history.v1 import history_service_pb2 as pb

    request = pb.ListHistoricActivityInstancesRequest(process_instance_id=tree.root_id, size=100)
    found = (await history.stub.ListHistoricActivityInstances(request)).data

    assert [row.activity_id for row in found] == ["s", "s-review", "review", "review-file", "file", "file-e", "e"]
    assert [row.activity_type for row in found][:3] == ["startEvent", "sequenceFlow", "userTask"]
    review = found[2]
    assert (review.assignee, review.duration_in_millis, review.canceled) == ("kermit", 5000, False)
    assert review.task_id
    assert review.process_definition_id.startswith("p:1:")


async def test_a_running_instance_has_open_activities_and_tasks(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    history = await world.start()

    await history.caught_up()
    (instance,) = await history.instances(finished=False)
    (open_one,) = await history.activities(tree.root_id, finished=False)
    (task,) = await history.tasks(finished=False)

    assert (instance.state, instance.HasField("end_time"), instance.HasField("duration_in_millis")) == (
        "active",
        False,
        False,
    )
    assert (open_one.activity_id, open_one.HasField("end_time")) == ("review", False)
    assert (task.name, task.assignee, task.category, task.task_definition_key) == (
        "review",
        "kermit",
        "papers",
        "review",
    )


async def test_a_task_is_kept_with_its_claim_its_work_time_and_who_completed_it(world: World) -> None:
    world.engine.deploy(bpmn.model(bpmn.start(), bpmn.user_task("review"), bpmn.end(), bpmn.flows("s>review>e")))
    tree = world.engine.start("p")
    world.engine.later(seconds=10)
    task_id = world.engine.task(tree, "review")
    world.engine.run(tree.root_id, cmd.ClaimTask(task_id=task_id, assignee="gonzo"))
    world.engine.later(seconds=20)
    world.engine.run(tree.root_id, cmd.CompleteTask(task_id=task_id, user_id="gonzo"))
    history = await world.start()

    await history.caught_up()
    (task,) = await history.tasks()
    (activity,) = await history.activities(tree.root_id, activity_type="userTask")

    assert (task.id, task.assignee, task.completed_by) == (task_id, "gonzo", "gonzo")
    assert (task.duration_in_millis, task.work_time_in_millis) == (30_000, 20_000)
    assert (activity.assignee, activity.task_id) == ("gonzo", task_id)


async def test_the_last_values_of_variables_stay_after_the_end(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", {"amount": 5, "who": "kermit", "big": 2**60, "rate": 2.5, "tags": ["a", {"b": 1}]})
    world.engine.later(seconds=1)
    world.engine.set_variables(
        tree, amount=7, when=datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC), none=None, yes=True
    )
    world.engine.complete(tree, "review")
    history = await world.start()

    await history.caught_up()
    found = await history.variables(process_instance_id=tree.root_id, size=100)
    types = {row.variable.name: row.variable.type for row in found}
    amount = next(row for row in found if row.variable.name == "amount")

    assert values_of(found) == {
        "amount": 7,
        "big": str(2**60),
        "none": None,
        "rate": 2.5,
        "tags": ["a", {"b": 1}],
        "when": "2026-03-04T05:06:07.089Z",
        "who": "kermit",
        "yes": True,
    }
    assert (types["amount"], types["big"], types["none"], types["tags"]) == ("integer", "long", "null", "json")
    assert (amount.execution_id, amount.variable.scope) == (tree.root_id, "global")
    assert (amount.last_updated_time.seconds - amount.create_time.seconds) == 1


async def test_a_variable_that_somebody_removes_is_gone_from_history(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", {"amount": 5, "other": 1})
    world.engine.run(tree.root_id, cmd.RemoveVariables(execution_id=tree.root_id, names=("amount",)))
    history = await world.start()

    await history.caught_up()

    assert [row.variable.name for row in await history.variables()] == ["other"]


async def test_the_bytes_of_a_binary_variable_are_told_by_themselves(world: World) -> None:
    from flowloom.history.v1 import history_service_pb2 as pb

    world.engine.deploy(REVIEW)
    world.engine.start("p", {"photo": bytes(range(256))})
    history = await world.start()
    await history.caught_up()
    (found,) = await history.variables()

    body = await history.stub.GetHistoricVariableInstanceData(
        pb.GetHistoricVariableInstanceDataRequest(variable_instance_id=found.id)
    )

    assert found.variable.value_url == f"/process-api/history/historic-variable-instances/{found.id}/data"
    assert not found.variable.HasField("value")
    assert body.data == bytes(range(256))


async def test_a_loop_back_to_an_element_makes_an_activity_for_each_stay(world: World) -> None:
    again = bpmn.flow("gate", "review", "${again}")
    world.engine.deploy(
        bpmn.model(
            bpmn.start(),
            bpmn.user_task("review"),
            '<exclusiveGateway id="gate" default="gate-e"/>',
            bpmn.end(),
            bpmn.flows("s>review>gate>e"),
            again,
        )
    )
    tree = world.engine.start("p", {"again": True})
    world.engine.complete(tree, "review")
    world.engine.complete(tree, "review", {"again": False})
    history = await world.start()

    await history.caught_up()
    found = await history.activities(tree.root_id)

    assert [row.activity_id for row in found] == ["s", "review", "gate", "review", "gate", "e"]
    assert len({row.id for row in found}) == 6


async def test_a_multi_instance_activity_has_one_activity_for_each_turn_and_none_for_its_frame(world: World) -> None:
    world.engine.deploy(
        bpmn.model(bpmn.start(), bpmn.user_task("vote", bpmn.loop("3")), bpmn.end(), bpmn.flows("s>vote>e"))
    )
    tree = world.engine.start("p")
    for _ in range(3):
        world.engine.complete(tree, "vote")
    history = await world.start()

    await history.caught_up()
    found = await history.activities(tree.root_id)

    assert [row.activity_id for row in found] == ["s", "vote", "vote", "vote", "e"]
    assert all(row.HasField("end_time") and not row.canceled for row in found)


async def test_a_deleted_instance_is_terminated_and_its_open_activities_and_tasks_are_cancelled(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    world.engine.run(tree.root_id, cmd.DeleteInstance(instance_id=tree.root_id, reason="a mistake"))
    history = await world.start()

    await history.caught_up()
    (instance,) = await history.instances()
    (review,) = await history.activities(tree.root_id, canceled=True)
    (task,) = await history.tasks()

    assert (instance.state, instance.delete_reason) == ("terminated", "a mistake")
    assert (review.activity_id, review.HasField("end_time")) == ("review", True)
    assert task.HasField("end_time")
    assert task.delete_reason
    assert not task.HasField("completed_by")


async def test_a_called_instance_knows_its_caller_and_the_caller_knows_it(world: World) -> None:
    world.engine.deploy(
        bpmn.document(
            bpmn.process(
                bpmn.start(),
                '<callActivity id="call" calledElement="child"/>',
                bpmn.end(),
                bpmn.flows("s>call>e"),
                key="parent",
            )
        ),
        bpmn.document(
            bpmn.process(bpmn.start(), bpmn.user_task("work"), bpmn.end(), bpmn.flows("s>work>e"), key="child")
        ),
    )
    tree = world.engine.start("parent")
    history = await world.start()

    await history.caught_up()
    (child,) = await history.instances(super_process_instance_id=tree.root_id)
    (call,) = await history.activities(tree.root_id, activity_type="callActivity")
    tasks = await history.tasks(process_instance_id_with_children=tree.root_id)

    assert (child.process_definition_key, child.root_process_instance_id) == ("child", tree.root_id)
    assert call.called_process_instance_id == child.id
    assert [task.process_instance_id for task in tasks] == [child.id]
    assert [row.id for row in await history.instances(exclude_subprocesses=True)] == [tree.root_id]


async def test_suspension_renaming_and_a_new_business_key_are_followed(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p", business_key="old")
    world.engine.run(
        tree.root_id, cmd.UpdateInstance(instance_id=tree.root_id, changes={"name": "New", "business_key": "new"})
    )
    world.engine.run(tree.root_id, cmd.SuspendInstance(instance_id=tree.root_id))
    history = await world.start()
    await history.caught_up()
    (suspended,) = await history.instances()

    world.engine.run(tree.root_id, cmd.ActivateInstance(instance_id=tree.root_id))
    history.bus.wake()
    await history.caught_up()
    (active,) = await history.instances()

    assert (suspended.name, suspended.business_key, suspended.state) == ("New", "new", "suspended")
    assert active.state == "active"


async def test_a_migrated_instance_and_all_it_did_belong_to_the_new_definition(world: World) -> None:
    world.engine.deploy(REVIEW)
    tree = world.engine.start("p")
    history = await world.start()
    await history.caught_up()
    renamed = REVIEW.replace('"review"', '"check"').replace("s-review", "s-check").replace("review-file", "check-file")
    (second,) = world.engine.deploy(renamed)
    world.engine.run(
        tree.root_id,
        cmd.MigrateInstance(instance_id=tree.root_id, definition_id=second.id, mappings={"review": "check"}),
    )
    world.engine.complete(tree, "check")
    history.bus.wake()

    await history.caught_up()
    (instance,) = await history.instances()
    found = await history.activities(tree.root_id)
    (task,) = await history.tasks()

    assert (instance.process_definition_id, instance.process_definition_version) == (second.id, 2)
    assert {row.process_definition_id for row in found} == {second.id}
    assert [row.activity_id for row in found] == ["s", "check", "file", "e"]
    assert (task.process_definition_id, task.task_definition_key) == (second.id, "check")


async def test_candidate_groups_and_involved_users_find_tasks_and_instances(world: World) -> None:
    candidates = 'flowable:candidateGroups="reviewers" flowable:candidateUsers="piggy"'
    world.engine.deploy(
        bpmn.model(bpmn.start(), bpmn.user_task("review", attributes=candidates), bpmn.end(), bpmn.flows("s>review>e"))
    )
    tree = world.engine.start("p", user_id="kermit")
    taken = world.engine.start("p", user_id="gonzo")
    world.engine.run(taken.root_id, cmd.ClaimTask(task_id=world.engine.task(taken, "review"), assignee="piggy"))
    history = await world.start()

    await history.caught_up()

    assert [task.process_instance_id for task in await history.tasks(task_candidate_group="reviewers")] == [
        tree.root_id
    ]
    assert len(await history.tasks(task_candidate_group="reviewers", ignore_task_assignee=True)) == 2
    assert await history.tasks(task_candidate_group="others") == []
    assert len(await history.tasks(task_involved_user="piggy")) == 2
    assert [row.id for row in await history.instances(involved_user="kermit")] == [tree.root_id]


@pytest.mark.parametrize("batch_messages", [1, 3, 200])
async def test_the_size_of_batches_changes_nothing_of_what_is_kept(world: World, batch_messages: int) -> None:
    from mesh.bus.ports import GroupSettings

    world.engine.deploy(REVIEW)
    trees = [world.engine.start("p", {"n": n}) for n in range(6)]
    for tree in trees:
        world.engine.later(seconds=1)
        world.engine.set_variables(tree, n=100)
    for tree in trees:
        world.engine.complete(tree, "review", {"done": True})
    bus = GroupSettings(batch_messages=batch_messages, linger_seconds=0.0, poll_seconds=0.01)
    history = await world.start(bus)

    await history.caught_up()

    assert [row.duration_in_millis for row in await history.instances()] == [6000] * 6
    for tree in trees:
        assert values_of(await history.variables(process_instance_id=tree.root_id)) == {"n": 100, "done": True}
        assert [row.activity_id for row in await history.activities(tree.root_id)] == ["s", "review", "file", "e"]


async def test_of_a_task_that_was_deleted_with_its_history_nothing_is_kept(world: World) -> None:
    def task(task_id: str) -> dict[str, Any]:
        return {"instance_id": "", "task_id": task_id, "execution_id": "", "element_id": "", "at": BEGINNING}

    for task_id in ("gone", "kept"):
        link = ev.IdentityLinkAdded(
            instance_id="", link_id=f"l-{task_id}", kind="candidate", at=BEGINNING, task_id=task_id, user_id="piggy"
        )
        own = ev.VariableSet(
            instance_id="", scope_id=task_id, name="a", type="integer", value=1, created=True, at=BEGINNING, leaf=True
        )
        world.engine.tell(task_id, [ev.TaskCreated(**task(task_id), name="Buy paper"), own, link])
    world.engine.tell("kept", [ev.TaskEnded(**task("kept"), canceled=True, reason="not needed")])
    history = await world.start()
    await history.caught_up()
    assert len(await history.variables()) == 2
    world.engine.tell("gone", [ev.TaskEnded(**task("gone"), canceled=True, forget=True)])

    await history.caught_up()

    assert [(found.id, found.delete_reason) for found in await history.tasks()] == [("kept", "not needed")]
    assert [found.task_id for found in await history.variables()] == ["kept"]
    assert [found.id for found in await history.tasks(task_involved_user="piggy")] == ["kept"]


async def test_a_standalone_task_is_kept_without_a_process_instance(world: World) -> None:
    task: dict[str, Any] = {"instance_id": "", "task_id": "t", "execution_id": ""}
    done = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
    world.engine.tell(
        "t",
        [
            ev.TaskCreated(**task, element_id="", name="Buy paper", at=BEGINNING, tenant_id="acme"),
            ev.VariableSet(
                instance_id="", scope_id="t", name="a", type="integer", value=1, created=True, at=BEGINNING, leaf=True
            ),
        ],
    )
    world.engine.tell("t", [ev.TaskUpdated(**task, at=BEGINNING, changes={"assignee": "kermit"})])
    world.engine.tell("t", [ev.TaskEnded(**task, element_id="", at=done, completed_by="kermit")])
    history = await world.start()

    await history.caught_up()
    (found,) = await history.tasks()
    (variable,) = await history.variables(task_id="t")

    assert (found.id, found.name, found.assignee, found.tenant_id) == ("t", "Buy paper", "kermit", "acme")
    assert (found.duration_in_millis, found.completed_by, found.process_instance_id) == (60_000, "kermit", "")
    assert (variable.task_id, variable.process_instance_id) == ("t", "")
    assert values_of([variable]) == {"a": 1}
    assert await history.instances() == []
