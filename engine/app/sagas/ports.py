"""What sagas need of others: a store, those who do steps, and the engine's commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from engine.app.queries import Listed, Page
from engine.app.sagas.state import Change, LogLine, Participant, Saga


class StepCall(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to do a step or to take it back. `saga_id`, `step_id` and `action` are the barrier."""

    saga_id: str
    step_id: str
    saga_name: str
    step_name: str
    action: str
    attempt: int
    target: str
    data: Mapping[str, Any]
    tenant_id: str
    timeout_seconds: float

    @property
    def barrier(self) -> str:
        """What makes the effect happen once."""
        return f"{self.saga_id}/{self.step_id}/{self.action}"


class StepAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a participant said: done, with a result for those that follow, or to be confirmed later."""

    pending: bool = False
    result: Mapping[str, Any] = {}


class StepRefused(Exception):
    """A participant says that the step will never succeed."""


class Performer(Protocol):
    """Does steps of kind rpc. Raises StepRefused, or anything else for a failure that may heal."""

    async def perform(self, call: StepCall) -> StepAnswer:
        """Do the step, or take it back, as `call.action` says."""
        ...


class SagaStore(Protocol):
    """The sagas' rows. Each method is one transaction. Raises Unavailable while the database is away."""

    async def write(self, changes: Sequence[Change]) -> list[str]:
        """Write what is still held. For each: empty if written, `lost`, or (a new one) `known`."""
        ...

    async def acquire(self, owner: str, now: datetime, until: datetime, limit: int) -> list[Saga]:
        """Take sagas that are due, the longest due first; nobody else gets them until the lease ends."""
        ...

    async def extend(self, owner: str, saga_ids: Sequence[str], until: datetime) -> set[str]:
        """Keep sagas for longer; returns those that are lost."""
        ...

    async def change(self, saga_id: str, work: Callable[[Saga], Change | None], request_id: str = "") -> Saga | None:
        """Lock one saga whoever has it, and write what `work` makes of it (None: nothing). None: there is none."""
        ...

    async def next_due(self) -> datetime | None:
        """When the next open saga goes on."""
        ...

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete sagas that came to a good end, or were closed, before a moment; says how many."""
        ...

    async def participants(self) -> Sequence[Participant]:
        """All registered participants."""
        ...

    async def register(self, participant: Participant) -> Participant:
        """Keep a participant, in the place of the one with its name, saga, definition and tenant."""
        ...

    async def unregister(self, participant_id: str, request_id: str = "") -> bool:
        """Take a participant away; says whether there was one."""
        ...


class SagaFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sagas."""

    id: str | None = None
    name: str | None = None
    state: str | None = None
    process_instance_id: str | None = None
    process_definition_key: str | None = None
    task_id: str | None = None
    open: bool | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False


class SagaLogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of a saga's log."""

    saga_id: str
    step_id: str | None = None
    state: str | None = None


class ParticipantFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which participants."""

    name: str | None = None
    saga_name: str | None = None
    process_definition_key: str | None = None


class SagaQueries(Protocol):
    """The read side of sagas. Raises NotFound, InvalidArgument."""

    async def get_saga(self, saga_id: str) -> Saga:
        """One saga."""
        ...

    async def list_sagas(self, wanted: SagaFilter, page: Page) -> Listed[Saga]:
        """Sagas."""
        ...

    async def list_saga_log(self, wanted: SagaLogFilter, page: Page) -> Listed[LogLine]:
        """Lines of a log."""
        ...

    async def list_participants(self, wanted: ParticipantFilter, page: Page) -> Listed[Participant]:
        """Participants."""
        ...
