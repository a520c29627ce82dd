"""Execution listeners at elements, flows and the process."""

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel import commands as cmd
from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.models import boundary, document, flows, process, start, user_task


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
