"""Errors: thrown by end events and workers, caught by the nearest handler, else the command is refused."""

import pytest

from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.values import variables_of
from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, state_of, tasks_of
from tests.engine.kernel.models import (
    boundary,
    document,
    end,
    event_sub_process,
    flows,
    model,
    process,
    start,
    sub_process,
    user_task,
)

THROW = '<errorEventDefinition errorRef="oops"/>'
CATCH_ALL = "<errorEventDefinition/>"


class TestErrorBoundary(ElementContract):
    content = (
        start()
        + sub_process("x", start("s2"), end("e2", THROW), flows("s2>e2"))
        + boundary("b", "x", THROW)
        + end()
        + flows("s>x>e b>e")
    )


def test_a_handler_that_names_the_code_comes_before_one_for_all() -> None:
    engine = engine_with(
        model(
            start(),
            sub_process("x", start("s2"), end("e2", THROW), flows("s2>e2")),
            boundary("any", "x", CATCH_ALL),
            boundary("named", "x", THROW),
            user_task("a"),
            user_task("n"),
            end(),
            flows("s>x>e any>a>e named>n>e"),
        )
    )

    assert tasks_of(engine.start("p")) == ["n"]


def test_an_event_sub_process_inside_comes_before_a_boundary_event_outside() -> None:
    inside = event_sub_process("es", start("es1", CATCH_ALL), user_task("inner"), flows("es1>inner"))
    engine = engine_with(
        model(
            start(),
            sub_process("x", start("s2"), end("e2", THROW), flows("s2>e2"), inside),
            boundary("b", "x", THROW),
            user_task("outer"),
            end(),
            flows("s>x>e b>outer>e"),
        )
    )

    tree = engine.start("p")

    assert tasks_of(tree) == ["inner"]
    engine.complete(tree, "inner")
    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


def test_an_error_of_a_called_process_is_caught_on_the_call_activity() -> None:
    caller = process(
        start(),
        '<callActivity id="x" calledElement="c"/>',
        boundary("b", "x", THROW),
        user_task("handle"),
        end(),
        flows("s>x>e b>handle>e"),
    )
    called = process(start("cs"), user_task("ct"), end("ce", THROW), flows("cs>ct>ce"), key="c")
    engine = engine_with(document(caller, called))
    tree = engine.start("p")

    engine.complete(tree, "ct")

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["handle"]


def test_an_error_that_nobody_catches_refuses_the_command_and_changes_nothing() -> None:
    engine = engine_with(model(start(), user_task("a"), end("e", THROW), flows("s>a>e")))
    tree = engine.start("p")

    with pytest.raises(Refused, match="BPMN error 'oops'") as caught:
        engine.complete(tree, "a")

    assert caught.value.status == "FAILED_PRECONDITION"
    assert tasks_of(engine.trees[tree.root_id]) == ["a"]


def worker_process(catching: str) -> MemoryEngine:
    return engine_with(
        model(
            start(),
            '<serviceTask id="x" flowable:type="external-worker" flowable:topic="t"/>',
            boundary("b", "x", catching),
            user_task("handle"),
            end(),
            flows("s>x>e b>handle>e"),
        )
    )


def test_the_code_goes_to_the_variable_that_the_handler_names() -> None:
    engine = worker_process('<errorEventDefinition errorRef="oops" flowable:errorVariableName="code"/>')
    tree = engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(root_id, cmd.ThrowJobError(job_id=job.id, error_code="oops", variables=variables_of({"why": "late"})))
    engine.run_jobs()

    variables = engine.trees[tree.root_id].variables[tree.root_id]
    assert {name: v.value for name, v in variables.items()} == {"why": "late", "code": "oops"}


def test_in_parameters_map_what_the_error_carries() -> None:
    mapped = '<extensionElements><flowable:in source="errorMessage" target="text"/></extensionElements>'
    engine = worker_process(mapped + THROW)
    tree = engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(root_id, cmd.ThrowJobError(job_id=job.id, error_code="oops", error_message="sorry"))
    engine.run_jobs()

    assert engine.trees[tree.root_id].variables[tree.root_id]["text"].value == "sorry"


def test_an_error_without_a_code_is_caught_by_any_handler_and_one_that_names_a_code_comes_first() -> None:
    engine = engine_with(
        model(
            start(),
            sub_process("x", start("s2"), end("e2", CATCH_ALL), flows("s2>e2")),
            boundary("any", "x", CATCH_ALL),
            boundary("named", "x", THROW),
            user_task("a"),
            user_task("n"),
            end(),
            flows("s>x>e any>a>e named>n>e"),
        )
    )

    assert tasks_of(engine.start("p")) == ["n"]


def test_a_code_that_is_the_id_of_an_error_stands_for_that_error_s_code() -> None:
    worker = '<serviceTask id="x" flowable:type="external-worker" flowable:topic="t"/>'
    engine = engine_with(
        model(
            start(),
            worker,
            boundary("b", "x", '<errorEventDefinition errorRef="broken"/>'),
            user_task("n"),
            flows("s>x b>n"),
            root='<error id="broken" errorCode="E-17"/>',
        )
    )
    tree = engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(root_id, cmd.ThrowJobError(job_id=job.id, error_code="broken"))
    engine.run_jobs()

    assert tasks_of(engine.trees[tree.root_id]) == ["n"]
