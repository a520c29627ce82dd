"""Compensation: what was done is undone, newest first, with the variables of the time."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel.errors import Refused
from engine.kernel.events import VariableSet
from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.harness import started, state_of, tasks_of
from tests.engine.kernel.models import (
    boundary,
    end,
    flows,
    loop,
    model,
    service,
    start,
    sub_process,
    throw,
    user_task,
)

COMPENSATE = "<compensateEventDefinition/>"


def undoable(name: str, inner: str = "") -> str:
    """A service task with a handler `undo-<name>`."""
    return (
        f'<serviceTask id="{name}" flowable:expression="${{true}}">{inner}</serviceTask>'
        + boundary(f"on-{name}", name, COMPENSATE)
        + service(f"undo-{name}", attributes='isForCompensation="true"')
        + f'<association id="to-undo-{name}" sourceRef="on-{name}" targetRef="undo-{name}"/>'
    )


class TestCompensation(ElementContract):
    content = start() + undoable("a") + throw("x", COMPENSATE) + end() + flows("s>a>x>e")


def test_handlers_run_newest_first_and_once() -> None:
    engine = engine_with(
        model(
            start(),
            undoable("a"),
            undoable("b"),
            throw("x", COMPENSATE),
            throw("again", COMPENSATE),
            end(),
            flows("s>a>b>x>again>e"),
        )
    )

    tree = engine.start("p")

    assert [e for e in started(engine.history[tree.root_id]) if e.startswith("undo")] == ["undo-b", "undo-a"]


def test_with_a_reference_only_that_activity_is_undone() -> None:
    only = '<compensateEventDefinition activityRef="a"/>'
    engine = engine_with(model(start(), undoable("a"), undoable("b"), throw("x", only), end(), flows("s>a>b>x>e")))

    tree = engine.start("p")

    assert [e for e in started(engine.history[tree.root_id]) if e.startswith("undo")] == ["undo-a"]


def test_every_turn_of_a_loop_is_undone() -> None:
    engine = engine_with(model(start(), undoable("a", loop("3")), throw("x", COMPENSATE), end(), flows("s>a>x>e")))

    tree = engine.start("p")

    assert started(engine.history[tree.root_id]).count("undo-a") == 3


def test_handlers_of_a_finished_sub_process_see_its_variables() -> None:
    attributes = 'isForCompensation="true" flowable:resultVariable="seen"'
    undo = f'<scriptTask id="undo-a" {attributes}><script>${{price}}</script></scriptTask>'
    inside = (
        '<dataObject id="price" name="price" itemSubjectRef="xsd:int">'
        "<extensionElements><flowable:value>7</flowable:value></extensionElements></dataObject>"
        + start("s2")
        + service("a")
        + boundary("on-a", "a", COMPENSATE)
        + undo
        + '<association id="as" sourceRef="on-a" targetRef="undo-a"/>'
        + end("e2")
        + flows("s2>a>e2")
    )
    engine = engine_with(model(start(), sub_process("x", inside), throw("t", COMPENSATE), end(), flows("s>x>t>e")))

    tree = engine.start("p")

    engine.check_replay()
    seen = [e.value for e in engine.history[tree.root_id] if isinstance(e, VariableSet) and e.name == "seen"]
    assert seen == [7]
    assert state_of(tree) == "completed"


def test_the_scope_waits_for_a_handler_that_waits_but_its_thrower_does_not() -> None:
    inside = (
        start("s2")
        + service("a")
        + boundary("on-a", "a", COMPENSATE)
        + user_task("undo-a", attributes='isForCompensation="true"')
        + '<association id="as" sourceRef="on-a" targetRef="undo-a"/>'
        + flows("s2>a")
    )
    engine = engine_with(
        model(
            start(), sub_process("x", inside), throw("t", COMPENSATE), user_task("next"), end(), flows("s>x>t>next>e")
        )
    )

    tree = engine.start("p")

    assert tasks_of(tree) == ["next", "undo-a"]
    engine.complete(tree, "next")
    assert tasks_of(engine.trees[tree.root_id]) == ["undo-a"]
    engine.complete(tree, "undo-a")
    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


@pytest.mark.parametrize(
    ("definition", "expected"),
    [('<compensateEventDefinition activityRef="nobody"/>', "activityRef"), (COMPENSATE, "isForCompensation")],
)
def test_what_could_not_work_is_refused_at_deployment(definition: str, expected: str) -> None:
    content = (
        undoable("a").replace('isForCompensation="true"', "") if expected == "isForCompensation" else undoable("a")
    )
    with pytest.raises(InvalidModel, match=expected):
        engine_with(model(start(), content, throw("x", definition), end(), flows("s>a>x>e")))


def test_a_reference_reaches_into_a_finished_sub_process_and_leaves_the_rest_of_it() -> None:
    only = '<compensateEventDefinition activityRef="a"/>'
    inside = start("s2") + undoable("a", loop("2")) + undoable("b") + end("e2") + flows("s2>a>b>e2")
    engine = engine_with(
        model(
            start(), sub_process("x", inside), throw("t", only), throw("all", COMPENSATE), end(), flows("s>x>t>all>e")
        )
    )

    tree = engine.start("p")

    engine.check_replay()
    assert [e for e in started(engine.history[tree.root_id]) if e.startswith("undo")] == ["undo-a", "undo-a", "undo-b"]
    assert state_of(tree) == "completed"


def test_a_reference_to_the_handler_means_the_activity_that_it_undoes() -> None:
    only = '<compensateEventDefinition activityRef="undo-a"/>'
    engine = engine_with(model(start(), undoable("a"), undoable("b"), throw("x", only), end(), flows("s>a>b>x>e")))

    tree = engine.start("p")

    assert [e for e in started(engine.history[tree.root_id]) if e.startswith("undo")] == ["undo-a"]


def test_an_activity_has_one_handler() -> None:
    second = boundary("second", "a", COMPENSATE) + '<association id="as2" sourceRef="second" targetRef="undo-a"/>'
    with pytest.raises(InvalidModel, match="element 'second': expected one boundary event"):
        engine_with(model(start(), undoable("a"), second, end(), flows("s>a>e")))


def test_an_activity_that_nothing_undoes_begins_and_cannot_end() -> None:
    event = boundary("undo", "a", "<compensateEventDefinition/>")
    engine = engine_with(model(start(), user_task("a"), event, end(), flows("s>a>e")))
    tree = engine.start("p")

    with pytest.raises(Refused, match="element 'undo': expected an association") as caught:
        engine.complete(tree, "a")

    assert caught.value.status == "FAILED_PRECONDITION"
