"""Multi-instance activities: how many turns, what each sees, when they are over."""

from collections.abc import Mapping
from typing import Any

import pytest

from engine.kernel.env import Limits
from engine.kernel.errors import Refused
from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.harness import MemoryEngine, canceled, state_of, tasks_of
from tests.engine.kernel.models import end, flows, loop, model, service, start, sub_process, user_task


def over(collection: str, *, sequential: bool = False, more: str = "") -> MemoryEngine:
    attributes = f'flowable:collection="{collection}" flowable:elementVariable="item"'
    task = user_task("a", loop("", sequential=sequential, attributes=attributes, more=more)).replace(
        'name="a"', 'name="${item}-${loopCounter}-${nrOfCompletedInstances}/${nrOfInstances}"'
    )
    return engine_with(model(start(), task, user_task("after"), end(), flows("s>a>after>e")))


def test_parallel_turns_each_have_their_element_and_counter() -> None:
    assert tasks_of(over("items").start("p", {"items": ["x", "y"]})) == ["x-0-0/2", "y-1-0/2"]


def test_sequential_turns_come_one_after_the_other() -> None:
    engine = over("${items}", sequential=True)
    tree = engine.start("p", {"items": ["x", "y"]})

    assert tasks_of(tree) == ["x-0-0/2"]
    engine.complete(tree, "a")

    assert tasks_of(engine.trees[tree.root_id]) == ["y-1-1/2"]
    engine.check_replay()


def test_a_completion_condition_cancels_the_rest() -> None:
    condition = "<completionCondition>${nrOfCompletedInstances >= 2}</completionCondition>"
    engine = over("items", more=condition)
    tree = engine.start("p", {"items": ["x", "y", "z"]})

    engine.complete(tree, "a")
    events = engine.complete(tree, "a")

    assert canceled(events) == ["a"]
    assert tasks_of(engine.trees[tree.root_id]) == ["after"]


def test_nothing_to_loop_over_is_passed_at_once() -> None:
    assert tasks_of(over("items").start("p", {"items": []})) == ["after"]


@pytest.mark.parametrize("variables", [{}, {"items": 7}, {"items": "no list"}])
def test_what_is_no_list_refuses_the_command(variables: Mapping[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        over("items").start("p", variables)

    assert (caught.value.status, caught.value.reason) == ("FAILED_PRECONDITION", "no-collection")


@pytest.mark.parametrize("count", [-1, 11])
def test_turns_are_counted_and_limited(count: int) -> None:
    engine = MemoryEngine(limits=Limits(loop_turns=10))
    engine.deploy(model(start(), user_task("a", loop("${n}")), flows("s>a")))

    with pytest.raises(Refused, match="loop turns"):
        engine.start("p", {"n": count})


def test_loops_nest() -> None:
    inside = loop("2") + start("s2") + user_task("a", loop("2")) + end("e2") + flows("s2>a>e2")
    engine = engine_with(model(start(), sub_process("x", inside), end(), flows("s>x>e")))
    tree = engine.start("p")

    assert tasks_of(tree) == ["a"] * 4
    for _ in range(4):
        engine.complete(tree, "a")

    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


def test_each_asynchronous_turn_is_a_job_and_the_leaving_is_one() -> None:
    task = service("a", attributes='flowable:async="true" flowable:asyncLeave="true"').replace(
        "/>", f">{loop('3')}</serviceTask>"
    )
    engine = engine_with(model(start(), task, end(), flows("s>a>e")))
    tree = engine.start("p")

    assert engine.run_jobs() == 4

    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


def test_what_the_turns_set_is_gathered_in_one_list() -> None:
    gather = (
        '<extensionElements><flowable:variableAggregation target="all"><variable source="v"/>'
        '<variable sourceExpression="${loopCounter}" target="n"/></flowable:variableAggregation></extensionElements>'
    )
    engine = engine_with(model(start(), user_task("a", loop("2", more=gather)), user_task("after"), flows("s>a>after")))
    tree = engine.start("p")

    engine.complete(tree, "a", {"v": "first"})
    engine.complete(tree, "a")

    engine.check_replay()
    variables = engine.trees[tree.root_id].variables[tree.root_id]
    assert {name: v.value for name, v in variables.items()} == {"all": [{"v": "first", "n": 0}, {"n": 1}]}
