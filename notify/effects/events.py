"""`flowloom.events.v1.CommandEvents` as notify's own values. Kinds that nobody is told of are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from flowloom.events.v1 import events_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.bus.message import Message
from notify.model import happenings as told

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        pb.END_STATE_UNSPECIFIED: "completed",
        pb.END_STATE_COMPLETED: "completed",
        pb.END_STATE_TERMINATED: "terminated",
        pb.END_STATE_FAILED: "failed",
    }
)
_PROCESS_FIELDS: Final = frozenset(("name", "business_key"))
_TASK_FIELDS: Final = frozenset(("name", "description", "assignee", "owner", "priority", "due_date", "tenant_id"))
_CANDIDATE: Final = "candidate"


def decode(message: Message) -> told.Told:
    """Read a message of the bus. Raises google.protobuf.message.DecodeError for bytes that are no `CommandEvents`."""
    envelope = pb.CommandEvents.FromString(message.payload)
    at = _moment(envelope.occurred_at) if envelope.HasField("occurred_at") else message.occurred_at
    found: list[told.Happening] = []
    for event in envelope.events:
        kind = event.WhichOneof("kind")
        reader = None if kind is None else _READERS.get(kind)
        if reader is None:
            continue
        own = _moment(event.occurred_at) if event.HasField("occurred_at") else at
        happening = reader(event.process_instance_id, own, getattr(event, str(kind)))
        if happening is not None:
            found.append(happening)
    return told.Told(
        root_id=envelope.root_instance_id or message.key,
        sequence=message.sequence,
        user_id=envelope.user_id,
        happenings=tuple(found),
    )


def _moment(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _started(instance_id: str, at: datetime, e: pb.ProcessInstanceStarted) -> told.Happening:
    return told.ProcessStarted(
        instance_id=instance_id,
        at=at,
        super_instance_id=e.super_process_instance_id,
        definition_key=e.process_definition_key,
        definition_name=e.process_definition_name,
        name=e.name,
        business_key=e.business_key,
        tenant_id=e.tenant_id,
        start_user_id=e.start_user_id,
    )


def _updated(instance_id: str, at: datetime, e: pb.ProcessInstanceUpdated) -> told.Happening | None:
    changes = {name: getattr(e, name) for name in e.changed_fields if name in _PROCESS_FIELDS}
    return told.ProcessUpdated(instance_id=instance_id, at=at, changes=changes) if changes else None


def _ended(instance_id: str, at: datetime, e: pb.ProcessInstanceEnded) -> told.Happening:
    return told.ProcessEnded(instance_id=instance_id, at=at, state=_STATES[e.state], reason=e.delete_reason)


def _task_created(instance_id: str, at: datetime, e: pb.TaskCreated) -> told.Happening:
    return told.TaskCreated(
        instance_id=instance_id,
        at=at,
        task_id=e.task_id,
        name=e.name,
        description=e.description,
        assignee=e.assignee,
        owner=e.owner,
        priority=e.priority,
        due_date=_moment(e.due_date) if e.HasField("due_date") else None,
        tenant_id=e.tenant_id,
    )


def _task_updated(instance_id: str, at: datetime, e: pb.TaskUpdated) -> told.Happening | None:
    changes: dict[str, Any] = {}
    for name in e.changed_fields:
        if name == "due_date":
            changes[name] = _moment(e.due_date) if e.HasField("due_date") else None
        elif name in _TASK_FIELDS:
            changes[name] = getattr(e, name)
    return told.TaskUpdated(instance_id=instance_id, at=at, task_id=e.task_id, changes=changes) if changes else None


def _task_ended(instance_id: str, at: datetime, e: pb.TaskEnded) -> told.Happening:
    return told.TaskEnded(instance_id=instance_id, at=at, task_id=e.task_id)


def _link_added(instance_id: str, at: datetime, e: pb.IdentityLinkAdded) -> told.Happening | None:
    return _candidate(instance_id, at, e, added=True)


def _link_removed(instance_id: str, at: datetime, e: pb.IdentityLinkRemoved) -> told.Happening | None:
    return _candidate(instance_id, at, e, added=False)


def _candidate(
    instance_id: str, at: datetime, e: pb.IdentityLinkAdded | pb.IdentityLinkRemoved, *, added: bool
) -> told.Happening | None:
    if e.scope_kind != pb.SCOPE_KIND_TASK or e.type != _CANDIDATE:
        return None
    return told.CandidateChanged(
        instance_id=instance_id, at=at, task_id=e.scope_id, user_id=e.user_id, group_id=e.group_id, added=added
    )


def _incident(instance_id: str, at: datetime, e: pb.IncidentRaised) -> told.Happening:
    return told.IncidentRaised(
        instance_id=instance_id,
        at=at,
        incident_id=e.incident_id,
        reason=e.reason,
        message=e.message,
        element_id=e.element_id,
    )


_READERS: Final[Mapping[str, Callable[[str, datetime, Any], told.Happening | None]]] = MappingProxyType(
    {
        "process_instance_started": _started,
        "process_instance_updated": _updated,
        "process_instance_ended": _ended,
        "task_created": _task_created,
        "task_updated": _task_updated,
        "task_ended": _task_ended,
        "identity_link_added": _link_added,
        "identity_link_removed": _link_removed,
        "incident_raised": _incident,
    }
)
