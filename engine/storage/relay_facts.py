"""Facts of the relay and business events in the database: a batch is two round trips and one transaction.

One connection of its own, used by one thread: batches come one after the other anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec

from engine.app.relaying import Fact, Facts, InstanceFacts, Needs, TaskFacts
from engine.storage.relay_tables import business_event, relay_fact
from mesh.bus.message import Message
from mesh.db.database import Database
from mesh.db.errors import DatabaseError
from mesh.db.statements import COMMIT, Insert, Sql, Statement
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer
from mesh.errors import Unavailable

T = TypeVar("T")

PARTITION: Final = 0
"""Of the offsets of those that read the outbox."""
CANDIDATE: Final = "candidate"

_OFFSET: Final = Sql("SELECT sequence FROM bus_offset WHERE consumer_group = ? AND `partition` = ? {for update}")
"""Locked until the commit, so that the positions of business events become visible in their order."""
_FACTS: Final = Sql("SELECT facts FROM relay_fact WHERE id IN ?*")
_FACTS_BELOW: Final = Sql("SELECT facts FROM relay_fact WHERE root_id IN ?*")
_INSTANCES: Final = Sql(
    "SELECT id, root_id, super_instance_id, definition_id, definition_key, definition_version, definition_name, "
    "tenant_id, name, business_key, business_status, start_user_id, started_at FROM instance WHERE id IN ?*"
)
_TASKS: Final = Sql(
    "SELECT id, root_id, instance_id, definition_id, element_id, name, description, assignee, owner, priority, due_at, "
    "category, form_key, parent_task_id, tenant_id, created_at FROM task WHERE id IN ?*"
)
_CANDIDATES: Final = Sql("SELECT owner_id, user_id, group_id FROM identity_link WHERE owner_id IN ?* AND kind = ?")
_KNOWN_EVENTS: Final = Sql("SELECT event_id FROM business_event WHERE event_id IN ?*")
_DROP_ENDED: Final = Sql("DELETE FROM relay_fact WHERE ended_sequence BETWEEN 1 AND ?")
_PUT_FACTS: Final = Insert(relay_fact, ("id", "root_id", "ended_sequence", "facts"), replace=True)
_PUT_EVENTS: Final = Insert(business_event, ("topic", "event_id", "root_id", "payload", "headers", "occurred_at"))

PLANNED: Final = (_OFFSET, _FACTS, _FACTS_BELOW, _INSTANCES, _TASKS, _CANDIDATES, _KNOWN_EVENTS)
"""For the tests of plans."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Fact)


class RelayFacts:
    """A `FactStore` for one group that reads the outbox."""

    def __init__(self, database: Database, group: str) -> None:
        """Nothing is opened yet."""
        self._database = database
        self._group = group
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="relay-facts")
        self._open: Writer | None = None

    async def load(self, needs: Needs) -> Facts:
        """Return what is kept; of what is not, what the engine's own tables say. Raises Unavailable."""
        return await self._in_thread(lambda: self._load(needs))

    async def save(self, facts: Facts, events: Sequence[Message]) -> None:
        """Keep what changed and the events, each once; drop what ended before the offset. Raises Unavailable."""
        await self._in_thread(lambda: self._save(facts, events))

    async def close(self) -> None:
        """Let what is under way end, and close the connection."""

        def run() -> None:
            if self._open is not None:
                self._open.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, run)
        self._thread.shutdown()

    def _load(self, needs: Needs) -> Facts:
        ids = sorted(needs.instances | needs.tasks)
        packet: list[Statement] = []
        if ids:
            packet.append(_FACTS.of(ids))
        if needs.roots:
            packet.append(_FACTS_BELOW.of(sorted(needs.roots)))
        found: dict[str, Fact] = {}
        if packet:
            writer = self._writer()
            for result in writer.run(packet):
                for (text,) in result.rows:
                    fact = _decoder.decode(text)
                    found[fact.id] = fact
            found |= self._present(writer, needs, found)
            writer.rollback()
        return Facts(found.values())

    @staticmethod
    def _present(writer: Writer, needs: Needs, known: Mapping[str, Fact]) -> dict[str, Fact]:
        """What the engine's tables say of the things that were told before there was a relay."""
        instances = sorted(needs.instances - known.keys())
        tasks = sorted(needs.tasks - known.keys())
        if not instances and not tasks:
            return {}
        at_instances, at_tasks, candidates = writer.run(
            [_INSTANCES.of(instances), _TASKS.of(tasks), _CANDIDATES.of(tasks, CANDIDATE)]
        )
        found: dict[str, Fact] = {}
        for row in at_instances.rows:
            instance = InstanceFacts(**dict(zip(_INSTANCE_FIELDS, row, strict=True)))
            found[instance.id] = msgspec.structs.replace(instance, started_at=_moment(row[-1]))
        for row in at_tasks.rows:
            task = TaskFacts(**dict(zip(_TASK_FIELDS, row, strict=True)))
            found[task.id] = msgspec.structs.replace(task, due_at=_moment(row[10]), created_at=_moment(row[-1]))
        for owner_id, user_id, group_id in candidates.rows:
            owner = found.get(owner_id)
            if isinstance(owner, TaskFacts):
                owner.users = [*owner.users, user_id] if user_id else owner.users
                owner.groups = [*owner.groups, group_id] if group_id else owner.groups
        return found

    def _save(self, facts: Facts, events: Sequence[Message]) -> None:
        writer = self._writer()
        packet: list[Statement] = [_OFFSET.of(self._group, PARTITION)]
        if events:
            packet.append(_KNOWN_EVENTS.of([event.event_id for event in events]))
        offset, *known_events = writer.run(packet)
        safe = int(offset.rows[0][0]) if offset.rows else 0
        known = {event_id for result in known_events for (event_id,) in result.rows}
        new = [event for event in events if event.event_id not in known]
        # What lived and died within what is durably relayed leaves nothing; its row will not come again.
        kept = [fact for fact in facts.changed.values() if not 0 < fact.ended_sequence <= safe]
        packet = [_DROP_ENDED.of(safe)]
        if kept:
            rows = [(fact.id, fact.root_id, fact.ended_sequence, _encoder.encode(fact).decode()) for fact in kept]
            packet.append(_PUT_FACTS.of(sorted(rows)))
        if new:
            packet.append(_PUT_EVENTS.of([_event_row(event) for event in new]))
        writer.run([*packet, COMMIT])

    def _writer(self) -> Writer:
        if self._open is None or not self._open.is_open:
            self._open = self._database.writer()
        return self._open

    async def _in_thread(self, work: Callable[[], T]) -> T:
        def run() -> T:
            try:
                return work()
            except DatabaseError as error:
                message = f"expected the engine's database to answer, found: {error}"
                raise Unavailable("database-away", message) from error
            except BaseException:
                if self._open is not None:
                    self._open.rollback()
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)


_INSTANCE_FIELDS: Final = (
    "id", "root_id", "super_id", "definition_id", "definition_key", "definition_version", "definition_name",
    "tenant_id", "name", "business_key", "business_status", "start_user_id", "started_at",
)  # fmt: skip
_TASK_FIELDS: Final = (
    "id", "root_id", "instance_id", "definition_id", "element_id", "name", "description", "assignee", "owner",
    "priority", "due_at", "category", "form_key", "parent_task_id", "tenant_id", "created_at",
)  # fmt: skip


def _moment(found: Any) -> Any:
    return None if found is None else moment_of_text(str(found))


def _event_row(event: Message) -> tuple[Any, ...]:
    headers = _encoder.encode(dict(event.headers)).decode()
    return (event.topic, event.event_id, event.key, event.payload, headers, text_of_moment(event.occurred_at))
