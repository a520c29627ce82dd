"""Receive task: waits until it is triggered (Flowable does not use its message reference)."""

from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.here import Here

TRIGGER_WAIT: Final = "trigger"


def _enter(here: Here) -> None:
    here.subscribe(TRIGGER_WAIT, "")


KIND: Final = ElementKind(tag="receiveTask", type="receiveTask", family=Family.TASK, enter=_enter)
