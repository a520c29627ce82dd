"""Embedded and event sub-process: a scope of its own with a flow of its own (BPMN 2.0, 13.3.4 and 13.5.4)."""

from collections.abc import Iterator
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.here import Here
from engine.kernel.reading import Problem


def _check(node: Node) -> Iterator[Problem]:
    starts = [inner for inner in node.inside if inner.kind.tag == "startEvent"]
    if node.is_event_subprocess:
        yield from _check_event_subprocess(node, starts)
        return
    if len(starts) != 1:
        yield Problem(
            element_id=node.id,
            message=f"expected exactly one start event in a sub-process, found {len(starts)}",
            line=node.line,
        )
    elif starts[0].trigger is not None:
        yield Problem(
            element_id=starts[0].id,
            message="expected a plain start event in a sub-process, found one with an event definition",
            line=starts[0].line,
        )


def _check_event_subprocess(node: Node, starts: list[Node]) -> Iterator[Problem]:
    if len(starts) != 1 or starts[0].trigger is None:
        yield Problem(
            element_id=node.id,
            message="expected exactly one start event with an event definition in an event sub-process",
            line=node.line,
        )
    if node.incoming or node.outgoing:
        yield Problem(
            element_id=node.id, message="expected no sequence flows at an event sub-process, found some", line=node.line
        )


def _enter(here: Here) -> None:
    assert here.node.start is not None, "checked at deployment: a sub-process has a start event"
    here.enter_child(here.node.start)


KIND: Final = ElementKind(
    tag="subProcess", type="subProcess", family=Family.CONTAINER, scope=True, check=_check, enter=_enter
)
