"""Message: delivered to one waiting execution, or starting a process (BPMN 2.0, 10.5.5.7).

Thrown by an end or intermediate event it goes to one waiting subscription of that name, if there is one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel import events as ev
from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.parameters import Parameter, map_values, read_parameters
from engine.kernel.reading import Problem, Reader, Source
from engine.kernel.state import MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The name, plain or computed when the event is armed or thrown; `outputs` are what a thrown one carries."""

    name: Expression | None
    outputs: tuple[Parameter, ...] = ()


def _read(source: Source, reader: Reader, event: Source) -> Message:
    expression = source.extension.get("messageExpression")
    if expression:
        return Message(name=reader.expression(source, expression, "messageExpression", event.id))
    reference = source.attributes.get("messageRef", "")
    if not reference:
        reader.problem(source, "expected a messageRef or a messageExpression, found neither", event.id)
        return Message(name=None)
    message = reader.referenced("message", reference)
    if message is None:
        reader.problem(source, f"expected messageRef to name a message of the document, found '{reference}'", event.id)
        return Message(name=None)
    name = message.attributes.get("name", "") or message.extension.get("expression", "")
    if not name:
        reader.problem(message, "expected the message to have a name, found none", event.id)
    return Message(
        name=reader.expression(source, name, "message name", event.id),
        outputs=read_parameters(event.extensions("out"), reader, event),
    )


def _check(node: Node) -> Iterator[Problem]:
    """One message can wake only one boundary event of an activity (Flowable refuses a second one)."""
    if node.attached_to is None or node.event.name is None:
        return
    same = [e for e in node.attached_to.boundary if e.trigger is TRIGGER and e.event.name == node.event.name]
    if same and node is not same[0]:
        yield Problem(
            element_id=node.id,
            message=f"expected one boundary event for message '{node.event.name.text}' on an activity, "
            f"found '{same[0].id}' there already",
            line=node.line,
        )


def name_of(here: Here, node: Node) -> str:
    return here.text(node.event.name)


def _arm(here: Here, node: Node) -> None:
    here.subscribe(MESSAGE, name_of(here, node), node)


def _throw(here: Here) -> bool:
    variables: dict[str, Any] = map_values(here.node.event.outputs, here.value, here.variable)
    here.emit(
        ev.MessageThrown(
            instance_id=here.instance.id,
            name=name_of(here, here.node),
            at=here.now,
            tenant_id=here.instance.tenant_id,
            business_key=here.instance.business_key,
            variables=variables,
        )
    )
    return True


TRIGGER: Final = TriggerKind(
    name="message",
    tag="messageEventDefinition",
    positions=frozenset(Position),
    read=_read,
    check=_check,
    arm=_arm,
    throw=_throw,
)
