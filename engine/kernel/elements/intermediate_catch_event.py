"""Intermediate catch event: a token waits until what it names happens; without a definition, until it is triggered."""

from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.here import Here

TRIGGER_WAIT: Final = "trigger"


def _enter(here: Here) -> None:
    if here.node.trigger is None:
        here.subscribe(TRIGGER_WAIT, "")
    else:
        here.node.trigger.arm(here, here.node)


KIND: Final = ElementKind(
    tag="intermediateCatchEvent", type="intermediateCatchEvent", family=Family.EVENT, enter=_enter
)
