"""The state of an instance tree: a root process instance and all that it called.

`Execution` is an element instance that is still alive (a token, a scope, a multi-instance body or one of its turns).
Executions and their waits are the instance row's JSON; variables, tasks, jobs and subscriptions are rows of their own,
of which a command loads only what it needs. Nothing but `apply` changes any of this.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from engine.kernel.values import Value, Variable

TIMER, ASYNC, EXTERNAL, HTTP = "timer", "async", "external", "http"
MESSAGE, SIGNAL, CONDITIONAL, VARIABLE = "message", "signal", "conditional", "variable"
JOB_KINDS = frozenset((TIMER, ASYNC, EXTERNAL, HTTP))

ACTIVE, SUSPENDED, COMPLETED, TERMINATED, FAILED = "active", "suspended", "completed", "terminated", "failed"


class Wait(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an execution waits for: a job or a subscription, by id; `element_id` is the element that it wakes."""

    id: str
    kind: str
    element_id: str
    name: str = ""

    @property
    def is_job(self) -> bool:
        return self.kind in JOB_KINDS


class Execution(msgspec.Struct, omit_defaults=True):
    """A living element instance. `parent` is its scope's id (the instance id for the outermost)."""

    id: str
    parent: str
    element: str
    scope: bool = False
    body: bool = False
    queued: bool = False
    leaving: bool = False
    flow: str = ""
    turn: int | None = None
    total: int | None = None
    done: int = 0
    started: int = 0
    race: str = ""
    task: str = ""
    called: str = ""
    locals: bool = False
    waits: list[Wait] = []
    records: list[dict[str, Value]] = []

    @property
    def is_frame(self) -> bool:
        """Whether this only holds the compensation of a finished sub-process: no element instance, no loop."""
        return self.body and self.scope


class Task(msgspec.Struct, kw_only=True):
    """A user task as far as it was loaded for this command (rows hold the same fields)."""

    id: str
    instance_id: str
    execution_id: str
    element_id: str
    name: str
    created_at: datetime
    description: str = ""
    assignee: str = ""
    owner: str = ""
    delegation: str = ""
    priority: int = 50
    due_at: datetime | None = None
    category: str = ""
    form_key: str = ""
    tenant_id: str = ""
    definition_id: str = ""
    parent_task_id: str = ""
    claimed_at: datetime | None = None
    suspended: bool = False


class Job(msgspec.Struct, kw_only=True):
    """A job as it was loaded for this command."""

    id: str
    instance_id: str
    execution_id: str
    element_id: str
    kind: str
    handler: str
    due_at: datetime
    retries: int = 3
    repeat: str = ""
    topic: str = ""
    exclusive: bool = True
    element_name: str = ""
    dead: bool = False
    suspended: bool = False
    error: str = ""
    error_details: str = ""
    lock_owner: str = ""
    lock_token: str = ""
    payload: dict[str, Value] = {}


class Facts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What few instances have: who is responsible for one and until when, and what it stands for elsewhere."""

    assignee: str = ""
    owner: str = ""
    due_date: datetime | None = None
    claim_time: datetime | None = None
    claimed_by: str = ""
    callback_id: str = ""
    callback_type: str = ""
    reference_id: str = ""
    reference_type: str = ""


NO_FACTS: Final = Facts()
"""Shared by all instances that have none."""


class Instance(msgspec.Struct, kw_only=True):
    """One process instance. `children` indexes executions by parent and is rebuilt when the state is loaded."""

    id: str
    root_id: str
    definition_id: str
    definition_key: str
    definition_name: str = ""
    definition_version: int = 1
    super_instance_id: str = ""
    super_execution_id: str = ""
    business_key: str = ""
    business_status: str = ""
    name: str = ""
    tenant_id: str = ""
    start_user_id: str = ""
    started_at: datetime | None = None
    state: str = ACTIVE
    end_element_id: str = ""
    ended_reason: str = ""
    facts: Facts = NO_FACTS
    revision: int = 0
    waits: list[Wait] = []
    records: list[dict[str, Value]] = []
    executions: dict[str, Execution] = {}
    children: dict[str, dict[str, Execution]] = {}

    @property
    def is_ended(self) -> bool:
        return self.state not in (ACTIVE, SUSPENDED)

    def children_of(self, parent_id: str) -> list[Execution]:
        """The living executions directly inside a scope, oldest first; a copy, safe to cancel while walking."""
        found = self.children.get(parent_id)
        return list(found.values()) if found else []

    def index(self) -> None:
        """Rebuild `children` after decoding."""
        self.children = {}
        for execution in self.executions.values():
            self.children.setdefault(execution.parent, {})[execution.id] = execution


class Tree(msgspec.Struct, kw_only=True):
    """A root instance with everything that it called: the unit of locking, loading and deciding.

    `variables` maps a scope id to its variables by name. `tasks` and `jobs` hold what this command loaded.
    `all_loaded` is False while the variables of leaf executions were left in the database.
    """

    root_id: str
    instances: dict[str, Instance] = {}
    variables: dict[str, dict[str, Variable]] = {}
    tasks: dict[str, Task] = {}
    jobs: dict[str, Job] = {}
    links: dict[str, list[tuple[str, str, str, str]]] = {}
    all_loaded: bool = True

    def find(self, execution_id: str) -> tuple[Instance, Execution] | None:
        """The instance and execution of an id, wherever in the tree."""
        for instance in self.instances.values():
            execution = instance.executions.get(execution_id)
            if execution is not None:
                return instance, execution
        return None

    def walk(self) -> Iterator[tuple[Instance, Execution]]:
        for instance in self.instances.values():
            for execution in instance.executions.values():
                yield instance, execution


class Tokens(msgspec.Struct, omit_defaults=True):
    """What the instance row keeps as JSON: the executions and the waits of the instance's own scope."""

    executions: list[Execution] = []
    waits: list[Wait] = []
    records: list[dict[str, Value]] = []
    facts: Facts | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Tokens)


def encode_tokens(instance: Instance) -> bytes:
    """The token tree as JSON, in the order in which executions began: equal states give equal bytes."""
    facts = instance.facts
    kept = facts if facts is not NO_FACTS else None
    tokens = Tokens(list(instance.executions.values()), instance.waits, instance.records, kept)
    return _encoder.encode(tokens)


def decode_tokens(instance: Instance, data: bytes | str) -> None:
    """Fill an instance's executions from its row's JSON."""
    tokens = _decoder.decode(data)
    instance.executions = {execution.id: execution for execution in tokens.executions}
    instance.waits = tokens.waits
    instance.records = tokens.records
    instance.facts = tokens.facts or NO_FACTS
    instance.index()
