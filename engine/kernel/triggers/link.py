"""Link: a throw event goes on at the catch event of that name in its scope, as if by a flow (BPMN 2.0, 10.5.5.8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel import events as ev
from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.here import Here
from engine.kernel.lifecycle import enter_later
from engine.kernel.reading import Problem, Reader, Source

LINK: Final = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    name: str


def _read(source: Source, reader: Reader, event: Source) -> Link:
    name = source.attributes.get("name", "").strip()
    if not name:
        reader.problem(source, "expected the link to have a name, found none", event.id)
    return Link(name=name)


def _check(node: Node) -> Iterator[Problem]:
    throws = node.kind.tag == "intermediateThrowEvent"
    targets = _targets(node)
    if throws and node.outgoing:
        yield Problem(
            element_id=node.id, message="expected no sequence flow out of a link throw event, found one", line=node.line
        )
    if not throws and node.incoming:
        yield Problem(
            element_id=node.id, message="expected no sequence flow into a link catch event, found one", line=node.line
        )
    if throws and len(targets) != 1:
        yield Problem(
            element_id=node.id,
            message=f"expected one link catch event named '{node.event.name}' in the same scope, found {len(targets)}",
            line=node.line,
        )


def _targets(node: Node) -> tuple[Node, ...]:
    siblings = node.parent.inside if node.parent is not None else ()
    return tuple(
        n
        for n in siblings
        if n.kind.tag == "intermediateCatchEvent"
        and n.trigger is not None
        and n.trigger.name == LINK
        and n.event.name == node.event.name
    )


def _jumps(node: Node) -> tuple[Node, ...]:
    return _targets(node) if node.kind.tag == "intermediateThrowEvent" else ()


def _throw(here: Here) -> bool:
    scope_id = here.execution.parent
    here.emit(
        ev.ElementEnded(
            instance_id=here.instance.id, execution_id=here.execution.id, element_id=here.node.id, at=here.now
        )
    )
    enter_later(here.turn, here.instance, scope_id, _targets(here.node)[0])
    return False


def _arm(here: Here, node: Node) -> None:
    del node
    here.leave()


TRIGGER: Final = TriggerKind(
    name=LINK,
    tag="linkEventDefinition",
    positions=frozenset((Position.CATCH, Position.THROW)),
    read=_read,
    check=_check,
    arm=_arm,
    throw=_throw,
    jumps=_jumps,
)
