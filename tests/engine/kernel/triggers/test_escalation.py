"""Escalations: who throws one goes on, unless whoever catches it interrupts."""

from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.harness import state_of, tasks_of
from tests.engine.kernel.models import (
    boundary,
    end,
    event_sub_process,
    flows,
    model,
    start,
    sub_process,
    throw,
    user_task,
)

ESCALATE = '<escalationEventDefinition escalationRef="help"/>'


class TestEscalationThrow(ElementContract):
    content = start() + throw("x", ESCALATE) + end("e", ESCALATE) + flows("s>x>e")


def caught(interrupting: bool, definition: str = ESCALATE) -> str:
    return model(
        start(),
        sub_process("x", start("s2"), throw("t", ESCALATE), user_task("inner"), flows("s2>t>inner")),
        boundary("b", "x", definition, interrupting=interrupting),
        user_task("helper"),
        end(),
        flows("s>x>e b>helper>e"),
    )


def test_a_handler_that_does_not_interrupt_works_beside_the_thrower() -> None:
    tree = engine_with(caught(interrupting=False)).start("p")

    assert tasks_of(tree) == ["helper", "inner"]


def test_an_interrupting_handler_takes_the_thrower_away() -> None:
    engine = engine_with(caught(interrupting=True))

    tree = engine.start("p")

    engine.check_replay()
    assert tasks_of(tree) == ["helper"]


def test_a_handler_of_another_code_does_not_catch() -> None:
    other = '<escalationEventDefinition escalationRef="other"/>'

    tree = engine_with(caught(interrupting=True, definition=other)).start("p")

    assert tasks_of(tree) == ["inner"]


def test_an_escalation_that_ends_a_sub_process_lets_it_complete_if_nobody_interrupts() -> None:
    engine = engine_with(
        model(
            start(),
            sub_process("x", start("s2"), end("e2", ESCALATE), flows("s2>e2")),
            boundary("b", "x", ESCALATE, interrupting=False),
            user_task("helper"),
            end(),
            flows("s>x>e b>helper>e"),
        )
    )

    tree = engine.start("p")

    assert tasks_of(tree) == ["helper"]
    engine.complete(tree, "helper")
    assert state_of(engine.trees[tree.root_id]) == "completed"


def test_an_event_sub_process_works_beside_its_scope_even_if_it_says_to_interrupt() -> None:
    engine = engine_with(
        model(
            start(),
            throw("t", ESCALATE),
            user_task("inner"),
            end(),
            event_sub_process("h", start("h1", ESCALATE), user_task("helper"), flows("h1>helper")),
            flows("s>t>inner>e"),
        )
    )

    tree = engine.start("p")

    assert tasks_of(tree) == ["helper", "inner"]
    engine.complete(tree, "inner")
    engine.complete(tree, "helper")
    assert state_of(engine.trees[tree.root_id]) == "completed"
