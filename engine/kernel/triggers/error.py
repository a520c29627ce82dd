"""Error: thrown by an end event, caught by the nearest boundary event or event sub-process (BPMN 2.0, 10.5.5.5)."""

from dataclasses import dataclass
from typing import Final

from engine.kernel import events as ev
from engine.kernel import faults
from engine.kernel.definition import Position, TriggerKind
from engine.kernel.errors import BpmnError
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent:
    """An empty `code` catches every error. `variable` gets the error's code and message."""

    code: str
    variable: str = ""
    transient: bool = False
    local: bool = False


def _read(source: Source, reader: Reader, event: Source) -> ErrorEvent:
    reference = source.attributes.get("errorRef", "")
    error = reader.referenced("error", reference) if reference else None
    if error is not None and not error.attributes.get("errorCode", "").strip():
        reader.problem(error, "expected the error to have an errorCode, found none", event.id)
    # Flowable: an errorRef that names no error of the document is itself the code.
    code = error.attributes.get("errorCode", "") if error is not None else reference
    return ErrorEvent(
        code=code,
        variable=source.extension.get("errorVariableName", ""),
        transient=source.flag("errorVariableTransient"),
        local=source.flag("errorVariableLocalScope"),
    )


def _throw(here: Here) -> bool:
    """The end event ends, and the error leaves its scope."""
    here.emit(
        ev.ElementEnded(
            instance_id=here.instance.id, execution_id=here.execution.id, element_id=here.node.id, at=here.now
        )
    )
    scope_id = here.execution.parent
    faults.propagate_out_of(here.turn, here.instance, scope_id, here.node.id, BpmnError(here.node.event.code))
    return False


TRIGGER: Final = TriggerKind(
    name="error",
    tag="errorEventDefinition",
    positions=frozenset((Position.EVENT_SUB_START, Position.BOUNDARY, Position.END)),
    read=_read,
    throw=_throw,
)
