"""Open tasks: filters, variables, links."""

from datetime import timedelta
from typing import Any

import pytest

from engine.app.queries import GLOBAL, LOCAL, IdentityLinkView, Page, TaskFilter, VariableCondition
from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.storage import tables
from mesh.errors import InvalidArgument, NotFound
from tests.engine.storage.queries.world import CALLED, CALLER, LOOP, REVIEW, ReadWorld
from tests.engine.storage.support import ONE_TASK, START, Bench

PAGE = Page()


async def _names(world: ReadWorld, **wanted: Any) -> list[str]:
    listed = await world.queries.list_tasks(TaskFilter(**wanted), PAGE)
    return [task.name for task in listed.rows]


async def _ids(world: ReadWorld, **wanted: Any) -> set[str]:
    listed = await world.queries.list_tasks(TaskFilter(**wanted), PAGE)
    assert listed.total == len(listed.rows)
    return {task.id for task in listed.rows}


async def _task(bench: Bench, **changes: Any) -> str:
    """An Approve task, for candidates managers, clerks and kermit, with changes."""
    definition = "one" if "one" in bench.source.known else bench.define(ONE_TASK)
    task_id = bench.task_of(await bench.start(definition))
    if changes:
        await bench.group.submit(cmd.UpdateTask(task_id=task_id, changes=changes))
    return task_id


def _execution(world: ReadWorld, task_id: str) -> str:
    (row,) = world.bench.rows(tables.task, id=task_id)
    return str(row["execution_id"])


def _standalone(world: ReadWorld, task_id: str, **values: Any) -> str:
    blank = {column.name: "" for column in tables.task.columns}
    row = {"created_at": START, "priority": 50, "suspended": False, "due_at": None, "claimed_at": None, "name": "Alone"}
    world.bench.insert(tables.task, blank | row | {"id": task_id} | values)
    return task_id


async def test_task_has_what_its_row_has(world: ReadWorld) -> None:
    world.bench.define(REVIEW)
    instance = await world.bench.start("review", due="2026-06-01T08:00:00Z")

    task = await world.queries.get_task(world.bench.task_of(instance))

    assert (task.name, task.assignee, task.task_definition_key) == ("Approve", "kermit", "approve")
    assert (task.process_instance_id, task.process_definition_id) == (instance, "review")
    assert task.due_date is not None
    assert task.due_date.isoformat() == "2026-06-01T08:00:00+00:00"
    assert (task.create_time, task.claim_time, task.priority, task.suspended) == (START, None, 50, False)
    assert task.execution_id == world.execution_at(instance, "approve")


async def test_unknown_task_is_not_found(world: ReadWorld) -> None:
    for ask in (
        world.queries.get_task("x"),
        world.queries.get_tasks(["x"]),
        world.queries.list_subtasks("x"),
        world.queries.list_task_variables("x"),
        world.queries.list_task_identity_links("x"),
    ):
        with pytest.raises(NotFound, match="'x'"):
            await ask


async def test_several_tasks_come_in_the_order_of_their_ids(world: ReadWorld) -> None:
    first, second = await _task(world.bench), await _task(world.bench)

    found = await world.queries.get_tasks([second, first, second])

    assert [task.id for task in found] == [second, first, second]


async def test_texts_are_found_exactly_by_pattern_and_in_any_case(world: ReadWorld) -> None:
    await _task(world.bench, name="Änderung 100%", description="a_b", category="x", form_key="f")
    await _task(world.bench, name="änderung [1]", description="aXb")

    assert await _names(world, name="Änderung 100%") == ["Änderung 100%"]
    assert await _names(world, name_like="Änderung%") == ["Änderung 100%"]
    assert await _names(world, name_like="%[1]") == ["änderung [1]"]
    assert await _names(world, name_like="%*%") == []
    assert len(await _names(world, name_like_ignore_case="ÄNDERUNG%")) == 2
    assert len(await _names(world, description_like="a_b")) == 2
    assert len(await _names(world, description="a_b")) == 1
    assert await _names(world, category="x") == await _names(world, category_in=("x", "y")) == ["Änderung 100%"]
    assert await _names(world, category_in=("y",)) == await _names(world, category_not_in=("x",)) == []
    assert await _names(world, category_not_in=("y",)) == ["Änderung 100%"]
    assert await _names(world, without_category=True) == ["änderung [1]"]
    assert await _names(world, form_key="f") == ["Änderung 100%"]


async def test_backslash_in_a_pattern_is_only_a_backslash(world: ReadWorld) -> None:
    task_id = await _task(world.bench, name="a\\%b")

    assert await _ids(world, name_like="a\\%b") == {task_id}
    assert await _ids(world, name_like="a\\_b") == {task_id}
    assert await _ids(world, name_like="a_b") == set()


async def test_assignment_and_priority_filter(world: ReadWorld) -> None:
    low = await _task(world.bench, assignee="fozzie", owner="kermit", priority=10)
    high = await _task(world.bench, priority=90)

    assert await _ids(world, assignee="fozzie") == await _ids(world, assigned=True) == {low}
    assert await _ids(world, assignee_like="foz%") == await _ids(world, owner="kermit") == {low}
    assert await _ids(world, owner_like="%mit") == {low}
    assert await _ids(world, unassigned=True) == await _ids(world, minimum_priority=50) == {high}
    assert await _ids(world, maximum_priority=10) == await _ids(world, priority=10) == {low}


async def test_candidates_see_only_what_nobody_has(world: ReadWorld) -> None:
    free = await _task(world.bench)
    taken = await _task(world.bench, assignee="fozzie")

    assert await _ids(world, candidate_user="kermit") == {free}
    assert await _ids(world, candidate_user="kermit", ignore_assignee=True) == {free, taken}
    assert await _ids(world, candidate_user="gonzo") == set()
    assert await _ids(world, candidate_user="gonzo", user_groups=("clerks", "other")) == {free}
    assert await _ids(world, candidate_group="managers") == {free}
    assert await _ids(world, candidate_group_in=("managers", "clerks")) == {free}
    assert await _ids(world, candidate_group="other") == set()
    assert await _ids(world, candidate_groups=("other", "clerks")) == {free}
    assert await _ids(world, candidate_groups=("clerks",), ignore_assignee=True) == {free, taken}
    assert await _ids(world, candidate_groups=("other",)) == set()


async def test_standalone_tasks_are_those_without_an_instance(world: ReadWorld) -> None:
    await _task(world.bench)
    alone = _standalone(world, "alone")

    assert await _ids(world, without_process_instance_id=True) == {alone}


async def test_only_states_of_delegation_are_asked_for(world: ReadWorld) -> None:
    await _task(world.bench)

    assert await _ids(world, delegation_state="pending") == set()
    with pytest.raises(InvalidArgument, match="pending or resolved, found 'unknown'"):
        await _ids(world, delegation_state="unknown")


async def test_candidate_or_assigned_is_what_one_has_or_could_claim(world: ReadWorld) -> None:
    free = await _task(world.bench)
    own = await _task(world.bench, assignee="kermit")
    other = await _task(world.bench, assignee="fozzie")

    assert await _ids(world, candidate_or_assigned="kermit") == {free, own}
    assert await _ids(world, candidate_or_assigned="fozzie") == {other}
    assert await _ids(world, candidate_or_assigned="fozzie", user_groups=("managers",)) == {free, other}


async def test_involved_user_is_linked_or_has_or_owns_the_task(world: ReadWorld) -> None:
    linked = await _task(world.bench)
    owned = await _task(world.bench, owner="kermit")
    assigned = await _task(world.bench, assignee="fozzie")
    await world.bench.group.submit(cmd.AddIdentityLink(task_id=linked, kind="watcher", linked_user_id="rowlf"))

    assert await _ids(world, involved_user="kermit") == {linked, owned, assigned}
    assert await _ids(world, involved_user="fozzie") == {assigned}
    assert await _ids(world, involved_user="rowlf") == {linked}


async def test_time_filters_exclude_the_moment_itself(world: ReadWorld) -> None:
    early = await _task(world.bench, due_at=START)
    world.bench.clock.advance(timedelta(hours=1))
    late = await _task(world.bench)
    now = world.bench.clock.now()

    assert await _ids(world, created_on=START) == await _ids(world, created_before=now) == {early}
    assert await _ids(world, created_after=START) == {late}
    assert await _ids(world, due_date=START) == await _ids(world, due_before=now) == {early}
    assert await _ids(world, due_after=START) == set()
    assert await _ids(world, without_due_date=True) == {late}


async def test_tasks_of_a_process_and_of_what_it_called(world: ReadWorld) -> None:
    world.bench.define(CALLED)
    world.bench.define(CALLER)
    caller = await world.bench.start("caller")
    alone = await world.bench.start("called")

    inside = await _ids(world, process_instance_id_with_children=caller)

    assert len(inside) == 1
    assert await _ids(world, process_instance_id=caller) == set()
    assert await _ids(world, process_definition_key="called") == inside | {world.bench.task_of(alone)}
    assert await _ids(world, process_definition_key_like="call%", process_instance_id_in=(alone,)) == {
        world.bench.task_of(alone)
    }
    assert await _ids(world, process_definition_id="called", task_definition_key="inner") == await _ids(
        world, task_definition_keys=("inner",)
    )


async def test_business_key_and_suspension_are_those_of_the_instance(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    reply = await world.bench.group.submit(cmd.StartProcess(definition_id="one", business_key="order-7"))
    task_id = world.bench.task_of(reply["process_instance_id"])
    other = await _task(world.bench)
    await world.bench.group.submit(cmd.SuspendInstance(instance_id=reply["process_instance_id"]))

    assert await _ids(world, process_instance_business_key="order-7") == {task_id}
    assert await _ids(world, process_instance_business_key_like="order%") == {task_id}
    assert await _ids(world, active=True) == {other}
    assert await _ids(world, active=False) == {task_id}


async def test_local_variables_hide_global_ones_of_their_name(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    task_id = world.bench.task_of(await world.bench.start("one", amount=1, colour="red"))
    local = {"amount": Variable("long", 2)}
    await world.bench.group.submit(
        cmd.SetVariables(execution_id=_execution(world, task_id), variables=local, local=True)
    )

    both = await world.queries.list_task_variables(task_id)
    own = await world.queries.list_task_variables(task_id, LOCAL)
    outer = await world.queries.list_task_variables(task_id, GLOBAL)

    assert [(v.name, v.variable, v.scope) for v in both] == [
        ("amount", Variable("long", 2), LOCAL),
        ("colour", Variable("string", "red"), GLOBAL),
    ]
    assert [(v.name, v.variable) for v in own] == [("amount", Variable("long", 2))]
    assert [(v.name, v.variable) for v in outer] == [
        ("amount", Variable("integer", 1)),
        ("colour", Variable("string", "red")),
    ]
    assert (await world.queries.get_task_variable(task_id, "amount")).variable.value == 2
    assert (await world.queries.get_task_variable(task_id, "amount", GLOBAL)).variable.value == 1
    with pytest.raises(NotFound, match="'colour'"):
        await world.queries.get_task_variable(task_id, "colour", LOCAL)
    with pytest.raises(InvalidArgument, match="local or global"):
        await world.queries.list_task_variables(task_id, "everywhere")


async def test_variables_come_with_the_list_by_one_more_statement(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    for number in range(3):
        task_id = world.bench.task_of(await world.bench.start("one", number=number))
        local = {"mine": Variable("integer", number)}
        await world.bench.group.submit(
            cmd.SetVariables(execution_id=_execution(world, task_id), variables=local, local=True)
        )
    world.statements.clear()

    wanted = TaskFilter(include_process_variables=True, include_task_local_variables=True)
    listed = await world.queries.list_tasks(wanted, PAGE)

    assert [[(v.name, v.variable.value, v.scope) for v in task.variables] for task in listed.rows] == [
        [("mine", number, LOCAL), ("number", number, GLOBAL)] for number in range(3)
    ]
    assert len(world.statements) == 2


async def test_conditions_on_task_and_process_variables_look_at_their_own_scope(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    task_id = world.bench.task_of(await world.bench.start("one", colour="red"))
    local = {"size": Variable("integer", 5)}
    await world.bench.group.submit(
        cmd.SetVariables(execution_id=_execution(world, task_id), variables=local, local=True)
    )
    red = VariableCondition(name="colour", operation="equals", value=Variable("string", "red"))
    big = VariableCondition(name="size", operation="greaterThan", value=Variable("integer", 4))

    assert await _ids(world, task_variables=(big,), process_instance_variables=(red,)) == {task_id}
    assert await _ids(world, task_variables=(red,)) == set()
    assert await _ids(world, process_instance_variables=(big,)) == set()


async def test_turns_of_a_loop_see_their_counters(world: ReadWorld) -> None:
    world.bench.define(LOOP)
    await world.bench.start("loop")
    listed = await world.queries.list_tasks(TaskFilter(), PAGE)

    seen = [await world.queries.list_task_variables(task.id) for task in listed.rows]

    assert [{v.name: (v.variable.value, v.scope) for v in variables} for variables in seen] == [
        {
            "loopCounter": (number, LOCAL),
            "nrOfActiveInstances": (3, GLOBAL),
            "nrOfCompletedInstances": (0, GLOBAL),
            "nrOfInstances": (3, GLOBAL),
        }
        for number in range(3)
    ]


async def test_links_include_the_assignee_and_the_owner(world: ReadWorld) -> None:
    task_id = await _task(world.bench, assignee="fozzie", owner="rowlf")

    everybody = await world.queries.list_task_identity_links(task_id)
    groups = await world.queries.list_task_identity_links(task_id, "groups")

    assert sorted((link.type, link.user or link.group) for link in everybody) == [
        ("assignee", "fozzie"),
        ("candidate", "clerks"),
        ("candidate", "kermit"),
        ("candidate", "managers"),
        ("owner", "rowlf"),
    ]
    assert sorted(link.group for link in groups) == ["clerks", "managers"]
    found = await world.queries.get_task_identity_link(task_id, "users", "kermit", "candidate")
    assert found == IdentityLinkView(user="kermit", type="candidate")
    for family, who, kind in (("groups", "kermit", "candidate"), ("users", "kermit", "owner"), ("users", "", "owner")):
        with pytest.raises(NotFound):
            await world.queries.get_task_identity_link(task_id, family, who, kind)
    with pytest.raises(InvalidArgument, match="users or groups"):
        await world.queries.list_task_identity_links(task_id, "people")


async def test_standalone_tasks_have_variables_of_their_own_and_subtasks(world: ReadWorld) -> None:
    parent = _standalone(world, "t1")
    child = _standalone(world, "t2", name="Below", parent_task_id=parent)
    value = {"type": "string", "value": '"x"', "text_value": "x", "number_value": None, "leaf": True}
    world.bench.insert(tables.variable, {"root_id": "", "scope_id": parent, "name": "note", "instance_id": ""} | value)
    noted = VariableCondition(name="note", operation="exists")

    variables = await world.queries.list_task_variables(parent)

    assert [(v.name, v.variable.value, v.scope, v.scope_id) for v in variables] == [("note", "x", LOCAL, parent)]
    assert await world.queries.list_task_variables(parent, GLOBAL) == []
    assert [task.id for task in await world.queries.list_subtasks(parent)] == [child]
    assert await _ids(world, exclude_sub_tasks=True) == await _ids(world, task_variables=(noted,)) == {parent}
    task = await world.queries.get_task(parent, include_task_local_variables=True, include_process_variables=True)
    assert [v.name for v in task.variables] == ["note"]
