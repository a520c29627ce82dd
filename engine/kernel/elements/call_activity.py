"""Call activity: starts another process and waits for it; variables are mapped in and out (BPMN 2.0, 13.3.5)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.kernel import contexts, instances, scopes
from engine.kernel import events as ev
from engine.kernel.conversion import converted
from engine.kernel.definition import Definition, ElementKind, Family, Node, Wake
from engine.kernel.errors import Called, failed
from engine.kernel.expression import Expression, ExpressionError
from engine.kernel.here import Here, to_text
from engine.kernel.parameters import Parameter, read_parameters
from engine.kernel.reading import Problem, Reader, Source
from engine.kernel.state import Instance
from engine.kernel.turn import Turn, expression_refusal
from engine.kernel.values import Variable

KEY, ID = "key", "id"
"""What `calledElement` may name (Flowable's `calledElementType`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallActivity:
    called: Expression | None
    by: str = KEY
    same_deployment: bool = False
    default_tenant: bool = False
    inherit_variables: bool = False
    inherit_business_key: bool = False
    business_key: Expression | None = None
    instance_name: Expression | None = None
    id_variable: Expression | None = None
    local_results: bool = False
    inputs: tuple[Parameter, ...] = ()
    outputs: tuple[Parameter, ...] = ()
    all_out: bool = False
    complete_async: bool = False

    def results(self, turn: Turn, called: Instance) -> dict[str, Any]:
        """What the called instance gives back, read while it still has its variables."""
        found: dict[str, Any] = {}
        own = turn.tree.variables.get(called.id, {})
        if self.all_out:
            found.update(own)
        for parameter in self.outputs:
            found[_target(turn, called, parameter)] = _source(turn, called, parameter)
        return found


def _read(source: Source, reader: Reader) -> CallActivity:
    extension = source.extension
    ins = list(source.extensions("in"))
    outs = list(source.extensions("out"))
    key = extension.get("businessKey") or next(
        (i.attributes["businessKey"] for i in ins if "businessKey" in i.attributes), None
    )
    return CallActivity(
        called=reader.expression(
            source, source.attributes.get("calledElement") or extension.get("calledElement"), "calledElement"
        ),
        by=extension.get("calledElementType", "").strip() or KEY,
        same_deployment=source.flag("sameDeployment"),
        default_tenant=source.flag("fallbackToDefaultTenant"),
        inherit_variables=source.flag("inheritVariables") or any(i.attributes.get("variables") == "all" for i in ins),
        inherit_business_key=source.flag("inheritBusinessKey"),
        business_key=reader.expression(source, key, "businessKey"),
        instance_name=reader.expression(source, extension.get("processInstanceName"), "processInstanceName"),
        id_variable=reader.expression(
            source, extension.get("processInstanceIdVariableName") or extension.get("idVariableName"), "idVariableName"
        ),
        local_results=source.flag("useLocalScopeForOutParameters"),
        inputs=read_parameters(ins, reader, source),
        outputs=read_parameters(outs, reader, source),
        complete_async=source.flag("completeAsync"),
        all_out=any(o.attributes.get("variables") == "all" for o in outs),
    )


def _check(node: Node) -> Iterator[Problem]:
    if node.props.called is None:
        yield Problem(element_id=node.id, message="expected a calledElement, found none", line=node.line)


def _enter(here: Here) -> None:
    props: CallActivity = here.node.props
    definition = _definition(here, props)
    _check_depth(here)
    key = here.text(props.business_key)
    if not key and props.inherit_business_key:
        key = here.instance.business_key
    called = instances.begin(
        here.turn,
        definition,
        here.turn.env.new_id(),
        root_id=here.instance.root_id,
        super_instance_id=here.instance.id,
        super_execution_id=here.execution.id,
        business_key=key,
        tenant_id=here.instance.tenant_id if props.default_tenant else definition.tenant_id,
        start_user_id=here.turn.user_id,
    )
    if props.id_variable is not None:
        here.set_variable(here.text(props.id_variable), called.id)
    _map_in(here, props, called)
    _name(here, props, called)
    instances.set_off(here.turn, called, definition, _start_of(here, definition))


def _start_of(here: Here, definition: Definition) -> Node:
    start = definition.process.start or next(iter(definition.starts), None)
    if start is None:
        raise here.refuse("no-start-event", f"expected process '{definition.key}' to have a start event, found none")
    return start


def _definition(here: Here, props: CallActivity) -> Definition:
    name = here.text(props.called)
    definitions = here.turn.env.definitions
    if props.by == ID:
        return definitions.by_id(name)
    if props.by != KEY:
        raise here.refuse("bad-called-element-type", f"expected the calledElementType key or id, found '{props.by}'")
    deployment_id = here.turn.definition_of(here.instance).deployment_id if props.same_deployment else ""
    return definitions.called(
        Called(key=name, tenant_id=here.instance.tenant_id, deployment_id=deployment_id, or_shared=props.default_tenant)
    )


def _check_depth(here: Here) -> None:
    depth, current = 0, here.instance
    while current.super_instance_id:
        depth += 1
        current = here.turn.tree.instances[current.super_instance_id]
    limit = here.turn.env.limits.call_depth
    if depth >= limit:
        raise here.refuse("calls-too-deep", f"expected at most {limit} nested calls (limit: call_depth), found more")


def _map_in(here: Here, props: CallActivity, called: Instance) -> None:
    turn = here.turn
    if props.inherit_variables:
        for name, value in here.visible_variables().items():
            scopes.put(turn, called, called.id, name, value)
    for parameter in props.inputs:
        value = _source(turn, here.instance, parameter, here)
        name = _input_target(here, parameter)
        if parameter.transient:
            turn.transient.setdefault(called.id, {})[name] = value.value if isinstance(value, Variable) else value
        else:
            scopes.put(turn, called, called.id, name, value)


def _name(here: Here, props: CallActivity, called: Instance) -> None:
    """Name the called instance by its own variables (Flowable), with those that were just mapped."""
    if props.instance_name is None:
        return
    try:
        name = props.instance_name.evaluate(contexts.ExecutionContext(here.turn, called, None))
    except ExpressionError as error:
        raise expression_refusal(error, here.node.id) from error
    if name is not None:
        changes = {"name": to_text(name)}
        here.emit(ev.ProcessInstanceUpdated(instance_id=called.id, at=here.now, changes=changes))


def _input_target(here: Here, parameter: Parameter) -> str:
    return parameter.target or here.text(parameter.target_expression)


def _source(turn: Turn, instance: Instance, parameter: Parameter, here: Here | None = None) -> Any:
    """The value of a mapping's source, of the type that it names; an unknown plain name gives null (Flowable)."""
    value = _value(turn, instance, parameter, here)
    if not parameter.kind:
        return value
    try:
        return converted(parameter.kind, value, turn.at)
    except ValueError as error:
        raise failed("bad-conversion", f"parameter '{parameter.source or parameter.target}': {error}") from error


def _value(turn: Turn, instance: Instance, parameter: Parameter, here: Here | None) -> Any:
    execution = here.execution if here is not None else None
    if parameter.expression is not None:
        try:
            return parameter.expression.evaluate(contexts.ExecutionContext(turn, instance, execution))
        except ExpressionError as error:
            raise expression_refusal(error, instance.super_execution_id or instance.id) from error
    try:
        return scopes.find(turn, instance, execution, parameter.source)
    except KeyError:
        return None


def _target(turn: Turn, called: Instance, parameter: Parameter) -> str:
    if parameter.target_expression is None:
        return parameter.target
    try:
        return str(parameter.target_expression.evaluate(contexts.ExecutionContext(turn, called, None)))
    except ExpressionError as error:
        raise expression_refusal(error, called.id) from error


def _wake(here: Here, wake: Wake) -> None:
    props: CallActivity = here.node.props
    if wake.kind != "called":
        raise failed(
            "not-waiting",
            f"expected execution {here.execution.id} to wait for a trigger, found it waiting for a called process",
            execution_id=here.execution.id,
        )
    if props.local_results:
        for name, value in wake.variables.items():
            here.set_local(name, value)
    else:
        _give_back(here, wake.variables)
    here.leave()


def _give_back(here: Here, results: Mapping[str, Any]) -> None:
    for name, value in results.items():
        here.set_variable(name, value)


KIND: Final = ElementKind(
    tag="callActivity",
    type="callActivity",
    family=Family.CALL,
    read=_read,
    check=_check,
    enter=_enter,
    wake=_wake,
)
