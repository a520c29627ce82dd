"""Executions and activity instances, which are read out of token JSON."""

from typing import Any

import pytest

from engine.app.queries import (
    GLOBAL,
    LOCAL,
    ActivityInstanceFilter,
    EventSubscriptionFilter,
    ExecutionFilter,
    ExecutionView,
    Page,
    VariableCondition,
    VariableInstanceFilter,
)
from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.storage import tables
from engine.storage.queries import scanning
from mesh.errors import InvalidArgument, NotFound
from tests.engine.storage.queries.world import CALLED, CALLER, LOOP, REVIEW, ReadWorld
from tests.engine.storage.support import ONE_TASK, START

PAGE = Page(size=100)


async def _list(world: ReadWorld, **wanted: Any) -> list[ExecutionView]:
    return list((await world.queries.list_executions(ExecutionFilter(**wanted), PAGE)).rows)


async def _waiting(world: ReadWorld, **wanted: Any) -> list[str]:
    return sorted(view.activity_id for view in await _list(world, waiting=True, **wanted))


async def test_executions_are_the_instance_and_its_tree(world: ReadWorld) -> None:
    world.bench.define(LOOP)
    instance_id = await world.bench.start("loop")

    root, box, body, *turns = await _list(world, process_instance_id=instance_id)

    assert (root.id, root.parent_id, root.activity_id, root.waiting) == (instance_id, "", "", False)
    assert (box.activity_id, box.activity_type, box.parent_id, box.waiting) == ("box", "subProcess", instance_id, False)
    assert (body.activity_id, body.parent_id, body.waiting) == ("each", box.id, False)
    assert [(turn.activity_id, turn.parent_id, turn.waiting) for turn in turns] == [("each", body.id, True)] * 3
    assert {view.process_definition_id for view in (root, box, *turns)} == {"loop"}


async def test_tokens_wait_at_tasks_messages_and_calls_not_at_scopes(world: ReadWorld) -> None:
    for model in (REVIEW, LOOP, CALLED, CALLER):
        world.bench.define(model)
    review, loop = await world.bench.start("review", due=None), await world.bench.start("loop")
    caller = await world.bench.start("caller")

    assert await _waiting(world, process_instance_id=review) == ["approve", "wait"]
    assert await _waiting(world, process_instance_id=loop) == ["each", "each", "each"]
    assert await _waiting(world, process_instance_id=caller) == ["call"]
    assert await _waiting(world, root_process_instance_id=caller) == ["call", "inner"]


async def test_called_instance_names_the_execution_that_called_it(world: ReadWorld) -> None:
    world.bench.define(CALLED)
    world.bench.define(CALLER)
    caller = await world.bench.start("caller")
    call = world.execution_at(caller, "call")

    (called,) = [view for view in await _list(world, root_process_instance_id=caller) if view.super_execution_id]

    assert called.super_execution_id == call
    assert called.id == called.process_instance_id != caller
    assert called.root_process_instance_id == caller


async def test_execution_is_found_by_its_id_whatever_it_waits_for(world: ReadWorld) -> None:
    for model in (REVIEW, LOOP, CALLED, CALLER):
        world.bench.define(model)
        if model is not CALLED:
            key = {REVIEW: "review", LOOP: "loop", CALLER: "caller"}[model]
            await world.bench.start(key, due=None)

    for view in await _list(world):
        assert await world.queries.get_execution(view.id) == view
        assert await _list(world, id=view.id) == [view]
    with pytest.raises(NotFound, match="'x'"):
        await world.queries.get_execution("x")


async def test_execution_filters(world: ReadWorld) -> None:
    for model in (REVIEW, LOOP):
        world.bench.define(model)
    start = cmd.StartProcess(definition_id="review", business_key="b", variables={"due": Variable("null", None)})
    review = (await world.bench.group.submit(start))["process_instance_id"]
    loop = await world.bench.start("loop")
    wait = world.execution_at(review, "wait")
    box = world.execution_at(loop, "box")

    assert [view.id for view in await _list(world, message_event_subscription_name="papers")] == [wait]
    assert await _list(world, signal_event_subscription_name="papers") == []
    assert [view.id for view in await _list(world, activity_id="box")] == [box]
    assert len(await _list(world, activity_id="each")) == 4
    assert len(await _list(world, parent_id=review)) == 2
    assert len(await _list(world, only_child_executions=True)) == len(await _list(world)) - 2
    assert {view.process_instance_id for view in await _list(world, process_business_key="b")} == {review}
    assert {view.process_instance_id for view in await _list(world, process_definition_key="loop")} == {loop}
    assert {view.process_instance_id for view in await _list(world, process_definition_id="loop")} == {loop}
    assert {view.id for view in await _list(world, waiting=False)} >= {review, loop, box}
    assert await _list(world, tenant_id="acme") == []


async def test_conditions_on_variables_tell_the_execution_from_its_instance(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    instance_id = await world.bench.start("one", colour="red")
    await world.bench.start("one")
    execution_id = world.execution_at(instance_id, "task")
    local = {"size": Variable("integer", 5)}
    await world.bench.group.submit(cmd.SetVariables(execution_id=execution_id, variables=local, local=True))
    red = VariableCondition(name="colour", operation="equals", value=Variable("string", "red"))
    five = VariableCondition(name="size", operation="equals", value=Variable("integer", 5))
    sizeless = VariableCondition(name="size", operation="notExists")

    assert [view.id for view in await _list(world, variables=(five,))] == [execution_id]
    assert [view.id for view in await _list(world, variables=(red,))] == [instance_id]
    assert [view.id for view in await _list(world, process_instance_variables=(red,))] == [instance_id, execution_id]
    assert [view.id for view in await _list(world, process_instance_variables=(red,), variables=(sizeless,))] == [
        instance_id
    ]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["", "id", "processDefinitionKey"])
async def test_pages_of_executions_walk_the_same_list_that_one_page_shows(
    world: ReadWorld, sort: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "BATCH", 2)
    for model in (LOOP, REVIEW):
        world.bench.define(model)
    for number in range(5):
        await world.bench.start("loop" if number % 2 else "review", due=None)
    whole = await world.queries.list_executions(ExecutionFilter(), Page(size=100, sort=sort, order=order))

    walked, token = [], ""
    for _ in range(20):
        page = Page(size=4, sort=sort, order=order, page_token=token)
        listed = await world.queries.list_executions(ExecutionFilter(), page)
        walked.extend(listed.rows)
        token = listed.next_page_token
        if not token:
            break

    assert walked == list(whole.rows)
    assert len(walked) == whole.total == 3 * 3 + 2 * 6
    by_offset = await world.queries.list_executions(ExecutionFilter(), Page(size=4, start=7, sort=sort, order=order))
    assert list(by_offset.rows) == walked[7:11]
    assert by_offset.total == whole.total


async def test_more_instances_than_can_be_sorted_in_memory_are_refused_or_not_counted(
    world: ReadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "BATCH", 2)
    monkeypatch.setattr(scanning, "MAX_TREES_IN_MEMORY", 4)
    world.bench.define(ONE_TASK)
    for _ in range(6):
        await world.bench.start("one")

    listed = await world.queries.list_executions(ExecutionFilter(), Page(size=3))

    assert (listed.size, listed.total) == (3, None)
    assert listed.next_page_token
    with pytest.raises(InvalidArgument, match="MAX_TREES_IN_MEMORY"):
        await world.queries.list_executions(ExecutionFilter(), Page(sort="id"))


async def test_active_activities_are_those_of_the_execution_and_below(world: ReadWorld) -> None:
    world.bench.define(LOOP)
    instance_id = await world.bench.start("loop")
    turn = (await _list(world, process_instance_id=instance_id, waiting=True))[0]

    assert await world.queries.list_active_activities(instance_id) == ["box", "each"]
    assert await world.queries.list_active_activities(turn.id) == ["each"]


async def test_execution_sees_local_variables_and_counters_of_its_scopes(world: ReadWorld) -> None:
    world.bench.define(LOOP)
    instance_id = await world.bench.start("loop", colour="red")
    first, second, _ = await _list(world, process_instance_id=instance_id, waiting=True)
    local = {"colour": Variable("string", "blue")}
    await world.bench.group.submit(cmd.SetVariables(execution_id=first.id, variables=local, local=True))
    await world.bench.complete(world.bench.rows(tables.task, execution_id=second.id)[0]["id"])

    seen = {v.name: (v.variable.value, v.scope) for v in await world.queries.list_execution_variables(first.id)}
    own = [v.name for v in await world.queries.list_execution_variables(first.id, LOCAL)]
    outer = {v.name: v.variable.value for v in await world.queries.list_execution_variables(first.id, GLOBAL)}

    assert seen == {
        "colour": ("blue", LOCAL),
        "loopCounter": (0, LOCAL),
        "nrOfActiveInstances": (2, GLOBAL),
        "nrOfCompletedInstances": (1, GLOBAL),
        "nrOfInstances": (3, GLOBAL),
    }
    assert own == ["colour", "loopCounter"]
    assert outer["colour"] == "red"
    counter = await world.queries.get_execution_variable(first.id, "loopCounter")
    assert counter.variable == Variable("integer", 0)
    with pytest.raises(NotFound, match="'loopCounter'"):
        await world.queries.get_execution_variable(instance_id, "loopCounter")
    assert [v.name for v in await world.queries.list_execution_variables(instance_id)] == ["colour"]


async def test_activity_instances_are_where_tokens_are(world: ReadWorld) -> None:
    world.bench.define(REVIEW)
    instance_id = await world.bench.start("review", due=None)
    await world.bench.start("review", due=None)
    asked = ActivityInstanceFilter(process_instance_id=instance_id)

    listed = await world.queries.list_activity_instances(asked, PAGE)
    approve, wait = listed.rows

    assert (approve.activity_id, approve.activity_name, approve.activity_type) == ("approve", "Approve", "userTask")
    assert (approve.task_id, approve.assignee) == (world.bench.task_of(instance_id), "kermit")
    assert (wait.activity_id, wait.activity_name, wait.task_id) == ("wait", "Wait for it", "")
    assert approve.start_time is not None
    assert listed.total == 2

    async def count(**wanted: Any) -> int:
        found = await world.queries.list_activity_instances(ActivityInstanceFilter(**wanted), PAGE)
        return found.size

    assert await count() == 4
    assert await count(task_assignee="kermit") == await count(activity_id="wait") == 2
    assert await count(activity_type="userTask") == await count(activity_name="Approve") == 2
    assert await count(execution_id=wait.execution_id) == await count(activity_instance_id=wait.id) == 1
    assert await count(finished=True) == 0
    by_type = await world.queries.list_activity_instances(ActivityInstanceFilter(), Page(sort="activityType", size=1))
    assert by_type.rows[0].activity_type == "intermediateCatchEvent"


async def test_event_subscriptions_are_messages_and_signals_only(world: ReadWorld) -> None:
    for model in (REVIEW, LOOP):
        world.bench.define(model)
    instance_id = await world.bench.start("review", due=None)
    await world.bench.start("loop")

    listed = await world.queries.list_event_subscriptions(EventSubscriptionFilter(), PAGE)
    (found,) = listed.rows

    assert (found.event_type, found.event_name, found.activity_id) == ("message", "papers", "wait")
    assert (found.process_instance_id, found.process_definition_id, found.created) == (instance_id, "review", START)
    assert await world.queries.get_event_subscription(found.id) == found
    for wanted in (
        {"event_name": "papers", "event_type": "message"},
        {"execution_id": found.execution_id},
        {"activity_id": "wait", "process_instance_id": instance_id, "process_definition_id": "review"},
        {"without_tenant_id": True},
    ):
        matching = await world.queries.list_event_subscriptions(EventSubscriptionFilter(**wanted), PAGE)
        assert [row.id for row in matching.rows] == [found.id], wanted
    for wanted in ({"created_after": START}, {"without_process_instance_id": True}, {"tenant_id_like": "a%"}):
        none = await world.queries.list_event_subscriptions(EventSubscriptionFilter(**wanted), PAGE)
        assert none.size == 0, wanted
    (scope,) = world.bench.rows(tables.subscription, element_id="box")
    with pytest.raises(NotFound):
        await world.queries.get_event_subscription(scope["id"])


async def test_variable_instances_say_where_they_hang(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    instance_id = await world.bench.start("one", colour="red", data=b"\x01")
    task_id = world.bench.task_of(instance_id)
    execution_id = world.execution_at(instance_id, "task")
    local = {"own": Variable("integer", 1)}
    await world.bench.group.submit(cmd.SetVariables(execution_id=execution_id, variables=local, local=True))

    async def names(**wanted: Any) -> list[str]:
        found = await world.queries.list_variable_instances(VariableInstanceFilter(**wanted), PAGE)
        return [row.name for row in found.rows]

    listed = await world.queries.list_variable_instances(VariableInstanceFilter(), PAGE)
    colour, data, own = listed.rows
    assert (colour.process_instance_id, colour.execution_id, colour.task_id) == (instance_id, instance_id, "")
    assert (own.execution_id, own.task_id, own.scope, colour.scope) == (execution_id, task_id, LOCAL, GLOBAL)
    assert (await world.queries.get_variable_instance(data.id)).variable == Variable("binary", b"\x01")
    assert await names(task_id=task_id) == await names(execution_id=execution_id) == ["own"]
    assert await names(process_instance_id=instance_id) == ["colour", "data", "own"]
    assert await names(exclude_task_variables=True) == await names(exclude_local_variables=True) == ["colour", "data"]
    assert await names(variable_name="own") == await names(variable_name_like="o%") == ["own"]
    red = VariableCondition(name="colour", operation="equals", value=Variable("string", "red"))
    assert await names(variables=(red,)) == ["colour"]
    for unknown in ("x", "!", ""):
        with pytest.raises(NotFound):
            await world.queries.get_variable_instance(unknown)
