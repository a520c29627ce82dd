"""A compiled process definition: an immutable graph of nodes with everything parsed.

Built once by `engine.bpmn.compile` from a model and cached by id; the kernel only reads it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from engine.kernel.expression import Expression
from engine.kernel.listeners import Listener
from engine.kernel.parameters import Parameter
from engine.kernel.reading import Problem, Reader, Source

if TYPE_CHECKING:
    from engine.kernel.here import Here


class Family(Enum):
    """What kind of thing an element is, as far as the shared mechanics care."""

    EVENT = "event"
    TASK = "task"
    GATEWAY = "gateway"
    CONTAINER = "container"
    CALL = "call"


class Position(Enum):
    """Where an event definition stands (BPMN 2.0, table 10.93)."""

    START = "start"
    EVENT_SUB_START = "event sub-process start"
    CATCH = "intermediate catch"
    BOUNDARY = "boundary"
    THROW = "intermediate throw"
    END = "end"


def _read_nothing(*_: Any) -> Any:
    return None


def _check_nothing(_: "Node") -> Iterator[Problem]:
    return iter(())


def _do_nothing(*_: Any) -> None:
    """The default of hooks that an event definition does not need."""


def _go_on(_: "Here") -> bool:
    return True


def _nowhere(_: "Node") -> "tuple[Node, ...]":
    return ()


def _leave(here: "Here", wake: "Wake") -> None:
    here.set_variables(wake.variables)
    here.leave()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """What woke an execution: variables given, and the wait (by id and kind) that fired; of a timer when it was due."""

    kind: str
    variables: dict[str, Any] = field(default_factory=dict)
    wait_id: str = ""
    name: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementKind:
    """All that is known of one BPMN element; each file in `elements/` exports one as `KIND`.

    `variant` distinguishes elements that share a tag by Flowable's `type` attribute (a service task of type `http`).
    `type` is the word that histories show. `read` takes its attributes from the XML, `check` finds what could only fail
    later, `enter` is what a token does that arrives, `wake` what it does when something that it waited for happened (by
    default: take over the variables that came and leave). `scope` marks containers, whose execution holds children;
    `is_over` says in place of the usual rule (nothing goes on inside) whether one completes when a path inside ended.
    With `keeps_variables` what was set for the element alone ends with it; other elements' own variables go on with the
    token.
    """

    tag: str
    type: str
    family: Family
    enter: Callable[["Here"], None]
    variant: str = ""
    read: Callable[[Source, Reader], Any] = _read_nothing
    check: Callable[["Node"], Iterator[Problem]] = _check_nothing
    wake: Callable[["Here", Wake], None] = _leave
    scope: bool = False
    is_over: Callable[["Here"], bool] | None = None
    keeps_variables: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerKind:
    """All that is known of one event definition; each file in `triggers/` exports one as `TRIGGER`.

    `arm` opens the wait of a catching event on the host execution (`here.execution`) for the event `node`; `throw`
    does what a throwing event does and says whether the token goes on. `receive` gives the variables that a catching
    event takes over from those that came with it; `fired` is called on the host when a wait of the event happened
    (timers repeat there). `jumps` names the nodes on which a token goes on from here without a sequence flow. An event
    sub-process that starts with an event that is not `scope_interrupting` interrupts nothing, whatever it says.
    """

    name: str
    tag: str
    positions: frozenset[Position]
    read: Callable[[Source, Reader, Source], Any] = _read_nothing
    check: Callable[["Node"], Iterator[Problem]] = _check_nothing
    arm: Callable[["Here", "Node"], None] = _do_nothing
    throw: Callable[["Here"], bool] = _go_on
    receive: Callable[["Node", dict[str, Any], datetime], dict[str, Any]] | None = None
    fired: Callable[["Here", "Node", Wake], None] = _do_nothing
    jumps: Callable[["Node"], "tuple[Node, ...]"] = _nowhere
    scope_interrupting: bool = True


class Flow:
    """A sequence flow."""

    __slots__ = ("condition", "id", "line", "listeners", "name", "script", "skip", "source", "target")

    def __init__(self, flow_id: str, name: str, line: int) -> None:
        self.id = flow_id
        self.name = name
        self.line = line
        self.condition: Expression | None = None
        self.script: tuple[str, str] | None = None
        self.skip: Expression | None = None
        self.listeners: tuple[Listener, ...] = ()
        self.source: Node
        self.target: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """What the turns of a loop gather in one list under the name `target` (Flowable's variableAggregation).

    `overview`: the list is there while the loop runs, and grows with it.
    """

    target: str
    parameters: tuple[Parameter, ...]
    overview: bool = False
    transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Multi-instance characteristics (BPMN 2.0, 10.2.8)."""

    sequential: bool
    cardinality: Expression | None = None
    collection: Expression | None = None
    collection_name: str = ""
    element_variable: str = ""
    index_variable: str = "loopCounter"
    condition: Expression | None = None
    aggregations: tuple[Aggregation, ...] = ()


class Node:
    """A flow node, or the process itself as the outermost container (`parent` is None).

    `props` is what the element's `read` returned, `event` what its event definition's `read` returned. `boundary` are
    the events attached to it, `event_subprocesses` those directly inside it. `is_plainly_left`: all its ways out are
    taken, whatever the variables.
    """

    __slots__ = (
        "async_after",
        "asynchronous",
        "attached_to",
        "boundary",
        "data_objects",
        "default_flow",
        "documentation",
        "event",
        "event_subprocesses",
        "exclusive",
        "for_compensation",
        "id",
        "incoming",
        "inside",
        "interrupting",
        "is_event_subprocess",
        "is_plainly_left",
        "kind",
        "leave_exclusive",
        "line",
        "listeners",
        "loop",
        "name",
        "outgoing",
        "parent",
        "props",
        "reaches",
        "retry_cycle",
        "skip",
        "source",
        "start",
        "trigger",
    )

    def __init__(self, node_id: str, kind: ElementKind, name: str, line: int, source: Source) -> None:
        self.id = node_id
        self.kind = kind
        self.name = name
        self.line = line
        self.source = source
        self.documentation = ""
        self.parent: Node | None = None
        self.props: Any = None
        self.trigger: TriggerKind | None = None
        self.event: Any = None
        self.outgoing: tuple[Flow, ...] = ()
        self.incoming: tuple[Flow, ...] = ()
        self.default_flow: Flow | None = None
        self.boundary: tuple[Node, ...] = ()
        self.attached_to: Node | None = None
        self.inside: tuple[Node, ...] = ()
        self.event_subprocesses: tuple[Node, ...] = ()
        self.start: Node | None = None
        self.interrupting = True
        self.asynchronous = False
        self.async_after = False
        self.exclusive = True
        self.leave_exclusive = True
        self.skip: Expression | None = None
        self.listeners: tuple[Listener, ...] = ()
        self.is_event_subprocess = kind.scope and source.attributes.get("triggeredByEvent", "").strip() == "true"
        self.is_plainly_left = False
        self.for_compensation = False
        self.retry_cycle: Expression | None = None
        self.loop: Loop | None = None
        self.data_objects: tuple[DataObject, ...] = ()
        self.reaches: frozenset[str] = frozenset()

    @property
    def type(self) -> str:
        return self.kind.type

    def seal(self) -> None:
        """Work out what follows from the rest, once all flows are linked."""
        plain = (f.condition is None and f.script is None and f.skip is None for f in self.outgoing)
        self.is_plainly_left = self.default_flow is None and all(plain)

    def event_subprocesses_starts(self) -> list["Node"]:
        """The start events of the event sub-processes directly inside."""
        return [subprocess.start for subprocess in self.event_subprocesses if subprocess.start is not None]

    def __repr__(self) -> str:
        return f"<{self.kind.type} {self.id}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataObject:
    """A variable that a scope has from its beginning (BPMN 2.0, 10.3.1; Flowable's `value`)."""

    id: str
    name: str
    type: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A compiled definition. `starts` are the start events of the process itself, in document order.

    `error_codes` are the codes of the document's errors by their ids.
    """

    id: str
    key: str
    name: str
    version: int
    deployment_id: str
    tenant_id: str
    process: Node
    nodes: dict[str, Node]
    flows: dict[str, Flow]
    has_inclusive_joins: bool
    has_aggregations: bool = False
    has_variable_listeners: bool = False
    error_codes: Mapping[str, str] = field(default_factory=dict)
    documentation: str = ""
    category: str = ""
    resource_name: str = ""
    starter_users: tuple[str, ...] = ()
    starter_groups: tuple[str, ...] = ()

    def node(self, element_id: str) -> Node:
        """The node of an id. Raises KeyError if there is none."""
        return self.nodes[element_id]

    @property
    def starts(self) -> tuple[Node, ...]:
        return tuple(node for node in self.process.inside if node.kind.tag == "startEvent")
