"""Tests of call activity elements."""

from datetime import UTC, datetime

import pytest

from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, state_of, tasks_of
from tests.engine.kernel.models import document, end, flows, model, process, start, user_task


class TestCallActivity(WaitingContract):
    content = start() + '<callActivity id="x" calledElement="c"/>' + end() + flows("s>x>e")
    called = process(start("cs"), user_task("ct"), end("ce"), flows("cs>ct>ce"), key="c")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        engine.complete(tree, next(iter(engine.trees[tree.root_id].tasks.values())).name)


MAPPED = (
    '<callActivity id="x" calledElement="${which}" flowable:businessKey="${key}"><extensionElements>'
    '<flowable:in source="a" target="b"/><flowable:in sourceExpression="${a + 1}" target="c"/>'
    '<flowable:out source="result" target="answer"/></extensionElements></callActivity>'
)
CALLED = process(start("cs"), user_task("ct"), end("ce"), flows("cs>ct>ce"), key="c")


def test_variables_are_mapped_in_and_out() -> None:
    engine = engine_with(document(process(start(), MAPPED, user_task("after"), flows("s>x>after")), CALLED))
    tree = engine.start("p", {"which": "c", "a": 1, "key": "k-1"})
    called = next(i for i in tree.instances.values() if i.super_instance_id)

    assert {name: v.value for name, v in tree.variables[called.id].items()} == {"b": 1, "c": 2}
    assert called.business_key == "k-1"
    engine.complete(tree, "ct", {"result": 42})

    variables = engine.trees[tree.root_id].variables
    assert variables[tree.root_id]["answer"].value == 42
    assert called.id not in variables


def test_the_called_instance_is_named_by_its_own_variables() -> None:
    call = (
        '<callActivity id="x" calledElement="c" flowable:processInstanceName="Order ${number}"><extensionElements>'
        '<flowable:in source="n" target="number"/></extensionElements></callActivity>'
    )
    engine = engine_with(document(process(start(), call, flows("s>x")), CALLED))

    tree = engine.start("p", {"n": 7})

    engine.check_replay()
    assert next(i for i in tree.instances.values() if i.super_instance_id).name == "Order 7"


def test_the_variable_for_the_called_instance_s_id_may_be_computed() -> None:
    call = '<callActivity id="x" calledElement="c" flowable:idVariableName="call-${n}"/>'
    engine = engine_with(document(process(start(), call, flows("s>x")), CALLED))

    tree = engine.start("p", {"n": 7})

    called = next(i for i in tree.instances.values() if i.super_instance_id)
    assert tree.variables[tree.root_id]["call-7"].value == called.id


def test_what_is_called_is_a_key_or_an_id_and_nothing_else() -> None:
    call = '<callActivity id="x" calledElement="${which}" flowable:calledElementType="{}"/>'
    engine = engine_with(
        document(
            process(start(), call.replace("{}", "id"), flows("s>x")),
            process(start(), call.replace("{}", "name"), flows("s>x"), key="q"),
            CALLED,
        )
    )

    tree = engine.start("p", {"which": engine.definitions.latest("c", "").id})

    assert tasks_of(tree) == ["ct"]
    with pytest.raises(Refused, match="expected the calledElementType key or id, found 'name'"):
        engine.start("q", {"which": "c"})


def test_an_unknown_process_is_not_found() -> None:
    engine = engine_with(document(process(start(), MAPPED, end(), flows("s>x>e"))))

    with pytest.raises(Refused) as caught:
        engine.start("p", {"which": "nobody", "a": 1, "key": ""})

    assert caught.value.status == "NOT_FOUND"


def test_calls_nest_no_deeper_than_the_limit() -> None:
    recursive = process(start(), '<callActivity id="x" calledElement="p"/>', end(), flows("s>x>e"))
    engine = engine_with(document(recursive))

    with pytest.raises(Refused, match="limit: call_depth"):
        engine.start("p")


def test_a_called_process_cannot_end_while_its_caller_is_suspended() -> None:
    caller = process(start(), '<callActivity id="x" calledElement="c"/>', end(), flows("s>x>e"))
    engine = engine_with(document(caller, CALLED))
    tree = engine.start("p")
    engine.run(tree.root_id, cmd.SuspendInstance(instance_id=tree.root_id))

    with pytest.raises(Refused, match="expected the calling process instance"):
        engine.complete(tree, "ct")

    assert tasks_of(engine.trees[tree.root_id]) == ["ct"]


def test_an_asynchronous_completion_is_a_job_of_the_caller() -> None:
    caller = process(
        start(), '<callActivity id="x" calledElement="c" flowable:completeAsync="true"/>', end(), flows("s>x>e")
    )
    engine = engine_with(document(caller, CALLED))
    tree = engine.start("p")

    engine.complete(tree, "ct")
    assert state_of(engine.trees[tree.root_id]) == "active"
    assert engine.run_jobs() == 1

    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", 42, ("string", "42")),
        ("string", True, ("string", "true")),
        ("integer", "123", ("integer", 123)),
        ("integer", 3.14, ("integer", 3)),
        ("long", 42, ("long", 42)),
        ("double", "2.5", ("double", 2.5)),
        ("double", 42, ("double", 42.0)),
        ("boolean", "true", ("boolean", True)),
        ("date", "2025-06-15T10:30:00Z", ("date", datetime(2025, 6, 15, 10, 30, tzinfo=UTC))),
        ("date", "P10D", ("date", datetime(2026, 1, 11, 12, 0, tzinfo=UTC))),
        ("localDate", "2025-06-15T10:30:00Z", ("date", datetime(2025, 6, 15, tzinfo=UTC))),
        ("json", '{"name": "x"}', ("json", {"name": "x"})),
        ("array", "[1, 2]", ("json", [1, 2])),
        ("integer", None, ("null", None)),
    ],
)
def test_mappings_convert_to_the_type_that_they_name(kind: str, value: object, expected: tuple[str, object]) -> None:
    called = document(process(start(), user_task("a"), end(), flows("s>a>e"), key="called"))
    mapped = f'<flowable:in source="v" target="in" targetType="{kind}"/>'
    mapped += f'<flowable:out source="v" target="out" sourceType="{kind}"/>'
    call = f'<callActivity id="c" calledElement="called"><extensionElements>{mapped}</extensionElements></callActivity>'
    engine = engine_with(called, model(start(), call, user_task("z"), end(), flows("s>c>z>e")))
    tree = engine.start("p", {"v": value})

    (inner,) = (i for i in tree.instances if i != tree.root_id)
    given = tree.variables[inner]["in"]
    engine.complete(tree, "a", {"v": value})

    assert (given.type, given.value) == expected
    out = engine.trees[tree.root_id].variables[tree.root_id]["out"]
    assert (out.type, out.value) == expected


def test_what_cannot_be_converted_refuses_the_call() -> None:
    called = document(process(start(), end(), flows("s>e"), key="called"))
    mapped = '<extensionElements><flowable:in source="v" target="n" targetType="integer"/></extensionElements>'
    call = f'<callActivity id="c" calledElement="called">{mapped}</callActivity>'
    engine = engine_with(called, model(start(), call, end(), flows("s>c>e")))

    with pytest.raises(Refused, match="parameter 'v': expected a value that becomes integer, found 'many'"):
        engine.start("p", {"v": "many"})
