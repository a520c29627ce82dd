"""`flowloom.events.v1.CommandEvents` as history's own values. Kinds that history does not keep are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec
from flowloom.events.v1 import events_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from history.model import happenings as told
from history.model.ids import variable_key
from history.model.records import ACTIVE, COMPLETED, FAILED, SUSPENDED, TERMINATED, Value
from mesh.bus.message import Message

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        pb.END_STATE_UNSPECIFIED: COMPLETED,
        pb.END_STATE_COMPLETED: COMPLETED,
        pb.END_STATE_TERMINATED: TERMINATED,
        pb.END_STATE_FAILED: FAILED,
    }
)
_INSTANCE_FIELDS: Final = frozenset(("name", "business_key", "business_status"))
_TASK_FIELDS: Final = frozenset(
    (
        "name",
        "description",
        "assignee",
        "owner",
        "priority",
        "due_date",
        "category",
        "form_key",
        "parent_task_id",
        "claim_time",
        "tenant_id",
        "task_definition_key",
    )
)
_ACTIVITY_FIELDS: Final = MappingProxyType(
    {
        "called_process_instance_id": "called_instance_id",
        "task_id": "task_id",
        "assignee": "assignee",
        "element_id": "element_id",
        "element_name": "element_name",
        "element_type": "element_type",
    }
)


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
        found.append(reader(event.process_instance_id, own, getattr(event, str(kind))))
    return told.Told(
        root_id=envelope.root_instance_id or message.key,
        sequence=message.sequence,
        user_id=envelope.user_id,
        tenant_id=envelope.tenant_id,
        happenings=tuple(found),
    )


def _moment(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def typed_value(value: pb.TypedValue) -> tuple[str, Value]:
    """A variable's type and value; null is of the type null, whatever it was declared as."""
    kind = value.WhichOneof("value")
    if kind is None:
        return "null", None
    held = getattr(value, kind)
    if kind == "date_value":
        return value.type, _moment(held)
    if kind == "json_value":
        return value.type, msgspec.json.decode(held)
    return value.type, held


def _started(instance_id: str, at: datetime, e: pb.ProcessInstanceStarted) -> told.Happening:
    return told.InstanceStarted(
        instance_id=instance_id,
        at=at,
        definition_id=e.process_definition_id,
        definition_key=e.process_definition_key,
        definition_version=e.process_definition_version,
        definition_name=e.process_definition_name,
        definition_category=e.process_definition_category,
        deployment_id=e.deployment_id,
        tenant_id=e.tenant_id,
        name=e.name,
        business_key=e.business_key,
        business_status=e.business_status,
        start_user_id=e.start_user_id,
        start_activity_id=e.start_activity_id,
        super_instance_id=e.super_process_instance_id,
        super_execution_id=e.super_execution_id,
        callback_id=e.callback_id,
        callback_type=e.callback_type,
        reference_id=e.reference_id,
        reference_type=e.reference_type,
    )


def _ended(instance_id: str, at: datetime, e: pb.ProcessInstanceEnded) -> told.Happening:
    return told.InstanceEnded(
        instance_id=instance_id,
        at=at,
        state=_STATES.get(e.state, COMPLETED),
        end_activity_id=e.end_activity_id,
        delete_reason=e.delete_reason,
    )


def _suspended(instance_id: str, at: datetime, _: pb.ProcessInstanceSuspended) -> told.Happening:
    return told.InstanceStateChanged(instance_id=instance_id, at=at, state=SUSPENDED)


def _activated(instance_id: str, at: datetime, _: pb.ProcessInstanceActivated) -> told.Happening:
    return told.InstanceStateChanged(instance_id=instance_id, at=at, state=ACTIVE)


def _updated(instance_id: str, at: datetime, e: pb.ProcessInstanceUpdated) -> told.Happening:
    changes = {name: getattr(e, name) for name in e.changed_fields if name in _INSTANCE_FIELDS}
    return told.InstanceUpdated(instance_id=instance_id, at=at, changes=changes)


def _migrated(instance_id: str, at: datetime, e: pb.ProcessInstanceMigrated) -> told.Happening:
    return told.InstanceMigrated(
        instance_id=instance_id,
        at=at,
        definition_id=e.process_definition_id,
        definition_key=e.process_definition_key,
        definition_version=e.process_definition_version,
        definition_name=e.process_definition_name,
        definition_category=e.process_definition_category,
        deployment_id=e.deployment_id,
        element_ids=dict(e.element_ids),
    )


def _element_started(instance_id: str, at: datetime, e: pb.ElementStarted) -> told.Happening:
    return told.ActivityStarted(
        instance_id=instance_id,
        at=at,
        execution_id=e.execution_id,
        parent_id=e.parent_execution_id,
        element_id=e.element_id,
        element_name=e.element_name,
        element_type=e.element_type,
        task_id=e.task_id,
        called_instance_id=e.called_process_instance_id,
        assignee=e.assignee,
    )


def _element_updated(instance_id: str, at: datetime, e: pb.ElementUpdated) -> told.Happening:
    changes = {
        column: getattr(e, name)
        for name, column in _ACTIVITY_FIELDS.items()
        if e.HasField(name)  # type: ignore[arg-type]
    }
    return told.ActivityUpdated(instance_id=instance_id, at=at, execution_id=e.execution_id, changes=changes)


def _element_ended(instance_id: str, at: datetime, e: pb.ElementEnded) -> told.Happening:
    return told.ActivityEnded(
        instance_id=instance_id, at=at, execution_id=e.execution_id, canceled=e.canceled, reason=e.reason
    )


def _flow_taken(instance_id: str, at: datetime, e: pb.FlowTaken) -> told.Happening:
    return told.FlowTaken(instance_id=instance_id, at=at, passage_id=e.execution_id, flow_id=e.flow_id)


def _variable_set(instance_id: str, at: datetime, e: pb.VariableSet) -> told.Happening:
    type_name, value = typed_value(e.value)
    of_task = e.scope_kind == pb.SCOPE_KIND_TASK
    return told.VariableSet(
        instance_id=instance_id,
        at=at,
        variable_key=variable_key(e.scope_id, e.name),
        execution_id="" if of_task else e.scope_id,
        task_id=e.scope_id if of_task else "",
        name=e.name,
        type=type_name,
        value=value,
    )


def _variable_removed(instance_id: str, at: datetime, e: pb.VariableRemoved) -> told.Happening:
    of_task = e.scope_kind == pb.SCOPE_KIND_TASK
    return told.VariableRemoved(
        instance_id=instance_id,
        at=at,
        variable_key=variable_key(e.scope_id, e.name),
        execution_id="" if of_task else e.scope_id,
        task_id=e.scope_id if of_task else "",
        name=e.name,
    )


def _task_created(instance_id: str, at: datetime, e: pb.TaskCreated) -> told.Happening:
    return told.TaskCreated(
        instance_id=instance_id,
        at=at,
        task_id=e.task_id,
        execution_id=e.execution_id,
        definition_id=e.process_definition_id,
        task_definition_key=e.task_definition_key,
        name=e.name,
        description=e.description,
        assignee=e.assignee,
        owner=e.owner,
        priority=e.priority,
        due_date=_moment(e.due_date) if e.HasField("due_date") else None,
        category=e.category,
        form_key=e.form_key,
        parent_task_id=e.parent_task_id,
        tenant_id=e.tenant_id,
    )


def _task_updated(instance_id: str, at: datetime, e: pb.TaskUpdated) -> told.Happening:
    changes: dict[str, Value] = {}
    for name in e.changed_fields:
        if name not in _TASK_FIELDS:
            continue
        value: Any = getattr(e, name)
        if isinstance(value, Timestamp):
            value = _moment(value) if e.HasField(name) else None  # type: ignore[arg-type]
        changes[name] = value
    return told.TaskUpdated(instance_id=instance_id, at=at, task_id=e.task_id, changes=changes)


def _task_ended(instance_id: str, at: datetime, e: pb.TaskEnded) -> told.Happening:
    # A cancelled task without a reason is still told from a completed one: Flowable calls it deleted.
    reason = e.reason or ("deleted" if e.canceled else "")
    return told.TaskEnded(
        instance_id=instance_id,
        at=at,
        task_id=e.task_id,
        canceled=e.canceled,
        reason=reason,
        completed_by=e.completed_by,
        forgotten=e.history_deleted,
    )


def _link_added(instance_id: str, at: datetime, e: pb.IdentityLinkAdded) -> told.Happening:
    return told.LinkAdded(
        instance_id=instance_id,
        at=at,
        owner_id=e.scope_id,
        of_task=e.scope_kind == pb.SCOPE_KIND_TASK,
        kind=e.type,
        user_id=e.user_id,
        group_id=e.group_id,
    )


def _link_removed(instance_id: str, at: datetime, e: pb.IdentityLinkRemoved) -> told.Happening:
    return told.LinkRemoved(
        instance_id=instance_id,
        at=at,
        owner_id=e.scope_id,
        of_task=e.scope_kind == pb.SCOPE_KIND_TASK,
        kind=e.type,
        user_id=e.user_id,
        group_id=e.group_id,
    )


def _comment_added(instance_id: str, at: datetime, e: pb.CommentAdded) -> told.Happening:
    return told.CommentAdded(
        instance_id=instance_id,
        at=at,
        comment_id=e.comment_id,
        task_id=e.task_id,
        author=e.author,
        message=e.message,
        of_instance=e.of_process_instance,
    )


def _comment_removed(instance_id: str, at: datetime, e: pb.CommentRemoved) -> told.Happening:
    return told.CommentRemoved(instance_id=instance_id, at=at, comment_id=e.comment_id)


_READERS: Final[Mapping[str, Callable[[str, datetime, Any], told.Happening]]] = MappingProxyType(
    {
        "process_instance_started": _started,
        "process_instance_ended": _ended,
        "process_instance_suspended": _suspended,
        "process_instance_activated": _activated,
        "process_instance_updated": _updated,
        "process_instance_migrated": _migrated,
        "element_started": _element_started,
        "element_updated": _element_updated,
        "element_ended": _element_ended,
        "flow_taken": _flow_taken,
        "variable_set": _variable_set,
        "variable_removed": _variable_removed,
        "task_created": _task_created,
        "task_updated": _task_updated,
        "task_ended": _task_ended,
        "identity_link_added": _link_added,
        "identity_link_removed": _link_removed,
        "comment_added": _comment_added,
        "comment_removed": _comment_removed,
    }
)
