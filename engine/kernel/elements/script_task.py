"""Script task: runs a script and goes on (BPMN 2.0, 10.2.3): JavaScript, or an expression (Flowable's `juel`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.kernel.definition import ElementKind, Family, Node
from engine.kernel.expression import ExpressionSyntaxError
from engine.kernel.here import Here
from engine.kernel.parameters import Parameter, map_values, read_parameters
from engine.kernel.reading import Problem, Reader, Source
from engine.kernel.scripting import EXPRESSION_LANGUAGES, JAVASCRIPT, parse_script, run_script


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptTask:
    """`inputs` are names that the script sees besides the variables, or with `only_inputs` in their place."""

    language: str
    script: str
    result_variable: str = ""
    store: bool = False
    inputs: tuple[Parameter, ...] = ()
    only_inputs: bool = False


def _read(source: Source, reader: Reader) -> ScriptTask:
    extension = source.extension
    script = source.child("script")
    return ScriptTask(
        language=source.attributes.get("scriptFormat", "").strip(),
        script=script.text if script is not None else "",
        result_variable=extension.get("resultVariable", extension.get("resultVariableName", "")),
        store=source.flag("autoStoreVariables"),
        inputs=read_parameters(source.extensions("in"), reader, source),
        only_inputs=source.flag("doNotIncludeVariables"),
    )


def _check(node: Node) -> Iterator[Problem]:
    props: ScriptTask = node.props
    if not props.script.strip():
        yield Problem(element_id=node.id, message="expected a script, found none", line=node.line)
    elif props.language.lower() in EXPRESSION_LANGUAGES:
        try:
            parse_script(props.script.strip())
        except ExpressionSyntaxError as error:
            yield Problem(element_id=node.id, message=f"the script is no expression: {error}", line=node.line)
    if props.language.lower() not in EXPRESSION_LANGUAGES | JAVASCRIPT:
        yield Problem(
            element_id=node.id,
            message=f"expected the script format javascript or juel, found '{props.language}'",
            line=node.line,
        )


def _enter(here: Here) -> None:
    props: ScriptTask = here.node.props
    inputs = map_values(props.inputs, here.value, here.variable) if props.inputs else {}
    value = run_script(
        here, props.language, props.script, store=props.store, inputs=inputs, only_inputs=props.only_inputs
    )
    if props.result_variable:
        here.set_variable(props.result_variable, value)
    here.leave()


KIND: Final = ElementKind(
    tag="scriptTask", type="scriptTask", family=Family.TASK, read=_read, check=_check, enter=_enter
)
