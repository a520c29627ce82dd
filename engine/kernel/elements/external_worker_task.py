"""External worker task (`type="external-worker"`): a job of a topic that a worker acquires, does and completes.

As in Flowable, completing it parks the variables and goes on by an asynchronous job of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel import scopes
from engine.kernel.definition import ElementKind, Family, Node, Wake
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.parameters import Parameter, map_values, plain, read_parameters
from engine.kernel.reading import Problem, Reader, Source
from engine.kernel.state import EXTERNAL, Execution

HANDLER: Final = "external-worker-complete"
CHANGING: Final = ("nrOfCompletedInstances", "nrOfActiveInstances")
"""Counters of a loop that are others by the time a worker looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalWorkerTask:
    topic: Expression | None
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    no_variables: bool = False
    exclusive: bool = True


def _read(source: Source, reader: Reader) -> ExternalWorkerTask:
    extension = source.extension
    return ExternalWorkerTask(
        topic=reader.expression(source, extension.get("topic"), "topic"),
        inputs=read_parameters(source.extensions("externalWorkerInParameter"), reader, source),
        outputs=read_parameters(source.extensions("externalWorkerOutParameter"), reader, source),
        no_variables=source.flag("doNotIncludeVariables"),
        exclusive=source.flag("exclusive", default=True),
    )


def _check(node: Node) -> Iterator[Problem]:
    if node.props.topic is None:
        yield Problem(
            element_id=node.id, message="expected a topic for the external worker, found none", line=node.line
        )


def _enter(here: Here) -> None:
    props: ExternalWorkerTask = here.node.props
    payload: dict[str, Any] = {}
    if props.inputs:
        payload["inputs"] = map_values(props.inputs, here.value, here.variable)
    elif props.no_variables:
        payload["inputs"] = {}
    if "inputs" not in payload and (counters := _counters(here)):
        payload["loop"] = counters
    here.schedule(EXTERNAL, HANDLER, topic=here.text(props.topic), exclusive=props.exclusive, payload=payload)


def _counters(here: Here) -> dict[str, int]:
    """What of the loops around a worker may know: its number in each and how many there are; neither ever changes."""
    found: dict[str, int] = {}
    execution: Execution | None = here.execution
    while execution is not None:
        if execution.turn is not None or (execution.body and not execution.is_frame):
            known = scopes.loop_variables(here.turn, here.instance, execution)
            found = {name: value for name, value in known.items() if name not in CHANGING} | found
        execution = here.instance.executions.get(execution.parent)
    return found


def _wake(here: Here, wake: Wake) -> None:
    props: ExternalWorkerTask = here.node.props
    results: Mapping[str, Any] = wake.variables
    if props.outputs:
        known = plain(results)
        results = map_values(props.outputs, lambda expression: here.value(expression, extra=known), known.get)
    here.set_variables(results)
    here.leave()


KIND: Final = ElementKind(
    tag="serviceTask",
    variant="external-worker",
    type="externalWorkerTask",
    family=Family.TASK,
    keeps_variables=True,
    read=_read,
    check=_check,
    enter=_enter,
    wake=_wake,
)
