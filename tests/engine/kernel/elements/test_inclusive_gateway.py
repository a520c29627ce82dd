"""Tests of inclusive gateway elements."""

import pytest

from engine.kernel.errors import Refused
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, tasks_of
from tests.engine.kernel.models import end, flow, flows, model, start, user_task


class TestInclusiveGateway(WaitingContract):
    content = (
        start()
        + '<inclusiveGateway id="fork"/><inclusiveGateway id="join"/>'
        + user_task("a")
        + user_task("b")
        + end()
        + flows("s>fork>a>join>e fork>b>join")
    )

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)


def test_the_join_waits_only_for_tokens_that_can_still_come() -> None:
    engine = engine_with(
        model(
            start(),
            '<inclusiveGateway id="fork"/><inclusiveGateway id="join"/>',
            '<exclusiveGateway id="choice" default="choice-elsewhere"/>',
            user_task("a"),
            user_task("b"),
            user_task("elsewhere"),
            user_task("after"),
            flows("s>fork>a>join>after fork>b>choice choice>elsewhere"),
            flow("choice", "join", "${v == 1}"),
        )
    )
    tree = engine.start("p", {"v": 0})

    engine.complete(tree, "a")
    assert tasks_of(engine.trees[tree.root_id]) == ["b"]
    engine.complete(tree, "b")

    assert tasks_of(engine.trees[tree.root_id]) == ["after", "elsewhere"]


def test_a_default_flow_is_taken_whatever_its_condition_says() -> None:
    engine = engine_with(
        model(
            start(),
            '<inclusiveGateway id="g" default="g-b"/>',
            user_task("a"),
            user_task("b"),
            flows("s>g"),
            flow("g", "a", "${v == 1}"),
            flow("g", "b", "${v == 2}"),
        )
    )

    assert tasks_of(engine.start("p", {"v": 1})) == ["a"]
    assert tasks_of(engine.start("p", {"v": 3})) == ["b"]


def test_a_condition_gives_true_or_false_and_no_text() -> None:
    engine = engine_with(model(start(), user_task("a"), flow("s", "a", "${v}")))

    with pytest.raises(Refused, match="expected the condition to give true or false, found str 'true'"):
        engine.start("p", {"v": "true"})


def test_an_asynchronous_join_waits_for_the_token_that_is_queued_before_it() -> None:
    fork, join = '<inclusiveGateway id="f"/>', '<inclusiveGateway id="j" flowable:async="true"/>'
    engine = engine_with(
        model(start(), fork, user_task("a"), user_task("b"), join, user_task("c"), end(), flows("s>f>a>j>c>e f>b>j"))
    )
    tree = engine.start("p")

    engine.complete(tree, "a")
    engine.run_jobs()
    engine.complete(tree, "b")

    assert tasks_of(engine.trees[tree.root_id]) == []
    engine.run_jobs()
    assert tasks_of(engine.trees[tree.root_id]) == ["c"]
