"""Signal: broadcast to everybody who waits for its name (BPMN 2.0, 10.5.5.11).

Inside the thrower's own tree it arrives in this command; everybody else gets a committed delivery. A signal of scope
`processInstance` (Flowable) stays within its instance.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.kernel import events as ev
from engine.kernel import signals
from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.expression import Expression, MappingContext
from engine.kernel.here import Here
from engine.kernel.parameters import Parameter, map_values, plain, read_parameters
from engine.kernel.reading import Reader, Source
from engine.kernel.state import SIGNAL

INSTANCE_SCOPE: Final = "processInstance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """The name, plain or computed when the event is armed or thrown. `outputs` of a throwing event are the payload,
    `inputs` of a catching one what it takes from it (Flowable; without any it takes all). Of an `asynchronous` throw
    each receiver goes on by a job of its own."""

    name: Expression | None
    within_instance: bool = False
    asynchronous: bool = False
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()


def _read(source: Source, reader: Reader, event: Source) -> Signal:
    expression = source.extension.get("signalExpression")
    if expression:
        return Signal(
            name=reader.expression(source, expression, "signalExpression", event.id), asynchronous=source.flag("async")
        )
    reference = source.attributes.get("signalRef", "")
    if not reference:
        reader.problem(source, "expected a signalRef or a signalExpression, found neither", event.id)
        return Signal(name=None)
    signal = reader.referenced("signal", reference)
    if signal is None:
        reader.problem(source, f"expected signalRef to name a signal of the document, found '{reference}'", event.id)
        return Signal(name=None)
    name = signal.attributes.get("name", "")
    return Signal(
        name=reader.expression(source, name, "signal name", event.id),
        within_instance=signal.extension.get("scope", "") == INSTANCE_SCOPE,
        asynchronous=source.flag("async"),
        inputs=read_parameters(event.extensions("in"), reader, event),
        outputs=read_parameters(event.extensions("out"), reader, event),
    )


def name_of(here: Here, node: Node) -> str:
    return here.text(node.event.name)


def _arm(here: Here, node: Node) -> None:
    here.subscribe(
        SIGNAL, name_of(here, node), node, configuration=INSTANCE_SCOPE if node.event.within_instance else ""
    )


def _throw(here: Here) -> bool:
    signal: Signal = here.node.event
    name = name_of(here, here.node)
    payload: dict[str, Any] = map_values(signal.outputs, here.value, here.variable)
    within = here.instance if signal.within_instance else None
    signals.deliver_inside(here.turn, name, payload, within, asynchronous=signal.asynchronous)
    if not signal.within_instance:
        here.emit(
            ev.SignalThrown(
                instance_id=here.instance.id,
                name=name,
                at=here.now,
                tenant_id=here.instance.tenant_id,
                variables=payload,
                asynchronous=signal.asynchronous,
            )
        )
    return True


def _receive(node: Node, carried: dict[str, Any], now: datetime) -> dict[str, Any]:
    signal: Signal = node.event
    if not signal.inputs:
        return carried
    known = plain(carried)
    context = MappingContext(known, now=now)
    return map_values(signal.inputs, lambda expression: expression.evaluate(context), known.get)


TRIGGER: Final = TriggerKind(
    name="signal",
    tag="signalEventDefinition",
    positions=frozenset(Position),
    read=_read,
    arm=_arm,
    throw=_throw,
    receive=_receive,
)
