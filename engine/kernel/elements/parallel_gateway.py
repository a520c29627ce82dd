"""Parallel gateway: waits for a token on every way in, then takes every way out (BPMN 2.0, 13.4.1).

Tokens are counted per scope and not per flow, as Flowable does: two that come by one flow can satisfy a join of two.
Conditions on its outgoing flows are ignored.
"""

from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.here import Here
from engine.kernel.joins import merge, tokens_at


def _enter(here: Here) -> None:
    needed = len(here.node.incoming)
    if needed > 1:
        tokens = tokens_at(here)
        if len(tokens) < needed:
            return
        merge(here, tokens)
    here.leave_by(here.node.outgoing)


KIND: Final = ElementKind(tag="parallelGateway", type="parallelGateway", family=Family.GATEWAY, enter=_enter)
