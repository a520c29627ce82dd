"""Execution listeners at elements, flows and the process."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel import commands as cmd
from engine.kernel.errors import Refused
from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.harness import tasks_of
from tests.engine.kernel.models import boundary, document, end, flows, loop, process, start, sub_process, user_task


def heard(word: str, event: str = "") -> str:
    attribute = f'event="{event}"' if event else ""
    call = f"${{execution.setVariable('heard', heard.concat('{word} '))}}"
    return f'<extensionElements><flowable:executionListener {attribute} expression="{call}"/></extensionElements>'


def test_they_run_when_elements_begin_and_end_and_flows_are_taken() -> None:
    take = f'<sequenceFlow id="a-b" sourceRef="a" targetRef="b">{heard("flow")}</sequenceFlow>'
    first = f'<manualTask id="a">{heard("end", "end")}</manualTask>'
    engine = engine_with(
        document(
            process(
                heard("process", "start"), start(), first, take, user_task("b", heard("begin", "start")), flows("s>a")
            )
        )
    )

    tree = engine.start("p", {"heard": ""})

    assert tree.variables[tree.root_id]["heard"].value == "process end flow begin "


def told(tag: str, event: str, expression: str) -> str:
    return f'<flowable:{tag} event="{event}" expression="{expression}"/>'


def test_a_task_s_listener_hears_who_is_assigned_and_that_nobody_is_any_more() -> None:
    call = "${task.setDescription(execution.eventName.concat(task.assignee == null ? ' nobody' : ' somebody'))}"
    listener = f"<extensionElements>{told('taskListener', 'assignment', call)}</extensionElements>"
    engine = engine_with(document(process(start(), user_task("a", listener), flows("s>a"))))
    tree = engine.start("p")
    (task,) = tree.tasks.values()

    engine.run(tree.root_id, cmd.ClaimTask(task_id=task.id, assignee="kermit"))
    claimed = engine.trees[tree.root_id].tasks[task.id].description
    engine.run(tree.root_id, cmd.ClaimTask(task_id=task.id, assignee=""))

    assert claimed == "assignment somebody"
    assert engine.trees[tree.root_id].tasks[task.id].description == "assignment nobody"


def test_a_task_that_is_taken_away_by_a_message_is_deleted_with_its_listeners() -> None:
    listener = told("taskListener", "delete", "${execution.setVariable('gone', task.name)}")
    engine = engine_with(
        document(
            process(
                start(),
                user_task("a", f"<extensionElements>{listener}</extensionElements>"),
                boundary("b", "a", '<messageEventDefinition messageRef="m"/>'),
                user_task("n"),
                flows("s>a b>n"),
            ),
            root='<message id="m" name="m"/>',
        )
    )
    tree = engine.start("p")

    engine.run(tree.root_id, cmd.DeliverMessage(execution_id=tree.root_id, name="m"))

    assert engine.trees[tree.root_id].variables[tree.root_id]["gone"].value == "a"


def test_a_script_says_in_what_language_it_is_and_where_its_value_goes() -> None:
    by_child = (
        '<flowable:executionListener event="start" type="script">'
        '<flowable:script language="${lang}" resultVariable="${target}">${1 + 1}</flowable:script>'
        "</flowable:executionListener>"
    )
    by_class = (
        '<flowable:taskListener event="create" '
        'class="org.flowable.engine.impl.bpmn.listener.ScriptTaskListener">'
        '<flowable:field name="script"><flowable:string>${task.name}</flowable:string></flowable:field>'
        '<flowable:field name="language" stringValue="juel"/>'
        '<flowable:field name="resultVariable" stringValue="named"/></flowable:taskListener>'
    )
    listeners = f"<extensionElements>{by_child}{by_class}</extensionElements>"
    engine = engine_with(document(process(start(), user_task("a", listeners), flows("s>a"))))

    tree = engine.start("p", {"lang": "juel", "target": "two"})

    own = tree.variables[tree.root_id]
    assert (own["two"].value, own["named"].value) == (2, "a")


def test_a_listener_without_a_script_in_it_is_refused() -> None:
    empty = (
        '<extensionElements><flowable:taskListener event="create"><flowable:script language="juel"/>'
        "</flowable:taskListener></extensionElements>"
    )

    with pytest.raises(InvalidModel, match="expected a script in a taskListener, found none"):
        engine_with(document(process(start(), user_task("a", empty), flows("s>a"))))


def throwing(tag: str, event: str) -> str:
    script = '<flowable:script language="javascript">throw new BpmnError("oops")</flowable:script>'
    listener = f'<flowable:{tag} event="{event}">{script}</flowable:{tag}>'
    return f"<extensionElements>{listener}</extensionElements>"


CATCH = '<errorEventDefinition errorRef="oops"/>'


def caught_outside(*content: str) -> str:
    return document(
        process(
            start(),
            sub_process("x", start("s2"), *content),
            boundary("b", "x", CATCH),
            user_task("handler"),
            flows("s>x b>handler"),
        )
    )


@pytest.mark.parametrize(
    ("tag", "event"),
    [
        ("executionListener", "start"),
        ("executionListener", "end"),
        ("taskListener", "create"),
        ("taskListener", "complete"),
    ],
)
def test_an_error_of_a_listener_is_caught_around_its_element(tag: str, event: str) -> None:
    engine = engine_with(caught_outside(user_task("a", throwing(tag, event)), end("e2"), flows("s2>a>e2")))
    tree = engine.start("p")

    if tasks_of(tree) == ["a"]:
        engine.complete(tree, "a")

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["handler"]


def test_an_error_of_a_listener_at_a_flow_or_a_loop_is_caught_around_it() -> None:
    heard_by = throwing("executionListener", "take")
    take = f'<sequenceFlow id="a-e2" sourceRef="a" targetRef="e2">{heard_by}</sequenceFlow>'
    looped = throwing("executionListener", "start") + loop("2")
    by_flow = engine_with(caught_outside('<manualTask id="a"/>', end("e2"), take, flows("s2>a")))
    by_loop = engine_with(caught_outside(user_task("a", looped), flows("s2>a")))

    for engine in (by_flow, by_loop):
        tree = engine.start("p")
        engine.check_replay()
        assert tasks_of(tree) == ["handler"]


def test_the_element_s_own_boundary_event_does_not_catch_what_its_listener_throws() -> None:
    own = user_task("a", throwing("taskListener", "complete")) + boundary("own", "a", CATCH)
    engine = engine_with(document(process(start(), own, user_task("handler"), flows("s>a own>handler"))))
    tree = engine.start("p")

    with pytest.raises(Refused, match="expected a handler for BPMN error 'oops', found none"):
        engine.complete(tree, "a")
