"""Tests of start event elements."""

from tests.engine.kernel.contract import ElementContract, engine_with
from tests.engine.kernel.models import document, end, flows, model, process, start, user_task


class TestStartEvent(ElementContract):
    content = start() + end() + flows("s>e")


OBJECT = (
    '<dataObject id="d" name="colour" itemSubjectRef="xsd:string"><extensionElements>'
    "<flowable:value>red</flowable:value></extensionElements></dataObject>"
)


def test_what_is_given_comes_before_the_value_of_a_data_object() -> None:
    engine = engine_with(model(OBJECT, start(), user_task("a"), end(), flows("s>a>e")))

    plain, given = engine.start("p"), engine.start("p", {"colour": "blue"})

    assert plain.variables[plain.root_id]["colour"].value == "red"
    assert given.variables[given.root_id]["colour"].value == "blue"


def test_what_a_call_maps_in_comes_before_the_value_of_a_data_object() -> None:
    mapped = '<extensionElements><flowable:in source="mine" target="colour"/></extensionElements>'
    call = f'<callActivity id="c" calledElement="q">{mapped}</callActivity>'
    called = document(process(OBJECT, start("s2"), user_task("a"), end("e2"), flows("s2>a>e2"), key="q"))
    engine = engine_with(called, model(start(), call, end(), flows("s>c>e")))

    tree = engine.start("p", {"mine": "blue"})

    (inner,) = (i for i in tree.instances if i != tree.root_id)
    assert {name: v.value for name, v in tree.variables[inner].items()} == {"colour": "blue"}
