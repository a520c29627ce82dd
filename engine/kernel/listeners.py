"""Execution and task listeners: expressions and scripts that run when an element starts or ends, a flow is taken, or
something happens to a task (Flowable's `executionListener` and `taskListener`).

Java classes and delegate expressions cannot run here; they are refused when the model is read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel.expression import Expression
from engine.kernel.reading import Reader, Source

START, END, TAKE = "start", "end", "take"
CREATE, ASSIGNMENT, COMPLETE, DELETE, ALL = "create", "assignment", "complete", "delete", "all"
EXECUTION_EVENTS: Final = (START, END, TAKE)
TASK_EVENTS: Final = (CREATE, ASSIGNMENT, COMPLETE, DELETE, ALL)
_NO_LISTENERS: Final[tuple["Listener", ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What to run at which event: an expression, or a script of a language."""

    event: str
    expression: Expression | None = None
    script: tuple[str, str] | None = None


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
    if script is not None:
        language = script.attributes.get("language") or script.attributes.get("scriptFormat", "")
        return Listener(event=event, script=(language, script.text))
    java = attributes.get("class") or attributes.get("delegateExpression")
    what = f"Java code '{java}'" if java else "neither"
    reader.problem(each, f"expected an expression or a script in a {tag}, found {what}", source.id)
    return None


def of_event(listeners: tuple[Listener, ...], event: str) -> tuple[Listener, ...]:
    """Those that listen to an event, in document order."""
    if not listeners:
        return _NO_LISTENERS
    return tuple(listener for listener in listeners if listener.event in (event, ALL))


def run(listeners: Iterable[Listener], at: Any, task: Any = None) -> None:
    """Run them in order where they belong (`at` is a Here); one that fails refuses the command."""
    from engine.kernel.scripting import run_script

    for listener in listeners:
        if listener.expression is not None:
            at.value(listener.expression, task)
        elif listener.script is not None:
            run_script(at, *listener.script, store=False, task=task)
