"""Inclusive gateway: waits for every token that can still come, then takes every way whose condition holds.

The waiting is decided in `joins.settle` when nothing else is left to do (BPMN 2.0, 13.4.2).
"""

from collections.abc import Iterator
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node, Wake
from engine.kernel.flows import choose
from engine.kernel.here import Here
from engine.kernel.joins import merge, tokens_at
from engine.kernel.reading import Problem


def _check(node: Node) -> Iterator[Problem]:
    default = node.default_flow
    if default is not None and default.condition is not None:
        yield Problem(
            element_id=default.id, message="expected no condition on a default flow, found one", line=default.line
        )


def _enter(here: Here) -> None:
    if len(here.node.incoming) <= 1:
        _split(here)


def _wake(here: Here, wake: Wake) -> None:
    del wake
    merge(here, tokens_at(here))
    _split(here)


def _split(here: Here) -> None:
    here.leave_by(choose(here.turn, here.instance, here.execution, here.node))


KIND: Final = ElementKind(
    tag="inclusiveGateway", type="inclusiveGateway", family=Family.GATEWAY, check=_check, enter=_enter, wake=_wake
)
