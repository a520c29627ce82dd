"""Running process instances and conditions on their variables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.app.queries import LOCAL, Page, ProcessInstanceFilter, VariableCondition
from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from mesh.errors import InvalidArgument, NotFound
from tests.engine.storage.queries.world import CALLED, CALLER, LOOP, REVIEW, ReadWorld
from tests.engine.storage.support import ONE_TASK, START

PAGE = Page()


async def _ids(world: ReadWorld, **wanted: Any) -> list[str]:
    listed = await world.queries.list_process_instances(ProcessInstanceFilter(**wanted), PAGE)
    return [instance.id for instance in listed.rows]


async def test_instance_shows_its_definition_and_where_it_waits(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    command = cmd.StartProcess(definition_id="one", business_key="b", name="n", user_id="kermit")
    instance_id = (await world.bench.group.submit(command))["process_instance_id"]

    found = await world.queries.get_process_instance(instance_id)

    assert (found.business_key, found.name, found.start_user_id, found.start_time) == ("b", "n", "kermit", START)
    assert (found.process_definition_id, found.process_definition_key, found.process_definition_version) == (
        "one",
        "one",
        1,
    )
    assert (found.root_process_instance_id, found.super_process_instance_id) == (instance_id, "")
    assert (found.state, found.suspended, found.activity_id, found.variables) == ("active", False, "task", ())


async def test_instance_that_waits_at_several_elements_names_none_of_them(world: ReadWorld) -> None:
    world.bench.define(REVIEW)
    instance_id = await world.bench.start("review", due=None)

    assert (await world.queries.get_process_instance(instance_id)).activity_id == ""


async def test_unknown_and_ended_instances_are_not_found(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    instance_id = await world.bench.start("one")
    await world.bench.complete(world.bench.task_of(instance_id))

    for wanted in ("x", instance_id):
        for ask in (
            world.queries.get_process_instance(wanted),
            world.queries.list_process_instance_variables(wanted),
            world.queries.get_process_instance_variable(wanted, "a"),
            world.queries.list_process_instance_identity_links(wanted),
        ):
            with pytest.raises(NotFound, match=wanted):
                await ask


async def test_tree_filters_know_callers_and_called(world: ReadWorld) -> None:
    world.bench.define(CALLED)
    world.bench.define(CALLER)
    caller = await world.bench.start("caller")
    alone = await world.bench.start("called")
    (called,) = set(await _ids(world)) - {caller, alone}

    assert await _ids(world, super_process_instance_id=caller) == [called]
    assert await _ids(world, sub_process_instance_id=called) == [caller]
    assert await _ids(world, root_process_instance_id=caller) == sorted([caller, called])
    assert await _ids(world, exclude_subprocesses=True) == sorted([caller, alone])
    assert await _ids(world, active_activity_id="call") == [caller]
    assert await _ids(world, active_activity_id="inner") == sorted([called, alone])
    assert await _ids(world, active_activity_id="nowhere") == []
    assert await _ids(world, active_activity_ids=("call", "inner")) == sorted([caller, called, alone])
    assert await _ids(world, active_activity_ids=("call", "nowhere"), active_activity_id="call") == [caller]
    assert await _ids(world, active_activity_ids=("call",), active_activity_id="inner") == []


async def test_scopes_and_messages_are_active_activities_too(world: ReadWorld) -> None:
    world.bench.define(LOOP)
    world.bench.define(REVIEW)
    loop, review = await world.bench.start("loop"), await world.bench.start("review", due=None)

    assert await _ids(world, active_activity_id="box") == await _ids(world, active_activity_id="each") == [loop]
    assert await _ids(world, active_activity_id="wait") == [review]


async def test_definition_filters(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    world.bench.define(REVIEW)
    one, review = await world.bench.start("one"), await world.bench.start("review", due=None)

    assert await _ids(world, process_definition_id="one") == await _ids(world, process_definition_key="one") == [one]
    assert await _ids(world, process_definition_keys=("one", "x")) == [one]
    assert await _ids(world, exclude_process_definition_keys=("one",)) == [review]
    assert await _ids(world, deployment_id="d") == [one, review]
    assert await _ids(world, process_definition_ids=("one", "x")) == [one]
    assert await _ids(world, process_definition_key_like="rev%") == [review]
    assert await _ids(world, process_definition_name_like="nothing%") == []
    assert await _ids(world, deployment_id_in=("d", "e")) == [one, review]
    assert await _ids(world, deployment_id_in=("e",)) == []
    assert await _ids(world, process_definition_category_like="c%") == []
    assert await _ids(world, deployment_id="e") == await _ids(world, process_definition_category="c") == []
    assert await _ids(world, process_definition_version=2) == []


async def test_own_filters(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    start = cmd.StartProcess(
        definition_id="one", business_key="Order 7", business_status="ready", name="Big one", user_id="kermit"
    )
    first = (await world.bench.group.submit(start))["process_instance_id"]
    world.bench.clock.advance(timedelta(hours=1))
    second = await world.bench.start("one")
    await world.bench.group.submit(cmd.SuspendInstance(instance_id=second))
    now = world.bench.clock.now()

    for wanted in (
        {"id": first},
        {"process_instance_ids": (first, "x")},
        {"name": "Big one"},
        {"name_like": "Big%"},
        {"name_like_ignore_case": "%ONE"},
        {"business_key": "Order 7"},
        {"business_key_like": "%7"},
        {"process_instance_id": first},
        {"process_instance_name": "Big one"},
        {"process_instance_name_like": "Big%"},
        {"process_instance_name_like_ignore_case": "%ONE"},
        {"process_business_key": "Order 7"},
        {"process_business_key_like": "%7"},
        {"process_business_key_like_ignore_case": "ORDER%"},
        {"process_business_status": "ready"},
        {"started_by": "kermit"},
        {"started_before": now},
        {"suspended": False},
        {"involved_user": "kermit"},
    ):
        assert await _ids(world, **wanted) == [first], wanted
    assert await _ids(world, started_after=START) == await _ids(world, suspended=True) == [second]
    assert await _ids(world, without_tenant_id=True) == [first, second]
    assert await _ids(world, tenant_id="acme") == await _ids(world, tenant_id_like="a%") == []
    assert await _ids(world, callback_id="c") == await _ids(world, reference_id="r") == []


async def test_variables_come_along_if_asked_for(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    await world.bench.start("one", a=1)
    await world.bench.start("one")
    world.statements.clear()

    listed = await world.queries.list_process_instances(ProcessInstanceFilter(include_process_variables=True), PAGE)

    assert [[(v.name, v.variable, v.scope) for v in row.variables] for row in listed.rows] == [
        [("a", Variable("integer", 1), LOCAL)],
        [],
    ]
    assert len(world.statements) == 2


async def test_every_type_of_variable_comes_back_as_it_was(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    variables = {
        "binary": Variable("binary", b"\x00\xff"),
        "boolean": Variable("boolean", True),
        "date": Variable("date", datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        "double": Variable("double", 5.0),
        "integer": Variable("integer", -7),
        "json": Variable("json", {"a": [1, None, "ä"]}),
        "long": Variable("long", 2**62),
        "null": Variable("null", None),
        "string": Variable("string", "ü" * 1000),
    }
    reply = await world.bench.group.submit(cmd.StartProcess(definition_id="one", variables=variables))
    instance_id = reply["process_instance_id"]

    found = await world.queries.list_process_instance_variables(instance_id)

    assert {v.name: v.variable for v in found} == variables
    assert [v.name for v in found] == sorted(variables)
    assert type((await world.queries.get_process_instance_variable(instance_id, "double")).variable.value) is float
    with pytest.raises(NotFound, match="'other'"):
        await world.queries.get_process_instance_variable(instance_id, "other")


async def test_starter_is_linked_to_the_instance(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    reply = await world.bench.group.submit(cmd.StartProcess(definition_id="one", user_id="kermit"))
    instance_id = reply["process_instance_id"]

    (link,) = await world.queries.list_process_instance_identity_links(instance_id)

    assert (link.user, link.type) == ("kermit", "starter")
    assert await world.queries.get_process_instance_identity_link(instance_id, "kermit", "starter") == link
    with pytest.raises(NotFound):
        await world.queries.get_process_instance_identity_link(instance_id, "kermit", "participant")


# --- conditions on variables ------------------------------------------------------------------------------------------

_MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
_LONG_TEXT = "x" * 300
_HELD: dict[str, Variable] = {
    "text": Variable("string", "Straße"),
    "whole": Variable("integer", 5),
    "big": Variable("long", 2**60 + 1),
    "real": Variable("double", 2.5),
    "flag": Variable("boolean", True),
    "when": Variable("date", _MOMENT),
    "none": Variable("null", None),
    "doc": Variable("json", {"a": 1}),
    "long_text": Variable("string", _LONG_TEXT + "1"),
}


_CONDITIONS: tuple[tuple[str, str, Variable | None, bool], ...] = (
    ("text", "equals", Variable("string", "Straße"), True),
    ("text", "equals", Variable("string", "straße"), False),
    ("text", "equalsIgnoreCase", Variable("string", "STRAßE"), True),
    ("text", "notEquals", Variable("string", "Straße"), False),
    ("text", "notEquals", Variable("string", "x"), True),
    ("text", "notEqualsIgnoreCase", Variable("string", "STRAßE"), False),
    ("text", "like", Variable("string", "Str_ß%"), True),
    ("text", "like", Variable("string", "str%"), False),
    ("text", "likeIgnoreCase", Variable("string", "STR%"), True),
    ("text", "greaterThan", Variable("string", "Stra"), True),
    ("text", "equals", Variable("integer", 5), False),
    ("whole", "equals", Variable("integer", 5), True),
    ("whole", "equals", Variable("double", 5.0), True),
    ("whole", "equals", Variable("string", "5"), False),
    ("whole", "greaterThan", Variable("integer", 5), False),
    ("whole", "greaterThanOrEquals", Variable("integer", 5), True),
    ("whole", "lessThan", Variable("integer", 10), True),
    ("whole", "lessThanOrEquals", Variable("integer", 4), False),
    ("whole", "notEquals", Variable("integer", 6), True),
    ("big", "equals", Variable("long", 2**60 + 1), True),
    ("big", "equals", Variable("long", 2**60), False),
    ("real", "greaterThan", Variable("double", 2.4), True),
    ("flag", "equals", Variable("boolean", True), True),
    ("flag", "notEquals", Variable("boolean", True), False),
    ("when", "equals", Variable("date", _MOMENT), True),
    ("when", "lessThan", Variable("date", _MOMENT + timedelta(milliseconds=1)), True),
    ("when", "greaterThan", Variable("date", _MOMENT), False),
    ("none", "equals", Variable("null", None), True),
    ("none", "notEquals", Variable("null", None), False),
    ("none", "notEquals", Variable("string", "x"), True),
    ("doc", "notEquals", Variable("integer", 1), True),
    ("doc", "exists", None, True),
    ("missing", "exists", None, False),
    ("missing", "notExists", None, True),
    ("doc", "notExists", None, False),
    ("missing", "notEquals", Variable("string", "x"), False),
    ("long_text", "equals", Variable("string", _LONG_TEXT + "1"), True),
    ("long_text", "equals", Variable("string", _LONG_TEXT + "2"), False),
    ("long_text", "notEquals", Variable("string", _LONG_TEXT + "2"), True),
    ("", "equals", Variable("string", "Straße"), True),
    ("", "equals", Variable("string", "nobody's"), False),
)


async def test_conditions_on_variables_hold_where_they_should(world: ReadWorld) -> None:
    world.bench.define(ONE_TASK)
    reply = await world.bench.group.submit(cmd.StartProcess(definition_id="one", variables=_HELD))
    instance_id = reply["process_instance_id"]

    wrong = []
    for name, operation, value, holds in _CONDITIONS:
        found = await _ids(world, variables=(VariableCondition(name=name, operation=operation, value=value),))
        if found != ([instance_id] if holds else []):
            wrong.append((name, operation, value, found))

    assert not wrong


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (VariableCondition(name="a", operation="resembles", value=Variable("string", "x")), "variables[0].operation"),
        (VariableCondition(name="a", operation="equals"), "variables[0].value"),
        (VariableCondition(operation="like", value=Variable("string", "x")), "variables[0].name"),
        (VariableCondition(operation="exists"), "variables[0].name"),
        (VariableCondition(operation="notExists"), "variables[0].name"),
        (VariableCondition(name="a", operation="like", value=Variable("integer", 1)), "variables[0].type"),
        (VariableCondition(name="a", operation="greaterThan", value=Variable("boolean", True)), "variables[0].type"),
        (VariableCondition(name="a", operation="equals", value=Variable("json", {})), "variables[0].type"),
    ],
)
async def test_conditions_that_cannot_be_read_are_refused(
    world: ReadWorld, condition: VariableCondition, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await _ids(world, variables=(condition,))

    assert [violation.field for violation in refused.value.violations] == [field]
