"""Variable listeners: watched, in the command that changes the variable."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel import commands as cmd
from engine.kernel.state import Tree
from engine.kernel.values import variables_of
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, state_of, tasks_of
from tests.engine.kernel.models import (
    boundary,
    catch,
    end,
    event_sub_process,
    flows,
    model,
    service,
    start,
    user_task,
)


def listener(name: str = "v", attributes: str = "") -> str:
    inner = f'<flowable:variableListenerEventDefinition variableName="{name}" {attributes}/>'
    return f"<extensionElements>{inner}</extensionElements>"


def put(engine: MemoryEngine, tree: Tree, **variables: object) -> None:
    engine.run(tree.root_id, cmd.SetVariables(execution_id=tree.root_id, variables=variables_of(variables)))


class TestVariableCatch(WaitingContract):
    content = start() + catch("x", listener()) + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        put(engine, tree, v=len(engine.history[tree.root_id]))


def test_what_was_set_before_and_other_names_do_not_count() -> None:
    engine = engine_with(model(start(), catch("c", listener()), end(), flows("s>c>e")))
    tree = engine.start("p", {"v": 1})

    put(engine, tree, w=1)
    assert state_of(engine.trees[tree.root_id]) == "active"
    put(engine, tree, v=2)

    assert state_of(engine.trees[tree.root_id]) == "completed"


@pytest.mark.parametrize(
    ("kind", "expected"), [("all", 3), ("create", 1), ("update", 1), ("update-create", 2), ("delete", 1)]
)
def test_only_changes_of_its_kind_count_and_each_of_them(kind: str, expected: int) -> None:
    event = listener(attributes=f'variableChangeType="{kind}"')
    engine = engine_with(
        model(start(), user_task("u"), boundary("b", "u", event, interrupting=False), user_task("n"), flows("s>u b>n"))
    )
    tree = engine.start("p")

    put(engine, tree, v=1)
    put(engine, tree, v=2)
    engine.run(tree.root_id, cmd.RemoveVariables(execution_id=tree.root_id, names=["v"]))

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]).count("n") == expected


def test_an_interrupting_event_sub_process_hears_what_the_process_itself_sets() -> None:
    inside = start("s2", listener()) + user_task("h") + end("e2") + flows("s2>h>e2")
    engine = engine_with(
        model(
            start(),
            user_task("a"),
            service("x", "${execution.setVariable('v', 1)}"),
            user_task("b"),
            end(),
            flows("s>a>x>b>e"),
            event_sub_process("es", inside),
        )
    )
    tree = engine.start("p")

    engine.complete(tree, "a")

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["h"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [(listener(""), "variableName"), (listener(attributes='variableChangeType="often"'), "variableChangeType")],
)
def test_what_could_not_work_is_refused_at_deployment(event: str, expected: str) -> None:
    with pytest.raises(InvalidModel, match=expected):
        engine_with(model(start(), catch("c", event), end(), flows("s>c>e")))
