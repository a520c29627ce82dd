"""Inclusive gateway: waits for every token that can still come, then takes every way whose condition holds.

The waiting is decided in `joins.settle` when nothing else is left to do (BPMN 2.0, 13.4.2).
"""

from typing import Final

from engine.kernel.definition import ElementKind, Family, Wake
from engine.kernel.here import Here
from engine.kernel.joins import merge, tokens_at


def _enter(here: Here) -> None:
    if len(here.node.incoming) <= 1:
        here.leave()


def _wake(here: Here, wake: Wake) -> None:
    del wake
    merge(here, tokens_at(here))
    here.leave()


KIND: Final = ElementKind(
    tag="inclusiveGateway", type="inclusiveGateway", family=Family.GATEWAY, enter=_enter, wake=_wake
)
