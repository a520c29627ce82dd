"""Exclusive gateway: exactly one way out, the first whose condition holds (BPMN 2.0, 13.4.3)."""

from collections.abc import Iterator
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.flows import no_way_out
from engine.kernel.here import Here
from engine.kernel.reading import Problem


def _check(node: Node) -> Iterator[Problem]:
    if not node.outgoing:
        yield Problem(
            element_id=node.id,
            message="expected at least one sequence flow out of an exclusive gateway, found none",
            line=node.line,
        )
    if len(node.outgoing) == 1 and node.outgoing[0].condition is not None:
        yield Problem(
            element_id=node.outgoing[0].id,
            message="expected no condition on the only sequence flow out of an exclusive gateway, found one",
            line=node.outgoing[0].line,
        )
    default = node.default_flow
    if default is not None and (default.condition is not None or default.script is not None):
        yield Problem(
            element_id=default.id, message="expected no condition on a default flow, found one", line=default.line
        )


def _enter(here: Here) -> None:
    node = here.node
    for flow in node.outgoing:
        if flow is not node.default_flow and here.holds(flow):
            here.leave_by((flow,))
            return
    if node.default_flow is None:
        raise no_way_out(node)
    here.leave_by((node.default_flow,))


KIND: Final = ElementKind(
    tag="exclusiveGateway", type="exclusiveGateway", family=Family.GATEWAY, check=_check, enter=_enter
)
