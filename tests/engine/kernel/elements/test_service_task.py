"""Tests of service task elements."""

from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.models import document, end, flow, flows, model, process, service, start, user_task


class TestServiceTask(ElementContract):
    content = start() + service("x") + end() + flows("s>x>e")


def test_a_result_of_its_own_goes_on_with_the_token() -> None:
    own = 'flowable:resultVariable="j" flowable:useLocalScopeForResultVariable="true"'
    engine = engine_with(
        model(
            start(),
            service("x", "${i + 1}", own),
            '<exclusiveGateway id="g" default="g-b"/>',
            user_task("a", attributes='flowable:assignee="u${j}"'),
            user_task("b"),
            end(),
            flows("s>x>g g>b a>e"),
            flow("g", "a", "${j == 2}"),
        )
    )

    tree = engine.start("p", {"i": 1})

    assert [task.assignee for task in engine.trees[tree.root_id].tasks.values()] == ["u2"]
    assert set(engine.rows[tree.root_id].variables[tree.root_id]) == {"i"}
    engine.complete(tree, "a")
    engine.check_replay()


def test_an_execution_tells_of_its_definition() -> None:
    telling = (
        "${execution.processDefinitionVersion.toString()}${execution.getProcessDefinitionName()}"
        "${execution.processDefinitionCategory}${execution.deploymentId}"
    )
    content = (start(), service("x", telling, 'flowable:resultVariable="told"'), user_task("a"), flows("s>x>a"))
    text = document(process(*content, attributes='name="Orders"'))
    engine = engine_with(text)
    (second,) = engine.deploy(text)

    tree = engine.start("p")

    told = engine.trees[tree.root_id].variables[tree.root_id]["told"].value
    assert (second.version, told) == (2, f"2Orderstests{second.deployment_id}")
