"""End event: a path ends; what its event definition throws happens first."""

from collections.abc import Iterator
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.here import Here
from engine.kernel.reading import Problem


def _check(node: Node) -> Iterator[Problem]:
    if node.outgoing:
        yield Problem(
            element_id=node.id, message="expected no sequence flow out of an end event, found one", line=node.line
        )


def _enter(here: Here) -> None:
    trigger = here.node.trigger
    if trigger is None or trigger.throw(here):
        here.end_path()


KIND: Final = ElementKind(tag="endEvent", type="endEvent", family=Family.EVENT, check=_check, enter=_enter)
