"""External worker task (`type="external-worker"`): a job of a topic that a worker acquires, does and completes.

As in Flowable, completing it parks the variables and goes on by an asynchronous job of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel.definition import ElementKind, Family, Node, Wake
from engine.kernel.expression import Expression, ExpressionError
from engine.kernel.here import Here
from engine.kernel.reading import Problem, Reader, Source
from engine.kernel.state import EXTERNAL
from engine.kernel.turn import expression_refusal

HANDLER: Final = "external-worker-complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A parameter in or out: a plain source name, or an expression; `target` the name that it gets."""

    target: str
    source: str = ""
    expression: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalWorkerTask:
    topic: Expression | None
    inputs: tuple[Mapping, ...] = ()
    outputs: tuple[Mapping, ...] = ()
    no_variables: bool = False
    exclusive: bool = True


def _read(source: Source, reader: Reader) -> ExternalWorkerTask:
    extension = source.extension
    return ExternalWorkerTask(
        topic=reader.expression(source, extension.get("topic"), "topic"),
        inputs=_mappings(source, reader, "externalWorkerInParameter"),
        outputs=_mappings(source, reader, "externalWorkerOutParameter"),
        no_variables=source.flag("doNotIncludeVariables"),
        exclusive=source.flag("exclusive", default=True),
    )


def _mappings(source: Source, reader: Reader, tag: str) -> tuple[Mapping, ...]:
    return tuple(
        Mapping(
            target=found.attributes.get("target", ""),
            source=found.attributes.get("source", ""),
            expression=reader.expression(source, found.attributes.get("sourceExpression"), tag),
        )
        for found in source.extensions(tag)
    )


def _check(node: Node) -> Iterator[Problem]:
    if node.props.topic is None:
        yield Problem(element_id=node.id, message="expected a topic for the external worker, found none", line=node.line)


def _enter(here: Here) -> None:
    props: ExternalWorkerTask = here.node.props
    payload: dict[str, Any] = {}
    if props.inputs:
        payload["inputs"] = {m.target: _source_value(here, m) for m in props.inputs}
    elif props.no_variables:
        payload["inputs"] = {}
    here.schedule(EXTERNAL, HANDLER, topic=here.text(props.topic), exclusive=props.exclusive, payload=payload)


def _source_value(here: Here, mapping: Mapping) -> Any:
    return here.value(mapping.expression) if mapping.expression is not None else here.variable(mapping.source)


def _wake(here: Here, wake: Wake) -> None:
    props: ExternalWorkerTask = here.node.props
    if props.outputs:
        for mapping in props.outputs:
            here.set_variable(mapping.target, _result(here, mapping, wake.variables))
    else:
        here.set_variables(wake.variables)
    here.leave()


def _result(here: Here, mapping: Mapping, results: dict[str, Any]) -> Any:
    if mapping.expression is None:
        return results.get(mapping.source)
    plain = {name: getattr(value, "value", value) for name, value in results.items()}
    try:
        return mapping.expression.evaluate(here.context(extra=plain))
    except ExpressionError as error:
        raise expression_refusal(error, here.node.id) from error


KIND: Final = ElementKind(
    tag="serviceTask",
    variant="external-worker",
    type="externalWorkerTask",
    family=Family.TASK,
    read=_read,
    check=_check,
    enter=_enter,
    wake=_wake,
)
