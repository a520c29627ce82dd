"""Cancel: a transaction undone as a whole."""

import pytest

from engine.bpmn.problems import InvalidModel
from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.harness import canceled, started, tasks_of
from tests.engine.kernel.models import (
    boundary,
    end,
    flow,
    flows,
    loop,
    model,
    service,
    start,
    sub_process,
    user_task,
)

CANCEL = "<cancelEventDefinition/>"
COMPENSATE = "<compensateEventDefinition/>"
INSIDE = (
    start("s2")
    + '<parallelGateway id="f"/>'
    + service("book")
    + boundary("on-book", "book", COMPENSATE)
    + service("unbook", attributes='isForCompensation="true"')
    + '<association id="as" sourceRef="on-book" targetRef="unbook"/>'
    + user_task("waiting")
    + end("cancelled", CANCEL)
    + flows("s2>f>waiting f>book>cancelled")
)
TRANSACTION = sub_process("x", INSIDE, tag="transaction") + boundary("b", "x", CANCEL)


class TestCancelledTransaction(ElementContract):
    content = start() + TRANSACTION + end() + flows("s>x>e b>e")


def test_what_is_open_is_cancelled_what_is_done_is_undone_and_the_boundary_event_goes_on() -> None:
    engine = engine_with(model(start(), TRANSACTION, user_task("after"), end(), flows("s>x>e b>after>e")))

    tree = engine.start("p")

    engine.check_replay()
    assert tasks_of(tree) == ["after"]
    assert canceled(engine.history[tree.root_id]) == ["waiting", "x"]
    assert started(engine.history[tree.root_id])[-3:] == ["unbook", "b", "after"]


def test_a_transaction_that_can_be_cancelled_needs_a_way_out() -> None:
    with pytest.raises(InvalidModel, match="element 'x': expected a cancel boundary event"):
        engine_with(model(start(), sub_process("x", INSIDE, tag="transaction"), end(), flows("s>x>e")))


def test_a_cancel_boundary_event_belongs_on_a_transaction() -> None:
    with pytest.raises(InvalidModel, match="element 'b': expected a cancel boundary event on a transaction"):
        engine_with(model(start(), user_task("x"), boundary("b", "x", CANCEL), end(), flows("s>x>e b>e")))


def test_all_turns_of_a_multi_instance_transaction_are_undone() -> None:
    inside = (
        start("s2")
        + service("book")
        + boundary("on-book", "book", COMPENSATE)
        + service("unbook", attributes='isForCompensation="true"')
        + '<association id="as" sourceRef="on-book" targetRef="unbook"/>'
        + user_task("ask")
        + '<exclusiveGateway id="g" default="g-cancelled"/>'
        + end("kept")
        + end("cancelled", CANCEL)
        + flows("s2>book>ask>g g>cancelled")
        + flow("g", "kept", "${confirmed}")
        + loop("4")
    )
    transaction = sub_process("x", inside, tag="transaction") + boundary("b", "x", CANCEL)
    engine = engine_with(model(start(), transaction, user_task("after"), end(), flows("s>x>e b>after>e")))
    tree = engine.start("p")

    engine.complete(tree, "ask", {"confirmed": True})
    engine.complete(tree, "ask", {"confirmed": False})

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["after"]
    assert started(engine.history[tree.root_id]).count("unbook") == 4


def test_a_transaction_has_one_cancel_boundary_event() -> None:
    with pytest.raises(InvalidModel, match="element 'c': expected one boundary event with a cancelEventDefinition"):
        engine_with(model(start(), TRANSACTION, boundary("c", "x", CANCEL), end(), flows("s>x>e b>e c>e")))
