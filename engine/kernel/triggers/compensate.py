"""Compensation: a boundary event names the handler of its activity, a throw or end event has it run (BPMN 2.0, 10.6).

With `activityRef` one activity of the surrounding scopes is undone, without it all that the throwing scope has done.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel import compensation
from engine.kernel.definition import Node, Position, TriggerKind
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
    elif node.event.activity_id and not any(n.id == node.event.activity_id for n in _around(node)):
        yield Problem(
            element_id=node.id,
            message=f"expected activityRef to name an activity in reach of the event, found '{node.event.activity_id}'",
            line=node.line,
        )


def _check_boundary(node: Node) -> Iterator[Problem]:
    handler: Node | None = node.event.handler
    if handler is None:
        yield Problem(
            element_id=node.id,
            message="expected an association from the compensation boundary event to an activity, found none",
            line=node.line,
        )
    elif not handler.for_compensation:
        yield Problem(
            element_id=handler.id,
            message="expected isForCompensation on the handler of a compensation boundary event, found it missing",
            line=handler.line,
        )


def _around(node: Node) -> Iterator[Node]:
    """The nodes of the containers around a node, innermost first."""
    container = node.parent
    while container is not None:
        yield from container.inside
        container = container.parent


def _throw(here: Here) -> bool:
    turn, instance = here.turn, here.instance
    scope_id = compensation.keeper_of(instance, here.execution)
    activity_id = here.node.event.activity_id
    while not compensation.compensate_scope(turn, instance, scope_id, activity_id):
        scope = instance.executions.get(scope_id)
        # What an event sub-process undoes is what the scope around it did (BPMN 2.0, 10.6.2).
        if scope is None or not (activity_id or turn.node_of(instance, scope).is_event_subprocess):
            break
        scope_id = compensation.keeper_of(instance, scope)
    return True


TRIGGER: Final = TriggerKind(
    name=compensation.COMPENSATE,
    tag="compensateEventDefinition",
    positions=frozenset((Position.BOUNDARY, Position.THROW, Position.END)),
    read=_read,
    check=_check,
    throw=_throw,
)
