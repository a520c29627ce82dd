"""Terminate end events: a scope, a loop or everything."""

from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.harness import canceled, state_of, tasks_of
from tests.engine.kernel.models import document, end, flows, loop, model, process, start, sub_process, user_task

TERMINATE = "<terminateEventDefinition/>"
FORK = '<parallelGateway id="f"/>'


class TestTerminate(ElementContract):
    content = start() + FORK + user_task("a") + end("stop", TERMINATE) + flows("s>f>a f>stop")


def test_in_a_sub_process_the_surrounding_flow_goes_on() -> None:
    inside = start("s2") + FORK + user_task("a") + end("stop", TERMINATE) + flows("s2>f>a f>stop")
    engine = engine_with(model(start(), sub_process("x", inside), user_task("after"), flows("s>x>after")))

    tree = engine.start("p")

    assert tasks_of(tree) == ["after"]
    assert canceled(engine.history[tree.root_id]) == ["a", "x"]


def test_in_a_called_process_the_caller_goes_on_or_ends_with_it() -> None:
    for attribute, expected in (("", "active"), ('flowable:terminateAll="true"', "completed")):
        definition = f"<terminateEventDefinition {attribute}/>"
        caller = process(start(), '<callActivity id="x" calledElement="c"/>', user_task("after"), flows("s>x>after"))
        called = process(start("cs"), FORK, user_task("a"), end("stop", definition), flows("cs>f>a f>stop"), key="c")
        engine = engine_with(document(caller, called))

        tree = engine.start("p")

        engine.check_replay()
        assert state_of(tree) == expected


def test_a_whole_loop_can_be_ended() -> None:
    definition = '<terminateEventDefinition flowable:terminateMultiInstance="true"/>'
    inside = loop("3") + start("s2") + user_task("a") + end("stop", definition) + flows("s2>a>stop")
    engine = engine_with(model(start(), sub_process("x", inside), user_task("after"), flows("s>x>after")))
    tree = engine.start("p")

    engine.complete(tree, "a")

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["after"]
