"""Abstract task: of no particular type; the token passes, as in Flowable."""

from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.here import Here


def _enter(here: Here) -> None:
    here.leave()


KIND: Final = ElementKind(tag="task", type="task", family=Family.TASK, enter=_enter)
