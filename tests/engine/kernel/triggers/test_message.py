"""Messages: delivered to one waiting execution, starting instances, thrown to one receiver."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel.errors import Refused
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, canceled, state_of, tasks_of, waiting_at
from tests.engine.kernel.models import (
    boundary,
    catch,
    document,
    end,
    flows,
    message,
    messages,
    model,
    process,
    start,
    throw,
    user_task,
)


class TestMessageCatch(WaitingContract):
    content = start() + catch("x", message("m")) + end() + flows("s>x>e")
    root = messages("m")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.message(tree, "m", {"note": "here"})


def test_a_message_that_nobody_waits_for_is_refused_and_changes_nothing() -> None:
    engine = engine_with(model(start(), catch("x", message("m")), end(), flows("s>x>e"), root=messages("m")))
    tree = engine.start("p")

    with pytest.raises(Refused) as caught:
        engine.message(tree, "other")

    assert caught.value.status == "NOT_FOUND"
    assert waiting_at(engine.trees[tree.root_id]) == ["x"]


def test_an_interrupting_boundary_event_cancels_its_task() -> None:
    engine = engine_with(
        model(
            start(),
            user_task("a"),
            boundary("b", "a", message("m")),
            user_task("c"),
            end(),
            flows("s>a>e b>c>e"),
            root=messages("m"),
        )
    )
    tree = engine.start("p")

    events = engine.message(tree, "m", {"why": "late"})

    assert canceled(events) == ["a"]
    assert tasks_of(engine.trees[tree.root_id]) == ["c"]
    assert engine.trees[tree.root_id].variables[tree.root_id]["why"].value == "late"


def test_a_thrown_message_reaches_one_receiver_with_what_it_carries() -> None:
    out = '<extensionElements><flowable:out source="v" target="w"/></extensionElements>'
    sender = process(start(), throw("t", out + message("m")), end(), flows("s>t>e"), key="sender")
    receiver = process(start("rs"), catch("rc", message("m")), end("re"), flows("rs>rc>re"), key="receiver")
    engine = engine_with(document(sender, receiver, root=messages("m")))
    first, second = engine.start("receiver"), engine.start("receiver")

    engine.start("sender", {"v": 7})

    engine.check_replay()
    assert [state_of(engine.trees[t.root_id]) for t in (first, second)] == ["completed", "active"]


def test_a_message_start_event_starts_an_instance_with_its_variables() -> None:
    engine = engine_with(model(start("s", message("m")), user_task("a"), flows("s>a"), root=messages("m")))

    tree = engine.start_by_message("m", {"amount": 7})

    assert tasks_of(tree) == ["a"]
    assert tree.variables[tree.root_id]["amount"].value == 7


def test_a_message_event_without_a_reference_is_refused_at_deployment() -> None:
    with pytest.raises(InvalidModel, match="element 'x': expected a messageRef"):
        engine_with(model(start(), catch("x", "<messageEventDefinition/>"), end(), flows("s>x>e")))
