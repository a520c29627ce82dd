"""Error: thrown by an end event, caught by the nearest boundary event or event sub-process (BPMN 2.0, 10.5.5.5)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.kernel import events as ev
from engine.kernel import faults
from engine.kernel.definition import Node, Position, TriggerKind, Wake
from engine.kernel.errors import BpmnError
from engine.kernel.expression import MappingContext
from engine.kernel.here import Here
from engine.kernel.parameters import Parameter, map_values, plain, read_parameters
from engine.kernel.reading import Problem, Reader, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """An empty `code` catches every error, and an error thrown without one is caught by every handler.

    `variable` gets the error's code, or `inputs` map what the error carries; `outputs` of an end event are what it
    carries, `errorMessage` among them becoming its message (Flowable).
    """

    code: str
    variable: str = ""
    transient: bool = False
    local: bool = False
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()


def _read(source: Source, reader: Reader, event: Source) -> ErrorEvent:
    reference = source.attributes.get("errorRef", "")
    error = reader.referenced("error", reference) if reference else None
    if error is not None and not error.attributes.get("errorCode", "").strip():
        reader.problem(error, f"expected the error '{error.id}' to have an errorCode, found none", event.id)
    # Flowable: an errorRef that names no error of the document is itself the code.
    code = error.attributes.get("errorCode", "") if error is not None else reference
    return ErrorEvent(
        code=code,
        variable=source.extension.get("errorVariableName", ""),
        transient=source.flag("errorVariableTransient"),
        local=source.flag("errorVariableLocalScope"),
        inputs=read_parameters(event.extensions("in"), reader, event),
        outputs=read_parameters(event.extensions("out"), reader, event),
    )


def _check(node: Node) -> Iterator[Problem]:
    if node.attached_to is not None and not node.interrupting:
        yield Problem(
            element_id=node.id,
            message="expected an error boundary event to be interrupting, found it is not",
            line=node.line,
        )


def _throw(here: Here) -> bool:
    """The end event ends, and the error leaves its scope."""
    error: ErrorEvent = here.node.event
    carried = map_values(error.outputs, here.value, here.variable)
    message = carried.pop(faults.MESSAGE, "")
    here.emit(
        ev.ElementEnded(
            instance_id=here.instance.id, execution_id=here.execution.id, element_id=here.node.id, at=here.now
        )
    )
    thrown = BpmnError(error.code, "" if message is None else str(message), carried)
    faults.propagate_out_of(here.turn, here.instance, here.execution.parent, here.node.id, thrown)
    return False


def _receive(node: Node, carried: dict[str, Any], now: datetime) -> dict[str, Any]:
    known = plain(carried)
    error: ErrorEvent = node.event
    if error.inputs:
        context = MappingContext(known, now=now)
        return map_values(error.inputs, lambda expression: expression.evaluate(context), known.get)
    if not error.variable or error.local or error.transient:
        return {}
    return {error.variable: known.get(faults.CODE)}


def _fired(here: Here, node: Node, wake: Wake) -> None:
    error: ErrorEvent = node.event
    code = plain(wake.variables).get(faults.CODE)
    if error.variable and error.transient:
        here.set_transient(error.variable, code)
    elif error.variable and error.local:
        here.set_around(node, error.variable, code)


TRIGGER: Final = TriggerKind(
    name="error",
    tag="errorEventDefinition",
    positions=frozenset((Position.EVENT_SUB_START, Position.BOUNDARY, Position.END)),
    read=_read,
    check=_check,
    throw=_throw,
    receive=_receive,
    fired=_fired,
)
