"""Receive task: waits until it is triggered (Flowable does not use its message reference)."""

from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import ElementKind, Family
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source

TRIGGER_WAIT: Final = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveTask:
    skip: Expression | None = None


def _read(source: Source, reader: Reader) -> ReceiveTask:
    return ReceiveTask(skip=reader.expression(source, source.extension.get("skipExpression"), "skipExpression"))


def _enter(here: Here) -> None:
    here.subscribe(TRIGGER_WAIT, "")


KIND: Final = ElementKind(tag="receiveTask", type="receiveTask", family=Family.TASK, read=_read, enter=_enter)
