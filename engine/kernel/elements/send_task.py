"""Send task: throws the message that it refers to, and goes on (BPMN 2.0, 10.2.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel import events as ev
from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.here import Here
from engine.kernel.parameters import Parameter, map_values, read_parameters
from engine.kernel.reading import Problem, Reader, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTask:
    """The message's name, and the variables that it carries (Flowable's `out` parameters)."""

    message: str
    reference: str
    outputs: tuple[Parameter, ...] = ()


def _read(source: Source, reader: Reader) -> SendTask:
    reference = source.attributes.get("messageRef", "")
    message = reader.referenced("message", reference) if reference else None
    return SendTask(
        message=message.attributes.get("name", "") if message is not None else "",
        reference=reference,
        outputs=read_parameters(source.extensions("out"), reader, source),
    )


def _check(node: Node) -> Iterator[Problem]:
    props: SendTask = node.props
    if not props.message:
        found = f"'{props.reference}'" if props.reference else "none"
        yield Problem(
            element_id=node.id,
            message=f"expected the send task's messageRef to name a message of the document with a name, found {found}",
            line=node.line,
        )


def _enter(here: Here) -> None:
    props: SendTask = here.node.props
    variables: dict[str, Any] = map_values(props.outputs, here.value, here.variable)
    here.emit(
        ev.MessageThrown(
            instance_id=here.instance.id,
            name=props.message,
            at=here.now,
            tenant_id=here.instance.tenant_id,
            business_key=here.instance.business_key,
            variables=variables,
        )
    )
    here.leave()


KIND: Final = ElementKind(tag="sendTask", type="sendTask", family=Family.TASK, read=_read, check=_check, enter=_enter)
