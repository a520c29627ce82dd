"""Conditional: happens when its condition holds (BPMN 2.0, 10.5.5.4).

As in Flowable the condition is not watched: it is tested when variables are set from outside, and on request. It is an
expression, or a script where it names a language.
"""

from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source
from engine.kernel.scripting import EXPRESSION_LANGUAGES, JAVASCRIPT, run_script
from engine.kernel.state import CONDITIONAL

LANGUAGES: Final = EXPRESSION_LANGUAGES | JAVASCRIPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditional:
    """The condition: one of an expression and a script (its language and text)."""

    condition: Expression | None = None
    script: tuple[str, str] | None = None

    def holds(self, here: Here) -> bool:
        """Whether it gives true."""
        value = run_script(here, *self.script, store=False) if self.script is not None else here.value(self.condition)
        return value is True


def _read(source: Source, reader: Reader, event: Source) -> Conditional:
    child = source.child("condition")
    language = child.attributes.get("language", "").strip() if child is not None else ""
    if child is not None and language and "{" not in child.text and child.text.strip():
        if language.lower() not in LANGUAGES:
            reader.problem(child, f"expected a condition in javascript or juel, found one in '{language}'", event.id)
        return Conditional(script=(language, child.text))
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
