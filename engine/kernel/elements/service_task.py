"""Service task with an expression: evaluated in the command itself; its value may become a variable.

A `triggerable` one waits afterwards until it is triggered. Java classes and delegate expressions cannot run here: they
are refused at deployment, with the way that does work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Problem, Reader, Source

TRIGGER_WAIT: Final = "trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTask:
    expression: Expression | None
    result_variable: str = ""
    local_result: bool = False
    transient_result: bool = False
    triggerable: bool = False
    java: str = ""


def _read(source: Source, reader: Reader) -> ServiceTask:
    extension = source.extension
    return ServiceTask(
        expression=reader.expression(source, extension.get("expression"), "expression"),
        result_variable=extension.get("resultVariable", extension.get("resultVariableName", "")),
        local_result=source.flag("useLocalScopeForResultVariable"),
        transient_result=source.flag("storeResultVariableAsTransient"),
        triggerable=source.flag("triggerable"),
        java=extension.get("class", "") or extension.get("delegateExpression", ""),
    )


def _check(node: Node) -> Iterator[Problem]:
    props: ServiceTask = node.props
    if props.java:
        yield Problem(
            element_id=node.id,
            message=f"expected an expression, or type 'external-worker' or 'http', found Java code '{props.java}': "
            "move it into an external worker",
            line=node.line,
        )
    elif props.expression is None:
        yield Problem(
            element_id=node.id,
            message="expected an expression, or type 'external-worker' or 'http', found none of them",
            line=node.line,
        )


def _enter(here: Here) -> None:
    props: ServiceTask = here.node.props
    value = here.value(props.expression)
    if props.result_variable:
        if props.transient_result:
            here.set_transient(props.result_variable, value)
        elif props.local_result:
            here.set_local(props.result_variable, value)
        else:
            here.set_variable(props.result_variable, value)
    if props.triggerable:
        here.subscribe(TRIGGER_WAIT, "")
    else:
        here.leave()


KIND: Final = ElementKind(
    tag="serviceTask", type="serviceTask", family=Family.TASK, read=_read, check=_check, enter=_enter
)
