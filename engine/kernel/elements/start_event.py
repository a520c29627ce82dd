"""Start event: where a process, a sub-process or an event sub-process begins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.form_properties import FormProperty, read_form_properties
from engine.kernel.here import Here
from engine.kernel.reading import Problem, Reader, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class StartEvent:
    """`initiator` names a variable that gets the authenticated user (Flowable)."""

    initiator: str = ""
    form_key: str = ""
    form_properties: tuple[FormProperty, ...] = ()


def _read(source: Source, reader: Reader) -> StartEvent:
    return StartEvent(
        initiator=source.extension.get("initiator", ""),
        form_key=source.extension.get("formKey", "").strip(),
        form_properties=read_form_properties(source, reader),
    )


def _check(node: Node) -> Iterator[Problem]:
    if node.incoming:
        yield Problem(
            element_id=node.id, message="expected no sequence flow into a start event, found one", line=node.line
        )


def _enter(here: Here) -> None:
    if here.node.props.initiator and here.turn.user_id:
        here.set_variable(here.node.props.initiator, here.turn.user_id)
    here.leave()


KIND: Final = ElementKind(
    tag="startEvent", type="startEvent", family=Family.EVENT, read=_read, check=_check, enter=_enter
)
