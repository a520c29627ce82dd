"""Escalation: tells the surroundings that something needs attention; whoever throws it goes on (BPMN 2.0, 10.5.5.6).

The nearest event that names the code, or any code, catches it: the search is that of errors, but a catching event need
not interrupt, and an escalation that nobody catches is ignored (Flowable). An event sub-process that catches one works
beside what goes on in its scope, for in Flowable it never interrupts.
"""

from dataclasses import dataclass
from typing import Final

from engine.kernel import catching
from engine.kernel import events as ev
from engine.kernel.definition import Position, TriggerKind, Wake
from engine.kernel.here import Here
from engine.kernel.lifecycle import go
from engine.kernel.reading import Reader, Source

ESCALATION: Final = "escalation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """An empty `code` catches every escalation."""

    code: str = ""


def _read(source: Source, reader: Reader, event: Source) -> Escalation:
    reference = source.attributes.get("escalationRef", "")
    found = reader.referenced("escalation", reference) if reference else None
    if found is not None and not found.attributes.get("escalationCode", "").strip():
        reader.problem(found, f"expected the escalation '{found.id}' to have an escalationCode, found none", event.id)
    # As with errors, a reference that names no escalation of the document is itself the code (Flowable).
    return Escalation(code=found.attributes.get("escalationCode", "") if found is not None else reference)


def _throw(here: Here) -> bool:
    if here.node.kind.tag == "endEvent":
        return _throw_at_end(here)
    _propagate(here)
    return here.is_alive


def _throw_at_end(here: Here) -> bool:
    """The end event ends before the escalation leaves its scope: an interrupting handler does not cancel it."""
    turn, instance, execution, node = here.turn, here.instance, here.execution, here.node
    turn.emit(ev.ElementEnded(instance_id=instance.id, execution_id=execution.id, element_id=node.id, at=here.now))
    _propagate(here)
    go(turn, instance, execution.parent, node, ())
    return False


def _propagate(here: Here) -> None:
    around = here.instance.executions.get(here.execution.parent)
    for level in catching.levels(here.turn, here.instance, around, None):
        event = catching.best(level.events, ESCALATION, here.node.event.code)
        if event is not None:
            catching.catch(here.turn, level, event, Wake(kind=ESCALATION), here.instance)
            return


TRIGGER: Final = TriggerKind(
    name=ESCALATION,
    tag="escalationEventDefinition",
    positions=frozenset((Position.EVENT_SUB_START, Position.BOUNDARY, Position.THROW, Position.END)),
    read=_read,
    throw=_throw,
    scope_interrupting=False,
)
