"""Abstract task: of no particular type; the token passes, as in Flowable."""

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


KIND: Final = ElementKind(tag="task", type="task", family=Family.TASK, read=_read, enter=_enter)
