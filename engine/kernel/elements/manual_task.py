"""Manual task: done outside of any system; the token passes (BPMN 2.0, 13.3.3)."""

from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """A task that nothing waits for."""

    skip: Expression | None = None


def _read(source: Source, reader: Reader) -> Passing:
    return Passing(skip=reader.expression(source, source.extension.get("skipExpression"), "skipExpression"))


def _enter(here: Here) -> None:
    here.leave()


KIND: Final = ElementKind(tag="manualTask", type="manualTask", family=Family.TASK, read=_read, enter=_enter)
