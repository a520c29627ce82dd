"""Tests of call activity elements."""

import pytest

from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from engine.kernel.state import Tree
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, state_of, tasks_of
from tests.engine.kernel.models import document, end, flows, process, start, user_task


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
