"""How a BPMN error finds its handler (BPMN 2.0, 10.5.1). One that nobody catches refuses the whole command."""

from engine.kernel import catching
from engine.kernel.definition import Wake
from engine.kernel.errors import BpmnError, failed
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn

ERROR = "error"
CODE, MESSAGE = "errorCode", "errorMessage"


def propagate(turn: Turn, instance: Instance, thrower: Execution, error: BpmnError) -> None:
    """Hand an error thrown at an execution to its nearest handler. Raises Refused if there is none."""
    _search(turn, instance, thrower, thrower, error, thrower.element)


def propagate_out_of(turn: Turn, instance: Instance, scope_id: str, element_id: str, error: BpmnError) -> None:
    """Hand on an error that an element inside a scope threw when it ended (an error end event)."""
    _search(turn, instance, instance.executions.get(scope_id), None, error, element_id)


def propagate_beyond(turn: Turn, instance: Instance, execution: Execution, error: BpmnError) -> None:
    """Hand on what a listener of an element threw: the element's own boundary events do not count (Flowable)."""
    around = instance.executions.get(execution.parent)
    while around is not None and around.body and around.element == execution.element:
        around = instance.executions.get(around.parent)
    _search(turn, instance, around, None, error, execution.element)


def _search(
    turn: Turn,
    instance: Instance,
    start: Execution | None,
    thrower: Execution | None,
    error: BpmnError,
    element_id: str,
) -> None:
    for level in catching.levels(turn, instance, start, thrower):
        # Flowable: a code that is the id of an error of the catching document stands for that error's code.
        codes = turn.definition_of(level.instance).error_codes
        event = catching.best(level.events, ERROR, codes.get(error.code, error.code))
        if event is not None:
            known = {**error.variables, CODE: error.code, MESSAGE: error.message or None}
            catching.catch(turn, level, event, Wake(kind=ERROR, variables=known), instance)
            return
    raise failed(
        "error-not-caught",
        f"element '{element_id}': expected a handler for BPMN error '{error.code}', found none"
        + (f" ({error.message})" if error.message else ""),
        error_code=error.code,
        element_id=element_id,
    )
