"""Execution and task listeners: expressions and scripts that run when an element starts or ends, a flow is taken, or
something happens to a task (Flowable's `executionListener` and `taskListener`).

Java classes and delegate expressions cannot run here; they are refused when the model is read. Flowable's own two
listener classes that only run a script are known by their names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel.errors import BpmnError, Diverted
from engine.kernel.expression import Expression
from engine.kernel.reading import Reader, Source, read_fields

START, END, TAKE = "start", "end", "take"
CREATE, ASSIGNMENT, COMPLETE, DELETE, ALL = "create", "assignment", "complete", "delete", "all"
EXECUTION_EVENTS: Final = (START, END, TAKE)
TASK_EVENTS: Final = (CREATE, ASSIGNMENT, COMPLETE, DELETE, ALL)
_NO_LISTENERS: Final[tuple["Listener", ...]] = ()


SCRIPT_LISTENERS: Final = frozenset(
    (
        "org.flowable.engine.impl.bpmn.listener.ScriptExecutionListener",
        "org.flowable.engine.impl.bpmn.listener.ScriptTaskListener",
        "org.activiti.engine.impl.bpmn.listener.ScriptExecutionListener",
        "org.activiti.engine.impl.bpmn.listener.ScriptTaskListener",
    )
)
"""Classes whose fields `script`, `language` and `resultVariable` say what they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script with its language; its value goes to the variable named by `result`."""

    text: str
    language: Expression | None = None
    result: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What to run at which event: an expression, or a script."""

    event: str
    expression: Expression | None = None
    script: Script | None = None


def read_listeners(
    source: Source, reader: Reader, tag: str, events: Iterable[str], default: str
) -> tuple[Listener, ...]:
    """The listeners of an element. What cannot run, or names no event, is a problem of the element."""
    known = tuple(events)
    found = []
    for each in source.extensions(tag):
        event = each.attributes.get("event", "").strip() or default
        if event not in known:
            reader.problem(
                each, f"expected the event of a {tag} to be one of {', '.join(known)}, found '{event}'", source.id
            )
            continue
        listener = _listener(each, source, reader, tag, event)
        if listener is not None:
            found.append(listener)
    return tuple(found)


def _listener(each: Source, source: Source, reader: Reader, tag: str, event: str) -> Listener | None:
    attributes = each.attributes
    script = next((child for child in each.children if child.tag == "script"), None)
    if "expression" in attributes:
        return Listener(event=event, expression=reader.expression(each, attributes["expression"], tag, source.id))
    java = attributes.get("class") or attributes.get("delegateExpression")
    if script is not None:
        given = script.attributes
        language = given.get("language") or given.get("scriptFormat", "")
        found = _script(each, source, reader, script.text, language, given.get("resultVariable", ""))
        return Listener(event=event, script=found)
    if java in SCRIPT_LISTENERS:
        fields = read_fields(each)
        found = _script(
            each, source, reader, fields.get("script", ""), fields.get("language", ""), fields.get("resultVariable", "")
        )
        return Listener(event=event, script=found)
    what = f"Java code '{java}'" if java else "neither"
    reader.problem(each, f"expected an expression or a script in a {tag}, found {what}", source.id)
    return None


def _script(each: Source, source: Source, reader: Reader, text: str, language: str, result: str) -> Script:
    if not text.strip():
        reader.problem(each, f"expected a script in a {each.tag}, found none", source.id)
    return Script(
        text=text,
        language=reader.expression(each, language, "language", source.id),
        result=reader.expression(each, result, "resultVariable", source.id),
    )


def of_event(listeners: tuple[Listener, ...], event: str) -> tuple[Listener, ...]:
    """Those that listen to an event, in document order."""
    if not listeners:
        return _NO_LISTENERS
    return tuple(listener for listener in listeners if listener.event in (event, ALL))


def run(listeners: tuple[Listener, ...], event: str, at: Any, task: Any = None) -> None:
    """Run those of an event, in order, where they belong (`at` is a Here); one that fails refuses the command.

    Raises Diverted if one threw a BPMN error, which then is where its handler is; of a task that is being deleted the
    error refuses the command, for there is no way out of a cancellation.
    """
    from engine.kernel import faults

    turn = at.turn
    outer = turn.event_name
    for listener in of_event(listeners, event):
        turn.event_name = event
        try:
            _run(listener, at, task)
        except BpmnError as error:
            if event == DELETE:
                raise
            if event == TAKE:
                faults.propagate_out_of(turn, at.instance, at.execution.id, at.node.id, error)
            else:
                faults.propagate_beyond(turn, at.instance, at.execution, error)
            raise Diverted from error
        finally:
            turn.event_name = outer


def _run(listener: Listener, at: Any, task: Any) -> None:
    from engine.kernel.scripting import run_script

    if listener.expression is not None:
        at.value(listener.expression, task)
    elif listener.script is not None:
        script = listener.script
        value = run_script(at, at.text(script.language), script.text, store=False, task=task)
        if script.result is not None:
            at.set_variable(at.text(script.result), value)
