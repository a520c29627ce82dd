"""How a BPMN error finds its handler (BPMN 2.0, 10.5.1; the search order is Flowable's).

Own boundary first, then scope by scope outwards: event sub-processes before boundary events, a code before catch-all,
then across the call activity to the caller. An error that nobody catches refuses the whole command.
"""

from collections.abc import Iterable
from typing import Any

from engine.kernel import here, lifecycle
from engine.kernel.definition import Node, Wake
from engine.kernel.errors import BpmnError, failed
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn

ERROR = "error"


def propagate(turn: Turn, instance: Instance, thrower: Execution, error: BpmnError) -> None:
    """Hand an error thrown at an execution to its nearest handler. Raises Refused if there is none."""
    _search(turn, instance, thrower, thrower, error)


def propagate_out_of(turn: Turn, instance: Instance, scope_id: str, element_id: str, error: BpmnError) -> None:
    """Hand on an error that an element inside a scope threw when it ended (an error end event)."""
    scope = instance.executions.get(scope_id)
    _search(turn, instance, scope, None, error, element_id)


def _search(
    turn: Turn,
    instance: Instance,
    start: Execution | None,
    thrower: Execution | None,
    error: BpmnError,
    element_id: str = "",
) -> None:
    where: Instance | None = instance
    current = start
    while where is not None:
        if _caught_in(turn, where, current, thrower, error):
            return
        current, where = _caller(turn, where)
        thrower = current
    element_id = element_id or (start.element if start is not None else "")
    raise failed(
        "error-not-caught",
        f"element '{element_id}': expected a handler for BPMN error '{error.code}', found none"
        + (f" ({error.message})" if error.message else ""),
        error_code=error.code,
        element_id=element_id,
    )


def _caller(turn: Turn, instance: Instance) -> tuple[Execution | None, Instance | None]:
    caller = turn.tree.instances.get(instance.super_instance_id) if instance.super_instance_id else None
    if caller is None:
        return None, None
    return caller.executions.get(instance.super_execution_id), caller


def _caught_in(
    turn: Turn, instance: Instance, start: Execution | None, thrower: Execution | None, error: BpmnError
) -> bool:
    current = start
    came_from: Execution | None = None
    while current is not None:
        node = turn.node_of(instance, current)
        if current is not thrower and current.scope and _caught_inside(turn, instance, current, node, came_from, error):
            return True
        # The boundary events of a multi-instance activity belong to its body, not to a single turn.
        if current.turn is None:
            event = _handler(node.boundary, error)
            if event is not None:
                _fire(turn, instance, current, event, error)
                return True
        came_from = current
        current = instance.executions.get(current.parent)
    process = turn.definition_of(instance).process
    root = lifecycle.root_execution(instance, process)
    return _caught_inside(turn, instance, root, process, came_from, error)


def _caught_inside(
    turn: Turn, instance: Instance, scope: Execution, node: Node, came_from: Execution | None, error: BpmnError
) -> bool:
    """Whether an event sub-process of the scope takes the error; one never catches what it threw itself."""
    own = came_from.element if came_from is not None else ""
    starts = (s.start for s in node.event_subprocesses if s.start is not None and s.id != own)
    event = _handler(starts, error)
    if event is None:
        return False
    lifecycle.fire_event_subprocess(turn, instance, scope, event, Wake(kind=ERROR, variables=_variables(event, error)))
    return True


def _handler(events: Iterable[Node], error: BpmnError) -> Node | None:
    """The event that catches a code: one that names it before one that takes all."""
    catch_all: Node | None = None
    for event in events:
        if event.trigger is not None and event.trigger.name == ERROR:
            if event.event.code == error.code:
                return event
            if not event.event.code and catch_all is None:
                catch_all = event
    return catch_all


def _variables(event: Node, error: BpmnError) -> dict[str, Any]:
    name = event.event.variable
    return {name: {"code": error.code, "message": error.message or None}} if name and not event.event.local else {}


def _fire(turn: Turn, instance: Instance, host: Execution, event: Node, error: BpmnError) -> None:
    at = here.Here(turn, instance, host, event)
    if event.event.transient and event.event.variable:
        at.set_transient(event.event.variable, {"code": error.code, "message": error.message or None})
        lifecycle.fire_boundary(turn, instance, host, event, Wake(kind=ERROR))
        return
    lifecycle.fire_boundary(turn, instance, host, event, Wake(kind=ERROR, variables=_variables(event, error)))


__all__ = ["ERROR", "propagate"]
