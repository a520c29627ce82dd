"""What the repository keeps (deployments, resources, definitions, their start events) and the ports to keep it by.

All writes go through `RepositoryStore.write`: one transaction that holds the repository's lock, so deployments,
deletions and changes of state of all engine processes happen one after another. They are rare; commands on instances
never wait for that lock.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar

import msgspec

from engine.kernel.commands import Command
from engine.kernel.values import Value

T = TypeVar("T")

CANDIDATE: Final = "candidate"
"""The kind of the identity links of a definition: who may start it."""

SUSPEND_HANDLER: Final = "suspend-processdefinition"
ACTIVATE_HANDLER: Final = "activate-processdefinition"
"""Handlers of the jobs that change a definition's state later (Flowable's words)."""


class DeploymentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment; texts that were not given are empty."""

    id: str
    name: str
    category: str
    key: str
    tenant_id: str
    deployed_at: datetime
    parent_deployment_id: str = ""


class ResourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a deployment; `generated` ones were made by the engine."""

    name: str
    data: bytes
    generated: bool = False


class DefinitionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an executable process, as the repository lists it."""

    id: str
    key: str
    version: int
    tenant_id: str
    name: str
    description: str
    category: str
    deployment_id: str
    resource_name: str
    diagram_resource_name: str = ""
    start_form_key: str = ""
    suspended: bool = False


class StartSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A message or signal that starts a definition. `kind`: message or signal."""

    id: str
    definition_id: str
    element_id: str
    kind: str
    name: str
    tenant_id: str
    configuration: str
    created_at: datetime


class DefinitionJob(msgspec.Struct, frozen=True, kw_only=True):
    """A timer of a definition itself: a timer start event, or a change of its state at a date.

    `held_until`: nobody else takes it before that moment.
    """

    id: str
    definition_id: str
    handler: str
    due_at: datetime
    created_at: datetime
    tenant_id: str
    element_id: str = ""
    element_name: str = ""
    repeat: str = ""
    retries: int = 3
    suspended: bool = False
    payload: dict[str, Value] = {}
    held_until: datetime | None = None


class Starter(msgspec.Struct, frozen=True, kw_only=True):
    """A user or a group that may start a definition; exactly one of the two is not empty."""

    user_id: str = ""
    group_id: str = ""


class MessageStart(msgspec.Struct, frozen=True, kw_only=True):
    """Which start event a message starts."""

    definition_id: str
    element_id: str
    name: str


Reply = dict[str, Value]
"""What a client is told, as JSON-like facts; kept with the request_id."""


class RepositoryReader(Protocol):
    """Reads of the repository. Blocking."""

    def stamp(self) -> str:
        """A text that is another one after every change of the repository, by whichever process."""
        ...

    def deployment(self, deployment_id: str) -> DeploymentRecord | None: ...

    def resource_names(self, deployment_id: str) -> list[str]:
        """In alphabetical order."""
        ...

    def resource(self, deployment_id: str, name: str) -> ResourceRecord | None: ...

    def definition(self, definition_id: str) -> DefinitionRecord | None: ...

    def latest(self, key: str, tenant_id: str) -> DefinitionRecord | None: ...

    def version(self, key: str, tenant_id: str, version: int) -> DefinitionRecord | None: ...

    def in_deployment(self, key: str, deployment_id: str) -> DefinitionRecord | None: ...

    def versions(self, key: str, tenant_id: str) -> list[DefinitionRecord]:
        """All versions, newest first."""
        ...

    def definition_ids_in(self, deployment_id: str) -> list[str]: ...

    def newest_definitions(self, limit: int) -> list[DefinitionRecord]:
        """The latest versions, most recently deployed first."""
        ...

    def message_start(self, name: str, tenant_id: str) -> MessageStart | None: ...

    def starters(self, definition_id: str) -> list[Starter]:
        """In the order in which they were added."""
        ...

    def instances_of(self, definition_ids: Sequence[str], state: str, after: str, limit: int) -> list[tuple[str, str]]:
        """Ids and root ids of living instances (`state` empty: any), by id, those after a given id."""
        ...

    def has_instances(self, definition_ids: Sequence[str]) -> bool: ...

    def job(self, job_id: str) -> DefinitionJob | None:
        """A change of state to be carried out, by its job's id."""
        ...

    def due_changes(self, now: datetime, limit: int) -> list[str]:
        """Ids of the jobs that change a definition's state and are due and held by nobody, the longest due first."""
        ...


class RepositoryUnit(RepositoryReader, Protocol):
    """One transaction that holds the repository's lock. Blocking."""

    def add_deployment(self, deployment: DeploymentRecord, resources: Iterable[ResourceRecord]) -> None: ...

    def latest_deployment(self, name: str, tenant_id: str) -> DeploymentRecord | None: ...

    def resources(self, deployment_id: str) -> list[ResourceRecord]: ...

    def definitions_in(self, deployment_id: str) -> list[DefinitionRecord]: ...

    def add_definitions(self, definitions: Sequence[DefinitionRecord]) -> None: ...

    def lock_definitions(self, definition_ids: Sequence[str]) -> None:
        """Wait for whoever reads these rows for a start, and keep others from reading them so until the commit."""
        ...

    def set_suspended(self, definition_id: str, *, suspended: bool) -> None:
        """The definition and its start timers."""
        ...

    def set_category(self, definition_id: str, category: str) -> None: ...

    def message_owners(self, names: Sequence[str], tenant_id: str) -> list[MessageStart]:
        """Which start events are waiting for any of these messages."""
        ...

    def drop_start_events(self, definition_ids: Sequence[str]) -> None:
        """Subscriptions and timers of start events."""
        ...

    def add_start_events(self, subscriptions: Sequence[StartSubscription], jobs: Sequence[DefinitionJob]) -> None: ...

    def add_change(self, job: DefinitionJob) -> None:
        """A job that changes the definition's state."""
        ...

    def hold_change(self, job_id: str, until: datetime, now: datetime) -> bool:
        """Keep others from a change until then; says whether it was there and free."""
        ...

    def fail_change(self, job_id: str, retry_at: datetime, error: str) -> None:
        """One try less; without any left the job is dead."""
        ...

    def drop_job(self, job_id: str) -> None: ...

    def add_starters(self, definition_id: str, starters: Iterable[tuple[str, Starter]]) -> None:
        """Each with the id of its link."""
        ...

    def drop_starter(self, definition_id: str, starter: Starter) -> bool:
        """Says whether there was such a link."""
        ...

    def drop_deployment(self, deployment_id: str, definition_ids: Sequence[str]) -> None:
        """With resources, definitions and all that belongs to the definitions themselves; instances stay."""
        ...


class RepositoryStore(Protocol):
    """The repository. Blocking; safe from any thread. Raises Unavailable while the database is away."""

    def read(self, ask: Callable[[RepositoryReader], T]) -> T:
        """Ask one or several things over one connection, without a transaction."""
        ...

    def write(self, work: Callable[[RepositoryUnit], Reply], request_id: str = "", about: str = "") -> Reply:
        """Run `work` in one transaction and keep its reply under `request_id`.

        A request_id that is known gets its first reply without running `work`. A transaction that the database gave up
        (deadlock, lost connection) is run again; `work` must have no other effect than what it asks of the unit.
        """
        ...


class Commands(Protocol):
    """Where commands on instances go: the group commit."""

    async def submit(self, command: Command, *, request_id: str = "") -> Mapping[str, Value]:
        """Carry out a command; returns its reply. Raises Refused."""
        ...
