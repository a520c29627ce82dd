"""What a definition waits for while nobody has started it: messages, signals and timers of its start events.

Names and times are evaluated when a version is deployed, without an instance (Flowable resolves them with a container
that knows no variables); the newest version of a key and tenant holds the waits.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.kernel.definition import Definition, Node
from engine.kernel.errors import invalid
from engine.kernel.expression import Expression, ExpressionError, MappingContext
from engine.kernel.state import MESSAGE, SIGNAL, TIMER
from engine.kernel.triggers.timer import due_of, next_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWait:
    """`kind` is message or signal (then `name` counts) or timer (then `due_at` and what `repeat` says of its cycle)."""

    kind: str
    element_id: str
    name: str = ""
    due_at: datetime | None = None
    repeat: str = ""


def start_waits(definition: Definition, now: datetime) -> list[StartWait]:
    """The waits of a definition's own start events. Raises Refused (INVALID_ARGUMENT) for what cannot be evaluated."""
    return [_wait(node, now) for node in definition.starts if node.trigger is not None]


def _wait(node: Node, now: datetime) -> StartWait:
    assert node.trigger is not None, "only start events with a definition wait"
    if node.trigger.name in (MESSAGE, SIGNAL):
        name = _value(node, node.event.name, now)
        return StartWait(kind=node.trigger.name, element_id=node.id, name="" if name is None else str(name))
    try:
        due_at, repeat = due_of(node.event, lambda expression: _value(node, expression, now), now)
    except ValueError as error:
        raise _refusal(node, error) from error
    return StartWait(kind=TIMER, element_id=node.id, due_at=due_at, repeat=repeat)


def next_start(wait: StartWait, now: datetime) -> StartWait | None:
    """What a timer start waits for after it fired; None when it is over."""
    assert wait.due_at is not None, "only timers fire"
    following = next_of(wait.repeat, wait.due_at, now)
    if following is None:
        return None
    due_at, repeat = following
    return StartWait(kind=TIMER, element_id=wait.element_id, due_at=due_at, repeat=repeat)


def _value(node: Node, expression: Expression | None, now: datetime) -> Any:
    if expression is None:
        return None
    try:
        return expression.evaluate(MappingContext({}, now=now))
    except ExpressionError as error:
        raise _refusal(node, error) from error


def _refusal(node: Node, error: Exception) -> Exception:
    return invalid(
        "bad-start-event", f"line {node.line}, element '{node.id}': {error}", element_id=node.id, line=str(node.line)
    )
