"""A compiled definition as JSON-like facts: its elements and flows as the engine read them, for people and tools."""

from collections.abc import Iterable
from typing import Any

from engine.kernel.definition import Definition, Flow, Node
from engine.kernel.expression import Expression

View = dict[str, Any]


def model_view(definition: Definition) -> View:
    """The structure of the process; keys as in Flowable's BPMN model where it has the same thing.

    Of an element, what is not set is left out.
    """
    return {
        "id": definition.key,
        "name": definition.name,
        "documentation": definition.documentation,
        "targetNamespace": definition.category,
        "processDefinitionId": definition.id,
        "version": definition.version,
        "candidateStarterUsers": list(definition.starter_users),
        "candidateStarterGroups": list(definition.starter_groups),
        "dataObjects": _data_objects(definition.process),
        "flowElements": _inside(definition.process),
        "sequenceFlows": _flows(definition.process, definition.flows.values()),
    }


def _inside(container: Node) -> list[View]:
    return [_node(node) for node in container.inside]


def _node(node: Node) -> View:
    view: View = {"id": node.id, "name": node.name, "type": node.type, "element": node.kind.tag, "line": node.line}
    optional: dict[str, Any] = {
        "documentation": node.documentation,
        "eventDefinition": node.trigger.name if node.trigger is not None else "",
        "attachedTo": node.attached_to.id if node.attached_to is not None else "",
        "defaultFlow": node.default_flow.id if node.default_flow is not None else "",
        "incoming": [flow.id for flow in node.incoming],
        "outgoing": [flow.id for flow in node.outgoing],
        "boundaryEvents": [event.id for event in node.boundary],
        "asynchronous": node.asynchronous,
        "asynchronousLeave": node.async_after,
        "forCompensation": node.for_compensation,
        "attributes": dict(node.source.extension),
        "dataObjects": _data_objects(node),
        "multiInstance": _loop(node),
    }
    view.update((name, value) for name, value in optional.items() if value)
    if node.attached_to is not None or node.is_event_subprocess:
        view["interrupting"] = node.interrupting if node.attached_to is not None else _starts_interrupting(node)
    if node.kind.scope:
        view["triggeredByEvent"] = node.is_event_subprocess
        view["flowElements"] = _inside(node)
        view["sequenceFlows"] = _flows(node, (flow for inner in node.inside for flow in inner.outgoing))
    return view


def _starts_interrupting(node: Node) -> bool:
    return node.start is None or node.start.interrupting


def _loop(node: Node) -> View:
    if node.loop is None:
        return {}
    found = {
        "cardinality": _text(node.loop.cardinality),
        "collection": _text(node.loop.collection) or node.loop.collection_name,
        "elementVariable": node.loop.element_variable,
        "elementIndexVariable": node.loop.index_variable,
        "completionCondition": _text(node.loop.condition),
    }
    return {"sequential": node.loop.sequential, **{name: value for name, value in found.items() if value}}


def _data_objects(node: Node) -> list[View]:
    return [{"id": found.id, "name": found.name, "type": found.type} for found in node.data_objects]


def _flows(container: Node, flows: Iterable[Flow]) -> list[View]:
    return [_flow(flow) for flow in flows if flow.source.parent is container]


def _flow(flow: Flow) -> View:
    view: View = {"id": flow.id, "sourceRef": flow.source.id, "targetRef": flow.target.id}
    condition = flow.script[1] if flow.script is not None else _text(flow.condition)
    optional = {"name": flow.name, "conditionExpression": condition, "skipExpression": _text(flow.skip)}
    view.update((name, value) for name, value in optional.items() if value)
    return view


def _text(expression: Expression | None) -> str:
    return expression.text if expression is not None else ""
