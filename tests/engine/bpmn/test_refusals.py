"""Models that cannot be deployed are refused with line, element and what was expected."""

import pytest

from engine.bpmn import xml
from engine.bpmn.compile import compile_process, executable_processes
from engine.bpmn.problems import InvalidModel
from engine.kernel.definition import Definition
from engine.kernel.registry import load
from tests.engine.kernel.models import (
    NAMESPACES,
    boundary,
    catch,
    document,
    end,
    flow,
    flows,
    loop,
    message,
    model,
    process,
    signals,
    start,
    sub_process,
    user_task,
)

REGISTRY = load()


def compiled(text: str) -> list[Definition]:
    root = xml.parse(text.encode(), "model.bpmn")
    return [compile_process(root, found, REGISTRY, "model.bpmn") for found in executable_processes(root, "model.bpmn")]


BAD = {
    "a flow to nowhere": (model(start(), flow("s", "nowhere")), "element 's-nowhere': expected targetRef to name"),
    "an id used twice": (
        model(start(), user_task("a"), user_task("a"), flows("s>a")),
        "element 'a': expected a unique id",
    ),
    "an element without id": (model(start(), "<userTask/>"), "expected the userTask to have an id"),
    "an unknown element": (model(start(), '<teleport id="t"/>', flows("s>t")), "element 't': expected an element that"),
    "an unsupported element": (
        model(start(), '<complexGateway id="g"/>', flows("s>g")),
        "found complexGateway, which is not",
    ),
    "an unknown attribute": (
        model(start("s", attributes='colour="red"')),
        "element 's': expected only attributes .* 'colour'",
    ),
    "neither true nor false": (
        model(start(), user_task("a", attributes='flowable:async="perhaps"'), flows("s>a")),
        "element 'a': expected async to be true or false, found 'perhaps'",
    ),
    "a process that may be executable": (
        document(process(start(), attributes='isExecutable="maybe"')),
        "element 'p': expected isExecutable to be true or false, found 'maybe'",
    ),
    "two plain starts": (model(start("s1"), start("s2")), "element 's2': expected one plain start event"),
    "an empty process": (model(), "element 'p': expected flow elements"),
    "a broken expression": (model(start(), flow("s", "e", "${1 +}"), end()), "element 's-e': condition:"),
    "a foreign default": (
        model(start(), '<exclusiveGateway id="g" default="s-g"/>', end(), flows("s>g>e")),
        "element 'g': expected 'default' to name an outgoing flow",
    ),
    "a boundary on an event": (
        model(start(), end(), boundary("b", "s", message("m"))),
        "expected attachedToRef to name",
    ),
    "a flow across scopes": (
        model(start(), sub_process("x", start("s2"), user_task("a"), flows("s2>a")), flows("s>x s>a")),
        "element 's-a': expected both ends in one scope",
    ),
    "a misplaced event": (
        model(start(), end("e", "<timerEventDefinition/>"), flows("s>e")),
        "expected a timer event as one of",
    ),
    "a loop of nothing": (
        model(start(), user_task("a", loop("")), flows("s>a")),
        "expected a loopCardinality or a collection",
    ),
    "a loop of many": (
        model(start(), user_task("a", loop("many")), flows("s>a")),
        "element 'a': expected the loopCardinality to be a whole number from 0 on, found 'many'",
    ),
    "a loop of less than nothing": (
        model(start(), user_task("a", loop("-3")), flows("s>a")),
        "element 'a': expected the loopCardinality to be a whole number from 0 on, found '-3'",
    ),
    "a priority in words": (
        model(start(), user_task("a", attributes='flowable:priority="high"'), flows("s>a")),
        "element 'a': expected the priority to be a whole number, found 'high'",
    ),
    "a due date in words": (
        model(start(), user_task("a", attributes='flowable:dueDate="tomorrow"'), flows("s>a")),
        "element 'a': the due date: expected an ISO 8601 date .* found 'tomorrow'",
    ),
    "retries in words": (
        model(start(), user_task("a", attributes='flowable:failedJobRetryTimeCycle="often"'), flows("s>a")),
        "element 'a': expected a failedJobRetryTimeCycle such as R5/PT10S, found 'often'",
    ),
    "retries without a pause": (
        model(start(), user_task("a", attributes='flowable:failedJobRetryTimeCycle="R3/PT"'), flows("s>a")),
        "element 'a': expected a failedJobRetryTimeCycle such as R5/PT10S, found 'R3/PT'",
    ),
    "a message awaited twice by one activity": (
        model(
            start(),
            user_task("a"),
            boundary("b1", "a", message("m")),
            boundary("b2", "a", message("m")),
            flows("s>a"),
            root='<message id="message-m" name="m"/>',
        ),
        "element 'b2': expected one boundary event for message 'm' on an activity, found 'b1' there already",
    ),
    "a signal for the whole world": (
        model(start(), user_task("a"), flows("s>a"), root='<signal id="g" name="g" flowable:scope="world"/>'),
        "element 'g': expected the scope of the signal to be global or processInstance, found 'world'",
    ),
    "a task after an event gateway": (
        model(start(), '<eventBasedGateway id="g"/>', user_task("a"), flows("s>g>a")),
        "expected only intermediate catch events",
    ),
    "a Java class": (
        model(start(), '<serviceTask id="a" flowable:class="org.example.Task"/>', flows("s>a")),
        "found Java code 'org.example.Task': move it into an external worker",
    ),
    "Groovy": (
        model(start(), '<scriptTask id="a" scriptFormat="groovy"><script>x</script></scriptTask>', flows("s>a")),
        "expected the script format javascript or juel, found 'groovy'",
    ),
    "a sub-process with two starts": (
        model(start(), sub_process("x", start("a"), start("b")), flows("s>x")),
        "element 'x': expected exactly one start event",
    ),
    "a data object without a name": (
        model('<dataObject id="d" itemSubjectRef="xsd:int"/>', start(), end(), flows("s>e")),
        "element 'd': expected the data object to have a name",
    ),
    "an event of a registry": (
        model(start(inner="<extensionElements><flowable:eventType>x</flowable:eventType></extensionElements>")),
        "element 's': expected no eventType",
    ),
    "a listener to the engine": (
        model('<extensionElements><flowable:eventListener class="org.example.L"/></extensionElements>', start()),
        "element 'p': expected no eventListener",
    ),
    "an unknown message": (
        model(start(), catch("c", message("m")), flows("s>c")),
        "expected messageRef to name a message",
    ),
    "a signal twice": (model(start(), root=signals("go", "go")), "expected each signal name once"),
    "no executable process": (document(process(start(), attributes='isExecutable="false"')), "none that is executable"),
    "no BPMN": ("<html/>", "expected the root element 'definitions'"),
    "no XML": ("<definitions", "expected well-formed XML"),
    "a document type": (f"<!DOCTYPE definitions><definitions {NAMESPACES}/>", "expected no document type declaration"),
}


@pytest.mark.parametrize("what", BAD)
def test_it_is_refused_saying_where_and_what_was_expected(what: str) -> None:
    text, expected = BAD[what]

    with pytest.raises(InvalidModel, match=expected) as caught:
        compiled(text)

    assert str(caught.value).startswith("model.bpmn: ")
    assert all(problem.line for problem in caught.value.problems) or what == "a document type"


def test_entities_are_never_resolved() -> None:
    bomb = f'<!DOCTYPE d [<!ENTITY a "aaaa">]><definitions {NAMESPACES}><process id="p" name="&a;"/></definitions>'

    with pytest.raises(InvalidModel):
        compiled(bomb)


@pytest.mark.parametrize("depth", [200, 5000])
def test_nesting_is_bounded(depth: int) -> None:
    deep = "<x>" * depth + "</x>" * depth

    with pytest.raises(InvalidModel, match=r"nested at most 128 deep \(limit: model_depth\)"):
        compiled(f"<definitions {NAMESPACES}>{deep}</definitions>")


def test_a_problem_is_told_once() -> None:
    with pytest.raises(InvalidModel) as caught:
        compiled(model(start(), user_task("a", attributes='flowable:assignee="${x y}"'), flows("s>a")))

    assert len(caught.value.problems) == 1


def test_all_problems_are_told_at_once_in_order_of_lines() -> None:
    text = model(start(), "\n", flow("s", "x"), "\n", flow("s", "y"))

    with pytest.raises(InvalidModel) as caught:
        compiled(text)

    assert [problem.element_id for problem in caught.value.problems] == ["s-x", "s-y"]


def test_what_stands_beside_an_unsupported_element_is_not_blamed() -> None:
    with pytest.raises(InvalidModel) as caught:
        compiled(model(start(), '<complexGateway id="g"/>', end(), flows("s>g>e")))

    assert [problem.element_id for problem in caught.value.problems] == ["g"]
