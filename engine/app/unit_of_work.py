"""The ports of the group commit: what it asks of the database, of definitions and of whoever listens.

One batch is three conversations with the database: `find`, `load`, `flush`. Each is a constant number of statements,
however many commands take part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from engine.app.sagas.state import Change, Saga
from engine.kernel.commands import Command
from engine.kernel.env import Definitions
from engine.kernel.errors import MissingDefinition
from engine.kernel.events import Event
from engine.kernel.state import Instance, Tree
from engine.kernel.values import Value, Variable

Reply = dict[str, Value]
"""What a client is told: facts by name, such as JSON can hold."""

DeliveryKey = tuple[str, str]
"""The throw's id and the subscription's."""

SIGNAL, MESSAGE = "signal", "message"
LATER_SIGNAL = "signal-later"
"""A signal on its way that is received by a job."""


class Throw(Command, frozen=True, kw_only=True, tag=True):
    """A signal or a message from outside for everybody who waits for it: committed deliveries, locking nobody.

    A message goes to one: to a waiting execution, of the instance with that business key if one is given, or else to a
    start event. Whoever sends it waits for the deliveries unless it is not `awaited`.
    """

    kind: str
    name: str
    tenant_id: str = ""
    business_key: str = ""
    variables: Mapping[str, Variable] = msgspec.field(default_factory=dict)
    awaited: bool = True


@dataclass(slots=True)
class Targets:
    """What a batch names, to be found: ids by kind. `executions` may also be ids of instances."""

    requests: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    instances: list[str] = field(default_factory=list)
    executions: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    starters: list[str] = field(default_factory=list)
    """Definitions whose candidate starters are to be found, too."""

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to find."""
        return not (self.requests or self.tasks or self.jobs or self.instances or self.executions or self.definitions)


@dataclass(slots=True)
class Found:
    """`roots`: the root of each thing that exists. `scopes`: the execution of a task or job.

    `answers`: first replies by request id. `suspended`: definitions that exist; they stay as they are until the commit.
    `tenants`: whose these definitions are. `starters`: to whom definitions are offered, where that was asked.
    """

    answers: dict[str, Reply] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    suspended: dict[str, bool] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    starters: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(slots=True)
class Wanted:
    """What to lock and load. Of trees in `whole` everything is loaded, of others what the commands at hand need.

    `scopes`: leaf executions (root id, execution id) whose variables are needed. `links`: tasks and instances whose
    identity links are. `skip_locked`: leave out trees that somebody else holds instead of waiting for them.
    """

    roots: dict[str, None] = field(default_factory=dict)
    whole: dict[str, None] = field(default_factory=dict)
    scopes: dict[tuple[str, str], None] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    deliveries: list[DeliveryKey] = field(default_factory=list)
    skip_locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartJob:
    """A timer start event's job, read under its lock."""

    id: str
    definition_id: str
    element_id: str
    due_at: datetime
    repeat: str
    tenant_id: str = ""


class Loaded(Protocol):
    """The rows of locked trees. They do not change while the transaction lasts."""

    deliveries: set[DeliveryKey]
    """Those that are still to be made."""
    start_jobs: dict[str, StartJob]
    """Jobs without an instance, by id."""

    def holds(self, root_id: str) -> bool:
        """Tell whether the tree exists and is locked by us."""
        ...

    def tree(self, root_id: str) -> Tree:
        """Build the tree from its rows; a new one at each call."""
        ...


@dataclass(slots=True, kw_only=True)
class Accepted:
    """A command that the kernel carried out. `events` is in order; `payload` is the same as bytes for the outbox."""

    command: Command
    command_id: str
    request_id: str
    root_id: str
    tenant_id: str
    at: datetime
    events: list[Event]
    reply: Reply
    payload: bytes
    throw_ids: list[str] = field(default_factory=list)
    sagas: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedDelivery:
    """A delivery that was refused: when to try again, or dead."""

    key: DeliveryKey
    attempts: int
    error: str
    due_at: datetime
    dead: bool


@dataclass(slots=True)
class Changes:
    """All that a batch writes. `trees` holds the trees as they are after it, by root id."""

    accepted: list[Accepted] = field(default_factory=list)
    trees: dict[str, Tree] = field(default_factory=dict)
    deliveries_made: list[DeliveryKey] = field(default_factory=list)
    deliveries_failed: list[FailedDelivery] = field(default_factory=list)
    jobs_ended: list[str] = field(default_factory=list)
    jobs_moved: list[tuple[str, datetime, str]] = field(default_factory=list)
    """Jobs of definitions: (id, next due date, what is left of the cycle)."""
    jobs_postponed: list[tuple[str, datetime, str]] = field(default_factory=list)
    """Jobs that could not even be failed: (id, not before, error)."""

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not (
            self.accepted
            or self.deliveries_made
            or self.deliveries_failed
            or self.jobs_ended
            or self.jobs_moved
            or self.jobs_postponed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A signal or message on its way. Without `root_id` it starts an instance of `definition_id` at `element_id`."""

    key: DeliveryKey
    kind: str
    name: str
    root_id: str
    instance_id: str
    execution_id: str
    definition_id: str
    element_id: str
    business_key: str
    variables: dict[str, Variable]
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueJob:
    """A job that may be executed; `root_id` is empty for a timer start event of `definition_id`."""

    id: str
    root_id: str
    execution_id: str
    definition_id: str


class UnitOfWork(Protocol):
    """One connection and its present transaction. Blocking; used by one thread.

    Raises the errors of `mesh.db.errors`; after any of them nothing is open.
    """

    @property
    def is_open(self) -> bool:
        """Tell whether the connection has not been lost."""
        ...

    def find(self, targets: Targets) -> Found:
        """Look up targets without locking any tree."""
        ...

    def load(self, wanted: Wanted) -> Loaded:
        """Lock trees in the order of their roots, then read what is wanted of them."""
        ...

    def load_variables(self, loaded: Loaded, root_id: str) -> None:
        """Read the variables of all scopes of a locked tree; trees built from now on have them."""
        ...

    def load_tasks(self, loaded: Loaded, root_id: str) -> None:
        """Read all tasks of a locked tree; trees built from now on have them."""
        ...

    def flush(self, changes: Changes, loaded: Loaded | None) -> int:
        """Write everything and commit. Returns how many deliveries were made of what the commands threw."""
        ...

    def committed(self, command_ids: Sequence[str]) -> dict[str, Reply]:
        """Tell which of the commands were committed, with their replies; ends its transaction."""
        ...

    def due_jobs(self, now: datetime, limit: int) -> list[DueJob]:
        """Timers and asynchronous continuations that are due, the longest due first; locks nothing."""
        ...

    def deliveries(self, throw_ids: Sequence[str], now: datetime, limit: int) -> list[Delivery]:
        """Deliveries of these throws or, if none is named, all that are due; ends its transaction."""
        ...

    def rollback(self) -> None:
        """Undo what was not committed."""
        ...

    def close(self) -> None:
        """Give the connection up."""
        ...


class DefinitionSource(Definitions, Protocol):
    """Compiled definitions at hand, and where to get others."""

    def load(self, missing: MissingDefinition) -> None:
        """Bring a definition to hand; blocking. Raises Refused (NOT_FOUND) if there is none."""
        ...


class CompletionSagas(Protocol):
    """What the end of an instance means for sagas (`engine.app.sagas.completion.Completions`)."""

    def of(self, instance: Instance, at: datetime) -> Change:
        """The saga of an instance that has just completed."""
        ...


class IdSource(Protocol):
    """Mints ids (see `mesh.ids`)."""

    def root(self) -> str:
        """Mint the id of a new tree."""
        ...

    def for_shard(self, shard: int) -> Callable[[], str]:
        """Return what mints ids of a shard."""
        ...


EncodeEvents = Callable[[str, str, str, datetime, Sequence[Event]], bytes]
"""Makes the outbox's payload of (root id, command id, tenant, time, events)."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What one command did, told after its commit."""

    root_id: str
    command_id: str
    tenant_id: str
    events: list[Event]
    sagas: Sequence[Saga] = ()


OnCommitted = Callable[[Sequence[Committed]], None]
"""Called in the event loop after a commit, in the order of commits of each tree; must not block or raise."""

EventTypes: TypeAlias = frozenset[type[Event]]
"""What somebody wants to hear of."""
