"""Business events out of the rows of the outbox: `flowloom.events.v1.business`, with CloudEvents headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from flowloom.events.v1 import business_pb2 as business
from flowloom.events.v1 import events_pb2 as pb
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from engine.app.relaying import Facts, InstanceFacts, Needs, TaskFacts
from mesh.bus import topics
from mesh.bus.message import Message

SOURCE: Final = "/flowloom/engine"
HISTORY_EVENT: Final = "COMMAND_EVENTS"
ORDINALS_PER_ROW: Final = 1 << 20
"""Room for the order of the business events of one row."""
KINDS_PER_EVENT: Final = 2
"""A task that is created with an assignee is created and assigned."""
_CANDIDATE: Final = "candidate"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ENDED: Final[Mapping[int, str]] = MappingProxyType(
    {
        pb.END_STATE_COMPLETED: topics.PROCESS_COMPLETED,
        pb.END_STATE_TERMINATED: topics.PROCESS_TERMINATED,
        pb.END_STATE_FAILED: topics.PROCESS_FAILED,
    }
)
_TASK_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "name": "name",
        "description": "description",
        "owner": "owner",
        "assignee": "assignee",
        "priority": "priority",
        "due_date": "due_at",
        "category": "category",
        "form_key": "form_key",
        "parent_task_id": "parent_task_id",
        "tenant_id": "tenant_id",
        "task_definition_key": "element_id",
    }
)
_INSTANCE_FIELDS: Final = ("name", "business_key", "business_status")
_OF_INSTANCE: Final = frozenset(
    (
        "process_instance_ended",
        "process_instance_updated",
        "process_instance_migrated",
        "incident_raised",
        "task_created",
        "task_updated",
        "task_ended",
    )
)


def cloud_headers(kind: str, event_id: str, topic: str, at: datetime, subject: str, tenant_id: str) -> dict[str, str]:
    """Return the headers of every message of the mesh: Flowable's two, and CloudEvents in binary mode."""
    moment = at.isoformat()
    return {
        "eventType": kind,
        "timestamp": moment,
        "content-type": "application/protobuf",
        "tenant_id": tenant_id,
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": SOURCE,
        "ce_type": topic,
        "ce_time": moment,
        "ce_subject": subject,
    }


def history_headers(message: Message) -> dict[str, str]:
    """Return the headers of a row of the outbox on its way."""
    tenant = message.headers.get("tenant_id", "")
    return cloud_headers(HISTORY_EVENT, message.event_id, message.topic, message.occurred_at, message.key, tenant)


class BusinessEvents:
    """A `Business`."""

    def needs(self, rows: Sequence[Message]) -> Needs:
        """What the rows refer to and do not create. Raises ValueError for a row that is no `CommandEvents`."""
        needs = Needs()
        created: set[str] = set()
        for row in rows:
            for event in _read(row).events:
                kind = event.WhichOneof("kind")
                if kind in _OF_INSTANCE and event.process_instance_id:
                    needs.instances.add(event.process_instance_id)
                if kind == "process_instance_started":
                    created.add(event.process_instance_id)
                elif kind == "task_created":
                    created.add(event.task_created.task_id)
                elif kind in ("task_updated", "task_ended"):
                    needs.tasks.add(getattr(event, kind).task_id)
                elif kind in ("identity_link_added", "identity_link_removed"):
                    link = getattr(event, kind)
                    if link.scope_kind == pb.SCOPE_KIND_TASK and link.type == _CANDIDATE:
                        needs.tasks.add(link.scope_id)
                elif kind == "process_instance_migrated":
                    needs.roots.add(row.key)
        needs.instances -= created
        needs.tasks -= created
        return needs

    def events(self, row: Message, facts: Facts) -> list[Message]:
        """Return the business events of a row, and let the facts follow. Raises ValueError as `needs`."""
        return _Row(row, facts).events()


class _Row:
    """One row being read."""

    def __init__(self, row: Message, facts: Facts) -> None:
        self._row = row
        self._facts = facts
        self._envelope = _read(row)
        self._at = row.occurred_at
        self._found: list[Message] = []
        self._links = self._links_of_created()

    def events(self) -> list[Message]:
        for index, event in enumerate(self._envelope.events):
            kind = event.WhichOneof("kind")
            tell = _TELLERS.get(str(kind))
            if tell is None:
                continue
            own = _moment(event.occurred_at) if event.HasField("occurred_at") else None
            self._at = own or self._row.occurred_at
            tell(self, index, event)
        return self._found

    def _links_of_created(self) -> dict[str, tuple[list[str], list[str]]]:
        """The candidates that each task is created with: they are told behind it, and are its own from the start."""
        found: dict[str, tuple[list[str], list[str]]] = {}
        for event in self._envelope.events:
            kind = event.WhichOneof("kind")
            if kind == "task_created":
                found[event.task_created.task_id] = ([], [])
            elif kind == "identity_link_added":
                link = event.identity_link_added
                if link.type == _CANDIDATE and link.scope_id in found:
                    _add(found[link.scope_id], link)
        return found

    # --- instances ---

    def instance_started(self, index: int, event: pb.Event) -> None:
        told = event.process_instance_started
        fact = InstanceFacts(
            id=event.process_instance_id,
            root_id=self._row.key,
            super_id=told.super_process_instance_id,
            definition_id=told.process_definition_id,
            definition_key=told.process_definition_key,
            definition_version=told.process_definition_version,
            definition_name=told.process_definition_name,
            tenant_id=told.tenant_id,
            name=told.name,
            business_key=told.business_key,
            business_status=told.business_status,
            start_user_id=told.start_user_id,
            started_at=self._at,
        )
        self._facts.put(fact)
        self._tell(topics.PROCESS_STARTED, index, fact.id, fact.tenant_id, self._instance(fact))

    def instance_ended(self, index: int, event: pb.Event) -> None:
        told = event.process_instance_ended
        fact = self._facts.instance(event.process_instance_id)
        fact.ended_sequence = self._row.sequence
        self._facts.put(fact)
        body = self._instance(fact)
        body.end_state = told.state
        body.end_time.CopyFrom(_stamp_of(self._at))
        if fact.started_at is not None:
            body.duration.FromTimedelta(self._at - fact.started_at)
        for name in ("end_activity_id", "delete_reason"):
            if told.HasField(name):
                setattr(body, name, getattr(told, name))
        if told.state == pb.END_STATE_FAILED:
            body.failure.reason = "process-failed"
            body.failure.message = told.delete_reason
        self._tell(_ENDED.get(told.state, topics.PROCESS_COMPLETED), index, fact.id, fact.tenant_id, body)

    def instance_updated(self, _: int, event: pb.Event) -> None:
        told = event.process_instance_updated
        fact = self._facts.instance(event.process_instance_id)
        for name in _INSTANCE_FIELDS:
            if name in told.changed_fields:
                setattr(fact, name, getattr(told, name))
        self._facts.put(fact)

    def instance_migrated(self, _: int, event: pb.Event) -> None:
        told = event.process_instance_migrated
        fact = self._facts.instance(event.process_instance_id)
        fact.definition_id = told.process_definition_id
        fact.definition_key = told.process_definition_key
        fact.definition_version = told.process_definition_version
        fact.definition_name = told.process_definition_name
        self._facts.put(fact)
        for task in self._facts.tasks_of(fact.id):
            task.definition_id = told.process_definition_id
            task.element_id = told.element_ids.get(task.element_id, task.element_id)
            self._facts.put(task)

    def incident_raised(self, index: int, event: pb.Event) -> None:
        told = event.incident_raised
        fact = self._facts.instance(event.process_instance_id)
        body = self._instance(fact)
        body.failure.reason = told.reason
        body.failure.message = told.message
        for name in ("element_id", "job_id"):
            if told.HasField(name):
                setattr(body.failure, name, getattr(told, name))
        if told.incident_id:
            body.failure.incident_id = told.incident_id
        self._tell(topics.PROCESS_FAILED, index, fact.id, fact.tenant_id, body)

    def _instance(self, fact: InstanceFacts) -> business.ProcessInstanceEvent:
        return business.ProcessInstanceEvent(
            process_instance_id=fact.id,
            root_process_instance_id=fact.root_id or self._row.key,
            super_process_instance_id=fact.super_id or None,
            process_definition_id=fact.definition_id,
            process_definition_key=fact.definition_key,
            process_definition_version=fact.definition_version,
            process_definition_name=fact.definition_name or None,
            tenant_id=fact.tenant_id,
            name=fact.name or None,
            business_key=fact.business_key or None,
            business_status=fact.business_status or None,
            start_user_id=fact.start_user_id or None,
            start_time=_stamp(fact.started_at),
            user_id=self._envelope.user_id or None,
        )

    # --- tasks ---

    def task_created(self, index: int, event: pb.Event) -> None:
        told = event.task_created
        users, groups = self._links[told.task_id]
        fact = TaskFacts(
            id=told.task_id,
            root_id=self._row.key,
            instance_id=event.process_instance_id,
            definition_id=told.process_definition_id,
            element_id=told.task_definition_key,
            name=told.name,
            description=told.description,
            assignee=told.assignee,
            owner=told.owner,
            priority=told.priority,
            due_at=_moment(told.due_date) if told.HasField("due_date") else None,
            category=told.category,
            form_key=told.form_key,
            parent_task_id=told.parent_task_id,
            tenant_id=told.tenant_id,
            created_at=self._at,
            users=users,
            groups=groups,
        )
        self._facts.put(fact)
        self._tell(topics.TASK_CREATED, index, fact.id, fact.tenant_id, self._task(fact))
        if fact.assignee:
            self._tell(topics.TASK_ASSIGNED, index, fact.id, fact.tenant_id, self._task(fact), nth=1)

    def task_updated(self, index: int, event: pb.Event) -> None:
        told = event.task_updated
        fact = self._facts.task(told.task_id)
        before = fact.assignee
        for name in told.changed_fields:
            field = _TASK_FIELDS.get(name)
            if field is not None:
                value: Any = getattr(told, name)
                if isinstance(value, Timestamp):
                    value = _moment(value) if told.HasField("due_date") else None
                setattr(fact, field, value)
        self._facts.put(fact)
        if fact.assignee and "assignee" in told.changed_fields:
            body = self._task(fact)
            if before and before != fact.assignee:
                body.previous_assignee = before
            self._tell(topics.TASK_ASSIGNED, index, fact.id, fact.tenant_id, body)

    def task_ended(self, index: int, event: pb.Event) -> None:
        told = event.task_ended
        fact = self._facts.task(told.task_id)
        fact.ended_sequence = self._row.sequence
        self._facts.put(fact)
        if told.canceled:
            return
        body = self._task(fact)
        body.end_time.CopyFrom(_stamp_of(self._at))
        if fact.created_at is not None:
            body.duration.FromTimedelta(self._at - fact.created_at)
        for name in ("completed_by", "outcome"):
            if told.HasField(name):
                setattr(body, name, getattr(told, name))
        self._tell(topics.TASK_COMPLETED, index, fact.id, fact.tenant_id, body)

    def link_added(self, _: int, event: pb.Event) -> None:
        link = event.identity_link_added
        if link.scope_kind == pb.SCOPE_KIND_TASK and link.type == _CANDIDATE:
            fact = self._facts.task(link.scope_id)
            _add((fact.users, fact.groups), link)
            self._facts.put(fact)

    def link_removed(self, _: int, event: pb.Event) -> None:
        link = event.identity_link_removed
        if link.scope_kind == pb.SCOPE_KIND_TASK and link.type == _CANDIDATE:
            fact = self._facts.task(link.scope_id)
            fact.users = [user for user in fact.users if user != link.user_id]
            fact.groups = [group for group in fact.groups if group != link.group_id]
            self._facts.put(fact)

    # --- sagas ---

    def saga_step_requested(self, index: int, event: pb.Event) -> None:
        told = event.saga_step_requested
        self._tell(
            f"{topics.SAGA_PREFIX}{told.topic}", index, told.saga_id, told.tenant_id, told, kind="saga_step_requested"
        )

    def _task(self, fact: TaskFacts) -> business.TaskEvent:
        instance = self._facts.instance(fact.instance_id) if fact.instance_id else None
        return business.TaskEvent(
            task_id=fact.id,
            name=fact.name,
            description=fact.description or None,
            assignee=fact.assignee or None,
            owner=fact.owner or None,
            candidate_users=fact.users,
            candidate_groups=fact.groups,
            priority=fact.priority,
            due_date=_stamp(fact.due_at),
            category=fact.category or None,
            form_key=fact.form_key or None,
            parent_task_id=fact.parent_task_id or None,
            task_definition_key=fact.element_id or None,
            tenant_id=fact.tenant_id,
            create_time=_stamp(fact.created_at),
            process_instance_id=fact.instance_id or None,
            root_process_instance_id=(fact.root_id or self._row.key) if instance is not None else None,
            process_definition_id=fact.definition_id or None,
            process_definition_key=(instance.definition_key or None) if instance is not None else None,
            process_definition_name=(instance.definition_name or None) if instance is not None else None,
            business_key=(instance.business_key or None) if instance is not None else None,
            user_id=self._envelope.user_id or None,
        )

    def _tell(
        self, topic: str, index: int, subject: str, tenant_id: str, body: Any, nth: int = 0, kind: str = ""
    ) -> None:
        kind = kind or topic.removeprefix("flowable.").replace(".", "_")
        event_id = f"{self._row.event_id}/{index}/{kind.rpartition('_')[2]}"
        self._found.append(
            Message(
                topic=topic,
                key=self._row.key,
                event_id=event_id,
                sequence=self._row.sequence * ORDINALS_PER_ROW + index * KINDS_PER_EVENT + nth,
                payload=body.SerializeToString(),
                occurred_at=self._at,
                headers=cloud_headers(kind.upper(), event_id, topic, self._at, subject, tenant_id),
            )
        )


_TELLERS: Final[Mapping[str, Callable[[_Row, int, pb.Event], None]]] = MappingProxyType(
    {
        "process_instance_started": _Row.instance_started,
        "process_instance_ended": _Row.instance_ended,
        "process_instance_updated": _Row.instance_updated,
        "process_instance_migrated": _Row.instance_migrated,
        "incident_raised": _Row.incident_raised,
        "task_created": _Row.task_created,
        "task_updated": _Row.task_updated,
        "task_ended": _Row.task_ended,
        "identity_link_added": _Row.link_added,
        "identity_link_removed": _Row.link_removed,
        "saga_step_requested": _Row.saga_step_requested,
    }
)


def _read(row: Message) -> pb.CommandEvents:
    try:
        return pb.CommandEvents.FromString(row.payload)
    except DecodeError as error:
        raise ValueError(f"expected row {row.sequence} of the outbox to be CommandEvents: {error}") from error


def _add(candidates: tuple[list[str], list[str]], link: pb.IdentityLinkAdded) -> None:
    users, groups = candidates
    if link.user_id and link.user_id not in users:
        users.append(link.user_id)
    if link.group_id and link.group_id not in groups:
        groups.append(link.group_id)


def _moment(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _stamp(at: datetime | None) -> Timestamp | None:
    return None if at is None else _stamp_of(at)


def _stamp_of(at: datetime) -> Timestamp:
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)
