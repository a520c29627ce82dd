"""A BPMN document to compiled definitions: nodes and flows linked, everything parsed and checked once.

The elements say themselves what they read and what they check; here is only what all have in common.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.bpmn.data_objects import read_data_objects
from engine.bpmn.documents import ROOT_REFERENCES, document_problems, executable_processes, with_ids
from engine.bpmn.problems import InvalidModel
from engine.bpmn.reach import mark_reachable
from engine.kernel.definition import Aggregation, Definition, ElementKind, Family, Flow, Loop, Node, Position
from engine.kernel.listeners import END, START, TAKE, read_listeners
from engine.kernel.parameters import read_parameters
from engine.kernel.reading import FLOW_ELEMENT_NAMESPACE, Reader, Source
from engine.kernel.registry import Registry
from engine.kernel.retries import is_cycle
from engine.kernel.state import VARIABLE

NOT_FLOW: Final = frozenset(
    (
        "documentation", "extensionElements", "laneSet", "sequenceFlow", "association", "textAnnotation", "group",
        "dataObject", "dataObjectReference", "dataStoreReference", "ioSpecification", "property", "artifact",
        "multiInstanceLoopCharacteristics", "standardLoopCharacteristics", "incoming", "outgoing", "auditing",
        "monitoring", "correlationSubscription", "resourceRole", "performer", "humanPerformer", "potentialOwner",
        "supports", "supportedInterfaceRef", "ioBinding", "dataInputAssociation", "dataOutputAssociation",
        "completionCondition", "categoryValueRef",
    )
)  # fmt: skip
"""Children of a process or sub-process that carry no token."""
VARIABLE_LISTENER: Final = "variableListenerEventDefinition"
"""An event definition that is an extension of Flowable's."""
REFUSED_EXTENSIONS: Final = {
    "eventType": "events of a registry",
    "eventListener": "listeners to the engine's own events",
}
"""Extensions without which a model means something else, and what they are."""
EVENT_TAGS: Final = frozenset(
    ("startEvent", "endEvent", "boundaryEvent", "intermediateCatchEvent", "intermediateThrowEvent")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Where a definition comes from, as far as the document does not say it."""

    definition_id: str = ""
    version: int = 1
    deployment_id: str = ""
    tenant_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHeader:
    """What the repository lists of an executable process in a document."""

    key: str
    name: str
    documentation: str
    category: str
    starter_users: tuple[str, ...]
    starter_groups: tuple[str, ...]


def compile_process(
    root: Source, process: Source, registry: Registry, resource: str, identity: Identity | None = None
) -> Definition:
    """Compile one process of a document. Raises InvalidModel with all problems found."""
    process = with_ids(process)
    compiler = _Compiler(root, process, registry)
    compiler.reader.problems.extend(document_problems(root, process))
    definition = compiler.compile(identity or Identity(), resource, root)
    if compiler.reader.problems:
        raise InvalidModel(resource, sorted(compiler.reader.problems, key=lambda problem: problem.line))
    return definition


class _Compiler:
    def __init__(self, root: Source, process: Source, registry: Registry) -> None:
        self.registry = registry
        self.process = process
        references = {tag: {s.id: s for s in root.all(tag)} for tag in ROOT_REFERENCES}
        self.reader = Reader(references)
        self.nodes: dict[str, Node] = {}
        self.flows: dict[str, Flow] = {}
        self._ids: dict[str, Source] = {}
        self._unsupported: set[str] = set()

    def compile(self, identity: Identity, resource: str, root: Source) -> Definition:
        process = self._container(self.process, None)
        self._link_flows(self.process)
        self._link_boundaries()
        self._link_compensation(self.process)
        for node in self.nodes.values():
            self._finish(node)
            node.seal()
        if not self.reader.problems:
            self._check_all(process)
        inclusive = mark_reachable(self.nodes.values())
        header = header_of(root, self.process)
        return Definition(
            id=identity.definition_id,
            key=self.process.id,
            name=header.name,
            version=identity.version,
            deployment_id=identity.deployment_id,
            tenant_id=identity.tenant_id,
            process=process,
            nodes=self.nodes,
            flows=self.flows,
            has_inclusive_joins=inclusive,
            has_variable_listeners=any(
                n.trigger is not None and n.trigger.name == VARIABLE for n in self.nodes.values()
            ),
            has_aggregations=any(n.loop is not None and n.loop.aggregations for n in self.nodes.values()),
            error_codes={e.id: code for e in root.all("error") if (code := e.attributes.get("errorCode", ""))},
            documentation=header.documentation,
            category=header.category,
            resource_name=resource,
            starter_users=header.starter_users,
            starter_groups=header.starter_groups,
        )

    # --- nodes ----------------------------------------------------------------------------------------------------

    def _container(self, source: Source, parent: Node | None) -> Node:
        if parent is None:
            if not source.id:
                self.reader.problem(source, "expected the process to have an id, found none")
            self._check_extensions(source)
            node = Node(source.id, PROCESS, source.attributes.get("name", ""), source.line, source)
            node.data_objects = read_data_objects(source, self.reader)
            node.listeners = read_listeners(source, self.reader, "executionListener", (START, END), START)
            self.nodes[source.id] = node
            self._ids[source.id] = source
        else:
            node = parent
        node.inside = tuple(self._inside(source, node))
        plain = [n for n in node.inside if n.kind.tag == "startEvent" and n.trigger is None]
        starts = [n for n in node.inside if n.kind.tag == "startEvent"]
        if parent is None and len(plain) > 1:
            for extra in plain[1:]:
                self.reader.problem(extra.source, f"expected one plain start event in the process, found {len(plain)}")
        if plain:
            node.start = plain[0]
        elif parent is not None and starts:
            node.start = starts[0]
        node.event_subprocesses = tuple(n for n in node.inside if n.is_event_subprocess)
        return node

    def _inside(self, source: Source, container: Node) -> Iterator[Node]:
        for child in source.children:
            if child.namespace != FLOW_ELEMENT_NAMESPACE or child.tag in NOT_FLOW:
                continue
            node = self._node(child, container)
            if node is not None:
                yield node

    def _node(self, source: Source, container: Node) -> Node | None:
        kind = self._kind(source)
        if kind is None:
            self._unsupported.add(source.id)
            return None
        if not self._claim(source):
            return None
        node = Node(source.id, kind, source.attributes.get("name", ""), source.line, source)
        node.parent = container
        node.documentation = source.text_of("documentation")
        self.nodes[source.id] = node
        self._check_extensions(source)
        node.props = kind.read(source, self.reader)
        extension = source.extension
        node.asynchronous = source.flag("async") or source.flag("asyncBefore")
        node.async_after = source.flag("asyncLeave") or source.flag("asyncAfter")
        node.exclusive = source.flag("exclusive", default=True)
        node.for_compensation = source.attributes.get("isForCompensation", "").lower() == "true"
        node.leave_exclusive = source.flag("asyncLeaveExclusive", default=True)
        node.skip = self.reader.expression(source, extension.get("skipExpression"), "skipExpression")
        node.listeners = read_listeners(source, self.reader, "executionListener", (START, END), START)
        retry = next(
            (s.text for s in source.extensions("failedJobRetryTimeCycle")), extension.get("failedJobRetryTimeCycle")
        )
        node.retry_cycle = self.reader.expression(source, retry, "failedJobRetryTimeCycle")
        if node.retry_cycle is not None and node.retry_cycle.is_literal and not is_cycle(node.retry_cycle.text):
            self.reader.problem(source, f"expected a failedJobRetryTimeCycle such as R5/PT10S, found '{retry}'")
        if source.tag in EVENT_TAGS:
            self._read_event(source, node, container)
        if kind.family in (Family.TASK, Family.CONTAINER, Family.CALL):
            node.loop = self._loop(source)
        if kind.scope:
            node.data_objects = read_data_objects(source, self.reader)
            self._container(source, node)
        return node

    def _check_extensions(self, source: Source) -> None:
        for tag, what in REFUSED_EXTENSIONS.items():
            for found in source.extensions(tag):
                self.reader.problem(found, f"expected no {tag}, for {what} are not supported, found one", source.id)

    def _claim(self, source: Source) -> bool:
        if not source.id:
            self.reader.problem(source, f"expected the {source.tag} to have an id, found none")
            return False
        former = self._ids.get(source.id)
        if former is not None:
            self.reader.problem(source, f"expected a unique id, found '{source.id}' already at line {former.line}")
            return False
        self._ids[source.id] = source
        return True

    def _kind(self, source: Source) -> ElementKind | None:
        variant = source.extension.get("type", "").strip() if source.tag in ("serviceTask", "sendTask") else ""
        kind = self.registry.elements.get((source.tag, variant))
        if kind is None:
            what = f"{source.tag} of type '{variant}'" if variant else source.tag
            self.reader.problem(
                source, f"expected an element that can be executed, found {what}, which is not supported"
            )
        return kind

    # --- events ---------------------------------------------------------------------------------------------------

    def _read_event(self, source: Source, node: Node, container: Node) -> None:
        found = (*source.children, *source.extensions(VARIABLE_LISTENER))
        definition = next((c for c in found if c.tag.endswith("EventDefinition")), None)
        node.interrupting = _interrupting(source)
        if definition is None:
            return
        trigger = self.registry.triggers.get(definition.tag)
        if trigger is None:
            self.reader.problem(
                source,
                f"expected an event definition that can be executed, found {definition.tag}, which is not supported",
            )
            return
        position = _position(source, container)
        if position not in trigger.positions:
            places = ", ".join(sorted(p.value for p in trigger.positions))
            self.reader.problem(
                source, f"expected a {trigger.name} event as one of: {places}; found it as {position.value}"
            )
            return
        node.trigger = trigger
        if position is Position.EVENT_SUB_START and not trigger.scope_interrupting:
            node.interrupting = False
        node.event = trigger.read(definition, self.reader, source)

    # --- multi-instance -------------------------------------------------------------------------------------------

    def _loop(self, source: Source) -> Loop | None:
        if source.child("standardLoopCharacteristics") is not None:
            self.reader.problem(
                source, "expected multi-instance characteristics, found a standard loop, which is not supported"
            )
        found = source.child("multiInstanceLoopCharacteristics")
        if found is None:
            return None
        reader, extension = self.reader, found.extension
        collection = extension.get("collection") or found.text_of("loopDataInputRef")
        is_expression = "{" in collection
        item = found.child("inputDataItem")
        cardinality = reader.expression(found, found.text_of("loopCardinality"), "loopCardinality", source.id)
        if not collection and cardinality is None:
            reader.problem(found, "expected a loopCardinality or a collection, found neither", source.id)
        if cardinality is not None and cardinality.is_literal and not cardinality.text.isdecimal():
            message = f"expected the loopCardinality to be a whole number from 0 on, found '{cardinality.text}'"
            reader.problem(found, message, source.id)
        return Loop(
            sequential=found.attributes.get("isSequential", "false").lower() == "true",
            cardinality=cardinality,
            collection=reader.expression(found, collection, "collection", source.id) if is_expression else None,
            collection_name="" if is_expression else collection.strip(),
            element_variable=extension.get("elementVariable")
            or (item.attributes.get("name", "") if item is not None else ""),
            index_variable=extension.get("elementIndexVariable") or "loopCounter",
            condition=reader.expression(found, found.text_of("completionCondition"), "completionCondition", source.id),
            aggregations=tuple(self._aggregation(a, source) for a in found.extensions("variableAggregation")),
        )

    def _aggregation(self, found: Source, source: Source) -> Aggregation:
        target = found.attributes.get("target", "").strip()
        if not target:
            self.reader.problem(found, "expected the variable aggregation to have a target, found none", source.id)
        variables = (child for child in found.children if child.tag == "variable")
        return Aggregation(
            target=target,
            parameters=read_parameters(variables, self.reader, source),
            overview=found.attributes.get("createOverviewVariable", "").strip() == "true",
            transient=found.attributes.get("storeAsTransientVariable", "").strip() == "true",
        )

    # --- flows ----------------------------------------------------------------------------------------------------

    def _link_flows(self, container: Source) -> None:
        for source in container.children:
            if source.namespace != FLOW_ELEMENT_NAMESPACE:
                continue
            if source.tag == "sequenceFlow":
                self._flow(source)
            elif source.id in self.nodes and self.nodes[source.id].kind.scope:
                self._link_flows(source)

    def _flow(self, source: Source) -> None:
        if source.id and not self._claim(source):
            return
        ends = [self._end(source, name) for name in ("sourceRef", "targetRef")]
        if ends[0] is None or ends[1] is None:
            return
        start, target = ends[0], ends[1]
        flow = Flow(source.id or f"{start.id}->{target.id}", source.attributes.get("name", ""), source.line)
        flow.source, flow.target = start, target
        if start.parent is not target.parent:
            self.reader.problem(source, f"expected both ends in one scope, found '{start.id}' and '{target.id}' in two")
        self._condition(source, flow)
        flow.listeners = read_listeners(source, self.reader, "executionListener", (START, END, TAKE), TAKE)
        start.outgoing += (flow,)
        target.incoming += (flow,)
        self.flows[flow.id] = flow

    def _end(self, source: Source, name: str) -> Node | None:
        reference = source.attributes.get(name, "")
        node = self.nodes.get(reference)
        if node is None and reference in self._unsupported:
            return None
        if node is None or node.parent is None:
            self.reader.problem(source, f"expected {name} to name a flow element, found '{reference}'")
            return None
        return node

    def _condition(self, source: Source, flow: Flow) -> None:
        flow.skip = self.reader.expression(source, source.extension.get("skipExpression"), "skipExpression")
        found = source.child("conditionExpression")
        if found is None or not found.text.strip():
            return
        language = found.attributes.get("language", "").strip()
        if language and "{" not in found.text and language.lower() not in ("juel", "http://www.w3.org/1999/xpath"):
            flow.script = (language, found.text)
        else:
            flow.condition = self.reader.expression(source, found.text, "condition")

    def _link_boundaries(self) -> None:
        for node in list(self.nodes.values()):
            if node.kind.tag != "boundaryEvent":
                continue
            reference = node.source.attributes.get("attachedToRef", "")
            host = self.nodes.get(reference)
            if host is None and reference in self._unsupported:
                continue
            if host is None or host.kind.family not in (Family.TASK, Family.CONTAINER, Family.CALL):
                self.reader.problem(node.source, f"expected attachedToRef to name an activity, found '{reference}'")
                continue
            node.attached_to = host
            # Those on an event sub-process never happen (Flowable deploys and forgets them).
            if not host.is_event_subprocess:
                host.boundary += (node,)

    def _link_compensation(self, container: Source) -> None:
        """Associations from a compensation boundary event lead to the activity that undoes."""
        for source in container.children:
            if source.tag == "association":
                event = self.nodes.get(source.attributes.get("sourceRef", ""))
                handler = self.nodes.get(source.attributes.get("targetRef", ""))
                if (
                    event is not None
                    and handler is not None
                    and event.attached_to is not None
                    and hasattr(event.event, "handler")
                ):
                    event.event.handler = handler
            elif source.id in self.nodes and self.nodes[source.id].kind.scope:
                self._link_compensation(source)

    def _finish(self, node: Node) -> None:
        default = node.source.attributes.get("default", "")
        if default and node.parent is not None:
            node.default_flow = self.flows.get(default)
            if node.default_flow is None or node.default_flow.source is not node:
                self.reader.problem(node.source, f"expected 'default' to name an outgoing flow, found '{default}'")

    def _check_all(self, process: Node) -> None:
        if not process.inside:
            self.reader.problem(self.process, "expected flow elements in the process, found none")
        for node in self.nodes.values():
            self.reader.problems.extend(node.kind.check(node))
            if node.trigger is not None:
                self.reader.problems.extend(node.trigger.check(node))


def _interrupting(source: Source) -> bool:
    name = "cancelActivity" if source.tag == "boundaryEvent" else "isInterrupting"
    return source.attributes.get(name, "true").strip().lower() != "false"


def _position(source: Source, container: Node) -> Position:
    match source.tag:
        case "startEvent":
            return Position.EVENT_SUB_START if container.is_event_subprocess else Position.START
        case "endEvent":
            return Position.END
        case "boundaryEvent":
            return Position.BOUNDARY
        case "intermediateThrowEvent":
            return Position.THROW
        case _:
            return Position.CATCH


def header_of(root: Source, process: Source) -> ProcessHeader:
    """What the repository lists of a process."""
    extension = process.extension
    return ProcessHeader(
        key=process.id,
        name=process.attributes.get("name", ""),
        documentation=process.text_of("documentation"),
        category=root.attributes.get("targetNamespace", ""),
        starter_users=_words(extension.get("candidateStarterUsers", "")),
        starter_groups=_words(extension.get("candidateStarterGroups", "")),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _no_behaviour(_: Any) -> None:
    raise AssertionError("a process is not entered as an element")


PROCESS: Final = ElementKind(tag="process", type="process", family=Family.CONTAINER, enter=_no_behaviour, scope=True)


__all__ = ["Identity", "ProcessHeader", "compile_process", "executable_processes", "header_of"]
