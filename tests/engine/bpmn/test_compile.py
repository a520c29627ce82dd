"""What the reader makes of a model."""

import pytest

from tests.engine.bpmn.test_refusals import compiled
from tests.engine.kernel.models import document, end, flow, flows, model, process, start, sub_process, user_task


@pytest.mark.parametrize("prefix", ["flowable", "activiti", "camunda"])
def test_extension_attributes_of_the_whole_family_are_read(prefix: str) -> None:
    uri = {"camunda": "http://camunda.org/schema/1.0/bpmn"}.get(prefix, f"http://{prefix}.org/bpmn")
    task = f'<userTask id="a" xmlns:x="{uri}" x:assignee="kermit" x:async="true"/>'

    (definition,) = compiled(model(start(), task, end(), flows("s>a>e")))

    node = definition.node("a")
    assert node.props.assignee.text == "kermit"
    assert node.asynchronous


def test_flowable_s_own_attribute_wins_over_its_relatives() -> None:
    task = (
        '<userTask id="a" xmlns:c="http://camunda.org/schema/1.0/bpmn" flowable:assignee="kermit" c:assignee="gonzo"/>'
    )

    (definition,) = compiled(model(start(), task, flows("s>a")))

    assert definition.node("a").props.assignee.text == "kermit"


def test_only_executable_processes_are_compiled() -> None:
    found = compiled(document(process(start(), key="a"), process(start(), key="b", attributes='isExecutable="false"')))

    assert [definition.key for definition in found] == ["a"]


def test_a_sub_process_without_id_gets_one() -> None:
    nameless = sub_process("x", start("s2"), end("e2"), flows("s2>e2"), attributes='triggeredByEvent="true"')
    event = nameless.replace(' id="x"', "").replace(
        '<startEvent id="s2" >', '<startEvent id="s2"><errorEventDefinition/>'
    )

    (definition,) = compiled(model(start(), user_task("a"), flows("s>a"), event))

    (inner,) = definition.process.event_subprocesses
    assert inner.id == "subProcess-without-id-1"
    assert [flow_.id for flow_ in definition.node("s2").outgoing] == ["s2-e2"]


def test_reachability_knows_which_joins_a_token_can_still_get_to() -> None:
    (definition,) = compiled(
        model(
            start(),
            '<inclusiveGateway id="f"/><inclusiveGateway id="j"/>',
            user_task("a"),
            user_task("b"),
            end(),
            flows("s>f>a>j>e f>b>j"),
        )
    )

    assert {n.id for n in definition.nodes.values() if "j" in n.reaches} == {"s", "f", "a", "b"}


def test_data_objects_become_variables_of_their_type() -> None:
    objects = "".join(
        f'<dataObject id="{kind}" name="{kind}" itemSubjectRef="xsd:{kind}"><extensionElements>'
        f"<flowable:value>{text}</flowable:value></extensionElements></dataObject>"
        for kind, text in (("string", "x"), ("int", "7"), ("double", "1.5"), ("boolean", "true"), ("datetime", ""))
    )

    (definition,) = compiled(model(objects, start(), end(), flow("s", "e")))

    assert {d.name: (d.type, d.value) for d in definition.process.data_objects} == {
        "string": ("string", "x"),
        "int": ("integer", 7),
        "double": ("double", 1.5),
        "boolean": ("boolean", True),
        "datetime": ("null", None),
    }
