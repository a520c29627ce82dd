"""What the relay knows of instances and tasks, so that every business event tells all that one needs to act on it.

An outbox row says what changed; who has the task, which business key the instance has, was said by earlier rows. These
facts are the fold of the rows as far as they were relayed, kept beside the relay's offset, not the engine's present
state: that may be further on already, or gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from mesh.bus.message import Message


class InstanceFacts(msgspec.Struct, kw_only=True, tag="instance", omit_defaults=True):
    """A process instance as it was told."""

    id: str
    root_id: str = ""
    super_id: str = ""
    definition_id: str = ""
    definition_key: str = ""
    definition_version: int = 0
    definition_name: str = ""
    tenant_id: str = ""
    name: str = ""
    business_key: str = ""
    business_status: str = ""
    start_user_id: str = ""
    started_at: datetime | None = None
    ended_sequence: int = 0
    """Of the row that ended it; 0: it lives."""


class TaskFacts(msgspec.Struct, kw_only=True, tag="task", omit_defaults=True):
    """A task as it was told."""

    id: str
    root_id: str = ""
    instance_id: str = ""
    definition_id: str = ""
    element_id: str = ""
    name: str = ""
    description: str = ""
    assignee: str = ""
    owner: str = ""
    priority: int = 0
    due_at: datetime | None = None
    category: str = ""
    form_key: str = ""
    parent_task_id: str = ""
    tenant_id: str = ""
    created_at: datetime | None = None
    users: list[str] = []
    """Candidates."""
    groups: list[str] = []
    ended_sequence: int = 0


Fact: TypeAlias = InstanceFacts | TaskFacts


class Needs(msgspec.Struct, kw_only=True):
    """What a batch of rows refers to and does not create: instances and tasks by id; all that is below these roots."""

    instances: set[str] = msgspec.field(default_factory=set)
    tasks: set[str] = msgspec.field(default_factory=set)
    roots: set[str] = msgspec.field(default_factory=set)


class Facts:
    """The facts at hand while a batch is relayed."""

    def __init__(self, found: Iterable[Fact]) -> None:
        self.changed: dict[str, Fact] = {}
        self._instances: dict[str, InstanceFacts] = {}
        self._tasks: dict[str, TaskFacts] = {}
        for fact in found:
            self._add(fact)

    def instance(self, instance_id: str) -> InstanceFacts:
        """What is known of an instance; at worst its id."""
        return self._instances.get(instance_id) or InstanceFacts(id=instance_id)

    def task(self, task_id: str) -> TaskFacts:
        """What is known of a task; at worst its id."""
        return self._tasks.get(task_id) or TaskFacts(id=task_id)

    def tasks_of(self, instance_id: str) -> list[TaskFacts]:
        """The tasks of an instance that are at hand."""
        return [task for task in self._tasks.values() if task.instance_id == instance_id]

    def put(self, fact: Fact) -> None:
        """Keep what is known now."""
        self._add(fact)
        self.changed[fact.id] = fact

    def _add(self, fact: Fact) -> None:
        if isinstance(fact, InstanceFacts):
            self._instances[fact.id] = fact
        else:
            self._tasks[fact.id] = fact


class FactStore(Protocol):
    """Facts, durable. Raises Unavailable while the database is away."""

    async def load(self, needs: Needs) -> Facts:
        """Return what is kept; of what is not, what the engine's own tables say."""
        ...

    async def save(self, facts: Facts, events: Sequence[Message]) -> None:
        """Keep what changed and, where there is no broker, the events; drop what ended before the relay's offset."""
        ...


class Business(Protocol):
    """Reads outbox rows. Raises ValueError for one that cannot be read."""

    def needs(self, rows: Sequence[Message]) -> Needs:
        """What the rows refer to."""
        ...

    def events(self, row: Message, facts: Facts) -> list[Message]:
        """Return the business events of a row, in their order, and let the facts follow."""
        ...


class Publish(Protocol):
    """Makes messages durable on the bus, in order."""

    async def __call__(self, messages: Sequence[Message]) -> None:
        """Raises Unavailable while the broker is away; then all come again."""
        ...


class Relay:
    """Ships outbox rows and the business events that follow from them. A `mesh.bus.ports.Handler`.

    First the bus, then the facts, then (by whoever calls) the offset: what a crash leaves half done is done again, with
    the same ids.
    """

    def __init__(self, business: Business, store: FactStore, publish: Publish | None, shipped: Callable[[int], None]):
        """Without `publish`, business events go to the store, and rows nowhere: the embedded bus reads them itself."""
        self._business = business
        self._store = store
        self._publish = publish
        self._shipped = shipped

    async def __call__(self, rows: Sequence[Message]) -> None:
        """Ship a batch. Raises Unavailable; ValueError for a row that cannot be read."""
        facts = await self._store.load(self._business.needs(rows))
        messages: list[Message] = []
        events: list[Message] = []
        for row in rows:
            found = self._business.events(row, facts)
            events += found
            messages.append(row)
            messages += found
        if self._publish is not None:
            await self._publish(messages)
        await self._store.save(facts, () if self._publish is not None else events)
        self._shipped(len(messages))
