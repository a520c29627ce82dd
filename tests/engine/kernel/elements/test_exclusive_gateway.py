"""Tests of exclusive gateway elements."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel.errors import Refused
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, tasks_of
from tests.engine.kernel.models import end, flow, flows, model, start, user_task


class TestExclusiveGateway(WaitingContract):
    content = start() + '<exclusiveGateway id="x"/>' + user_task("a") + end() + flows("s>x>a>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)


def choice(*ways: str, default: str = "") -> str:
    gateway = f'<exclusiveGateway id="x" {default}/>'
    return model(start(), gateway, user_task("a"), user_task("b"), flows("s>x"), *ways)


def test_the_first_flow_whose_condition_holds_is_taken() -> None:
    engine = engine_with(choice(flow("x", "a", "${v > 1}"), flow("x", "b", "${v > 0}")))

    assert [tasks_of(engine.start("p", {"v": v})) for v in (2, 1)] == [["a"], ["b"]]


def test_the_default_flow_is_taken_when_no_condition_holds() -> None:
    engine = engine_with(choice(flow("x", "a", "${v > 1}"), flow("x", "b"), default='default="x-b"'))

    assert tasks_of(engine.start("p", {"v": 0})) == ["b"]


def test_without_a_way_out_the_command_is_refused() -> None:
    engine = engine_with(choice(flow("x", "a", "${v > 1}"), flow("x", "b", "${v > 2}")))

    with pytest.raises(Refused) as caught:
        engine.start("p", {"v": 0})

    assert (caught.value.status, caught.value.reason) == ("FAILED_PRECONDITION", "no-way-out")


def test_a_condition_that_is_no_boolean_refuses_the_command() -> None:
    engine = engine_with(choice(flow("x", "a", "${v}"), flow("x", "b")))

    with pytest.raises(Refused, match="expected the condition to give true or false"):
        engine.start("p", {"v": 7})


def test_a_gateway_without_a_way_out_is_refused_at_deployment() -> None:
    with pytest.raises(InvalidModel, match="element 'x': expected at least one sequence flow"):
        engine_with(model(start(), '<exclusiveGateway id="x"/>', flows("s>x")))
