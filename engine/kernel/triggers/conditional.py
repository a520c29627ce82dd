"""Conditional: happens when its condition holds (BPMN 2.0, 10.5.5.4).

As in Flowable the condition is not watched: it is tested when variables are set from outside, and on request.
"""

from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source
from engine.kernel.state import CONDITIONAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    condition: Expression | None


def _read(source: Source, reader: Reader, event: Source) -> Conditional:
    condition = reader.expression(source, source.text_of("condition"), "condition", event.id)
    if condition is None and not source.text_of("condition"):
        reader.problem(source, "expected a condition, found none", event.id)
    return Conditional(condition=condition)


def _arm(here: Here, node: Node) -> None:
    here.subscribe(CONDITIONAL, "", node)


TRIGGER: Final = TriggerKind(
    name=CONDITIONAL,
    tag="conditionalEventDefinition",
    positions=frozenset((Position.EVENT_SUB_START, Position.CATCH, Position.BOUNDARY)),
    read=_read,
    arm=_arm,
)
