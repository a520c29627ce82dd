"""Ad-hoc sub-process: its activities are started one by one from outside, in whatever order (BPMN 2.0, 13.3.5).

It begins with none of them. After each that ends its completion condition is tested; without one it goes on until it is
triggered (Flowable's completion of an ad-hoc sub-process).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel.cancelling import cancel
from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Problem, Reader, Source

TRIGGER_WAIT: Final = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdHocSubProcess:
    """`sequential` allows one activity at a time; `cancels_rest`: what is still open when the condition holds ends."""

    condition: Expression | None = None
    sequential: bool = False
    cancels_rest: bool = True


def _read(source: Source, reader: Reader) -> AdHocSubProcess:
    return AdHocSubProcess(
        condition=reader.expression(source, source.text_of("completionCondition"), "completionCondition"),
        sequential=source.attributes.get("ordering", "").strip().lower() == "sequential",
        cancels_rest=source.attributes.get("cancelRemainingInstances", "true").strip().lower() != "false",
    )


def _check(node: Node) -> Iterator[Problem]:
    for inner in node.inside:
        if inner.kind.tag in ("startEvent", "endEvent"):
            yield Problem(
                element_id=inner.id,
                message=f"expected no {inner.kind.tag} in an ad-hoc sub-process, found one",
                line=inner.line,
            )


def _enter(here: Here) -> None:
    here.subscribe(TRIGGER_WAIT, "")


def _is_over(here: Here) -> bool:
    props: AdHocSubProcess = here.node.props
    if props.condition is None or here.value(props.condition) is not True:
        return False
    rest = here.instance.children_of(here.execution.id)
    if rest and not props.cancels_rest:
        return False
    for open_one in rest:
        cancel(here.turn, here.instance, open_one, "ad-hoc sub-process completion")
    return True


KIND: Final = ElementKind(
    tag="adHocSubProcess",
    type="adhocSubProcess",
    family=Family.CONTAINER,
    scope=True,
    read=_read,
    check=_check,
    enter=_enter,
    is_over=_is_over,
)
