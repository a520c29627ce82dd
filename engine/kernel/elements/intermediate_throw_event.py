"""Intermediate throw event: something is thrown and the token goes on."""

from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.here import Here


def _enter(here: Here) -> None:
    trigger = here.node.trigger
    if trigger is None or trigger.throw(here):
        here.leave()


KIND: Final = ElementKind(tag="intermediateThrowEvent", type="throwEvent", family=Family.EVENT, enter=_enter)
