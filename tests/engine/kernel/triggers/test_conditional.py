"""Conditional events: tested when variables are set from outside, and on request."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel import commands as cmd
from engine.kernel.state import Tree
from engine.kernel.values import variables_of
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, tasks_of
from tests.engine.kernel.models import boundary, catch, end, flows, model, start, user_task

CONDITION = "<conditionalEventDefinition><condition>${v > 1}</condition></conditionalEventDefinition>"


def set_to(engine: MemoryEngine, tree: Tree, value: int) -> None:
    engine.run(tree.root_id, cmd.SetVariables(execution_id=tree.root_id, variables=variables_of({"v": value})))


class TestConditionalCatch(WaitingContract):
    content = start() + catch("x", CONDITION) + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        set_to(engine, tree, 2)


def test_a_condition_that_does_not_hold_changes_nothing() -> None:
    engine = engine_with(
        model(start(), user_task("a"), boundary("b", "a", CONDITION), user_task("c"), end(), flows("s>a>e b>c>e"))
    )
    tree = engine.start("p")

    set_to(engine, tree, 1)
    assert tasks_of(engine.trees[tree.root_id]) == ["a"]
    set_to(engine, tree, 2)

    assert tasks_of(engine.trees[tree.root_id]) == ["c"]


def test_an_event_that_does_not_interrupt_happens_each_time() -> None:
    conditional = boundary("b", "a", CONDITION, interrupting=False)
    engine = engine_with(model(start(), user_task("a"), conditional, user_task("c"), end(), flows("s>a>e b>c>e")))
    tree = engine.start("p", {"v": 5})

    for _ in range(2):
        engine.run(tree.root_id, cmd.EvaluateConditions(instance_id=tree.root_id))

    assert tasks_of(engine.trees[tree.root_id]) == ["a", "c", "c"]


def test_a_condition_may_be_a_script() -> None:
    condition = '<condition language="javascript">v === 2</condition>'
    script = f"<conditionalEventDefinition>{condition}</conditionalEventDefinition>"
    engine = engine_with(model(start(), user_task("a"), boundary("b", "a", script), user_task("c"), flows("s>a b>c")))
    tree = engine.start("p")

    set_to(engine, tree, 1)
    assert tasks_of(engine.trees[tree.root_id]) == ["a"]
    set_to(engine, tree, 2)

    assert tasks_of(engine.trees[tree.root_id]) == ["c"]


def test_a_condition_in_an_unknown_language_is_refused() -> None:
    script = '<conditionalEventDefinition><condition language="groovy">v == 2</condition></conditionalEventDefinition>'

    with pytest.raises(InvalidModel, match="found one in 'groovy'"):
        engine_with(model(start(), user_task("a"), boundary("b", "a", script), flows("s>a b>a")))
