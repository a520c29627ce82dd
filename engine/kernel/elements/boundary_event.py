"""Boundary event: fires while its activity runs; the waits are armed and fired by `lifecycle`."""

from collections.abc import Iterator
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.here import Here
from engine.kernel.reading import Problem


def _check(node: Node) -> Iterator[Problem]:
    if node.trigger is None:
        yield Problem(element_id=node.id, message="expected an event definition, found none", line=node.line)
    if node.incoming:
        yield Problem(
            element_id=node.id, message="expected no sequence flow into a boundary event, found one", line=node.line
        )


def _enter(here: Here) -> None:
    here.leave()


KIND: Final = ElementKind(tag="boundaryEvent", type="boundaryEvent", family=Family.EVENT, check=_check, enter=_enter)
