"""Joins: tokens that wait at a gateway for others, and the inclusive ones' question whether any can still come.

Reachability is precomputed per node over the static graph of its scope (`Node.reaches`); it is held against the living
tokens of that scope once nothing else is left to do in a command (BPMN 2.0, 13.4.2).
"""

from collections.abc import Iterable

from engine.kernel import events as ev
from engine.kernel import here
from engine.kernel.definition import Definition, Node, Wake
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn

INCLUSIVE = "inclusiveGateway"
JOIN = "join"


def tokens_at(at: "here.Here") -> list[Execution]:
    """The tokens that stand at this gateway in this scope, this one included."""
    siblings = at.instance.children_of(at.execution.parent)
    return [e for e in siblings if e.element == at.node.id and not e.queued and not e.leaving]


def merge(at: "here.Here", tokens: Iterable[Execution]) -> None:
    """Let this token stand for all of them: the others end here."""
    for other in tokens:
        if other is not at.execution:
            at.emit(
                ev.ElementEnded(instance_id=at.instance.id, execution_id=other.id, element_id=at.node.id, at=at.now)
            )


def settle(turn: Turn) -> bool:
    """Fire one inclusive join that nothing can reach any more; says whether there was one."""
    for instance in turn.touched_instances():
        definition = turn.definition_of(instance)
        if definition.has_inclusive_joins and _fire_one(turn, instance, definition):
            return True
    return False


def _fire_one(turn: Turn, instance: Instance, definition: Definition) -> bool:
    for siblings in list(instance.children.values()):
        for token in siblings.values():
            node = definition.nodes[token.element]
            if node.kind.tag == INCLUSIVE and _is_waiting(token) and not _can_come(definition, node, siblings.values()):
                node.kind.wake(here.Here(turn, instance, token, node), Wake(kind=JOIN))
                return True
    return False


def _is_waiting(token: Execution) -> bool:
    return not token.queued and not token.leaving


def _can_come(definition: Definition, join: Node, tokens: Iterable[Execution]) -> bool:
    """Whether a token of the scope that does not wait at the join can still get to it; one queued before it can."""
    return any(
        (token.element == join.id and token.queued and not token.leaving)
        or join.id in definition.nodes[token.element].reaches
        for token in tokens
        if not token.is_frame and (token.element != join.id or not _is_waiting(token))
    )
