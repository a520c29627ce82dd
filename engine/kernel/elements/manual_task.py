"""Manual task: done outside of any system; the token passes (BPMN 2.0, 13.3.3)."""

from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.here import Here


def _enter(here: Here) -> None:
    here.leave()


KIND: Final = ElementKind(tag="manualTask", type="manualTask", family=Family.TASK, enter=_enter)
