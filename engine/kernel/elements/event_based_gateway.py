"""Event-based gateway: all events behind it are armed, the first to happen takes the others away (BPMN 2.0, 13.4.4)."""

from collections.abc import Iterator
from typing import Final

from engine.kernel import events as ev
from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.here import Here
from engine.kernel.lifecycle import enter_later
from engine.kernel.reading import Problem


def _check(node: Node) -> Iterator[Problem]:
    for flow in node.outgoing:
        if flow.target.kind.tag != "intermediateCatchEvent":
            yield Problem(
                element_id=node.id,
                message="expected only intermediate catch events behind an event-based gateway, "
                f"found {flow.target.kind.tag} '{flow.target.id}'",
                line=flow.target.line,
            )


def _enter(here: Here) -> None:
    turn, instance, execution, node = here.turn, here.instance, here.execution, here.node
    scope_id = execution.parent
    turn.emit(ev.ElementEnded(instance_id=instance.id, execution_id=execution.id, element_id=node.id, at=here.now))
    for flow in node.outgoing:
        turn.emit(ev.FlowTaken(instance_id=instance.id, flow_id=flow.id, at=here.now))
        enter_later(turn, instance, scope_id, flow.target, flow.id, execution.id)


KIND: Final = ElementKind(
    tag="eventBasedGateway", type="eventGateway", family=Family.GATEWAY, check=_check, enter=_enter
)
