"""The store of sagas on the group commit's writers (the port is `engine.app.sagas.ports.SagaStore`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from engine.app.sagas.state import Change, Participant, Saga
from engine.app.unit_of_work import EncodeEvents
from engine.storage.sagas import participants, writing
from mesh.db.writer import Writer

T = TypeVar("T")


class Transact(Protocol):
    """The group commit's way to run a transaction of the storage (`GroupCommit.transact`)."""

    def __call__(self, work: Callable[[Any], T]) -> Awaitable[T]: ...


class SqlSagas:
    """Implements `SagaStore`."""

    def __init__(
        self,
        transact: Transact,
        *,
        encode_events: EncodeEvents,
        new_id: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        """`transact` gives a unit of work that has a `writer`."""
        self._transact = transact
        self._encode_events = encode_events
        self._new_id = new_id
        self._now = now

    async def _on_writer(self, work: Callable[[Writer], T]) -> T:
        def run(unit: Any) -> T:
            return work(unit.writer)

        return await self._transact(run)

    async def write(self, changes: Sequence[Change]) -> list[str]:
        """See the port."""
        now = self._now()
        for change in changes:
            self._encode(change, now)
        return await self._on_writer(lambda writer: writing.write(writer, changes, now))

    def _encode(self, change: Change, now: datetime) -> None:
        if change.events:
            saga = change.saga
            key, name = writing.key_of(saga), writing.command_id(saga)
            change.payload = self._encode_events(key, name, saga.tenant_id, now, change.events)

    async def acquire(self, owner: str, now: datetime, until: datetime, limit: int) -> list[Saga]:
        """See the port."""
        token = self._new_id()
        return await self._on_writer(lambda writer: writing.acquire(writer, owner, token, now, until, limit))

    async def extend(self, owner: str, saga_ids: Sequence[str], until: datetime) -> set[str]:
        """See the port."""
        return await self._on_writer(lambda writer: writing.extend(writer, owner, saga_ids, until))

    async def change(self, saga_id: str, work: Callable[[Saga], Change | None], request_id: str = "") -> Saga | None:
        """See the port."""
        now = self._now()

        def encoding(saga: Saga) -> Change | None:
            change = work(saga)
            if change is not None:
                self._encode(change, now)
            return change

        return await self._on_writer(lambda writer: writing.change(writer, saga_id, encoding, now, request_id))

    async def next_due(self) -> datetime | None:
        """See the port."""
        return await self._on_writer(writing.next_due)

    async def prune(self, before: datetime, limit: int) -> int:
        """See the port."""
        return await self._on_writer(lambda writer: writing.prune(writer, before, limit))

    async def participants(self) -> Sequence[Participant]:
        """See the port."""
        return await self._on_writer(participants.every)

    async def register(self, participant: Participant) -> Participant:
        """See the port."""
        return await self._on_writer(lambda writer: participants.register(writer, participant))

    async def unregister(self, participant_id: str, request_id: str = "") -> bool:
        """See the port."""
        now = self._now()
        return await self._on_writer(lambda writer: participants.unregister(writer, participant_id, request_id, now))
