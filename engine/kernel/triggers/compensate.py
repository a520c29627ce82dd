"""Compensation: a boundary event names the handler of its activity, a throw or end event has it run (BPMN 2.0, 10.6).

With `activityRef` one activity of the process is undone, without it all that the throwing scope has done. The reference
may also name the handler itself (Flowable).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel import compensation
from engine.kernel.definition import Family, Node, Position, TriggerKind
from engine.kernel.here import Here
from engine.kernel.reading import Problem, Reader, Source


@dataclass(slots=True, kw_only=True)
class Compensate:
    """`activity_id` of a throwing event; `handler` of a boundary event is linked by its association."""

    activity_id: str = ""
    handler: Node | None = None


def _read(source: Source, reader: Reader, event: Source) -> Compensate:
    del reader, event
    return Compensate(activity_id=source.attributes.get("activityRef", "").strip())


def _check(node: Node) -> Iterator[Problem]:
    if node.attached_to is not None:
        yield from _check_boundary(node)
    elif node.event.activity_id and node.event.activity_id not in _activities(node):
        yield Problem(
            element_id=node.id,
            message=f"expected activityRef to name an activity of the process, found '{node.event.activity_id}'",
            line=node.line,
        )


def _check_boundary(node: Node) -> Iterator[Problem]:
    handler: Node | None = node.event.handler
    if handler is not None and not handler.for_compensation:
        yield Problem(
            element_id=handler.id,
            message="expected isForCompensation on the handler of a compensation boundary event, found it missing",
            line=handler.line,
        )
    events = [e for e in node.attached_to.boundary if e.trigger is TRIGGER] if node.attached_to is not None else []
    if len(events) > 1 and node is not events[0]:
        yield Problem(
            element_id=node.id,
            message="expected one boundary event with a compensateEventDefinition on an activity, "
            f"found '{events[0].id}' there already",
            line=node.line,
        )


def _activities(node: Node) -> set[str]:
    """The ids of all activities of the process that a node belongs to."""
    process = node
    while process.parent is not None:
        process = process.parent
    return {inner.id for inner in _inside(process) if inner.kind.family in (Family.TASK, Family.CONTAINER, Family.CALL)}


def _inside(container: Node) -> Iterator[Node]:
    for node in container.inside:
        yield node
        yield from _inside(node)


def _throw(here: Here) -> bool:
    turn, instance = here.turn, here.instance
    scope_id = compensation.keeper_of(instance, here.execution)
    activity_id = _undone_by(here, here.node.event.activity_id)
    while not compensation.compensate_scope(turn, instance, scope_id, activity_id):
        scope = instance.executions.get(scope_id)
        # What an event sub-process undoes is what the scope around it did (BPMN 2.0, 10.6.2).
        if scope is None or not (activity_id or turn.node_of(instance, scope).is_event_subprocess):
            break
        scope_id = compensation.keeper_of(instance, scope)
    else:
        return True
    if activity_id:
        compensation.compensate_activity(turn, instance, activity_id)
    return True


def _undone_by(here: Here, activity_id: str) -> str:
    """The activity that is meant: where a handler is named, the one that it undoes."""
    nodes = here.turn.definition_of(here.instance).nodes
    if not activity_id or not nodes[activity_id].for_compensation:
        return activity_id
    handler = nodes[activity_id]
    return next((node.id for node in nodes.values() if compensation.handler_of(node) is handler), activity_id)


TRIGGER: Final = TriggerKind(
    name=compensation.COMPENSATE,
    tag="compensateEventDefinition",
    positions=frozenset((Position.BOUNDARY, Position.THROW, Position.END)),
    read=_read,
    check=_check,
    throw=_throw,
)
