"""What happened in one command, as the bus carries it: the kernel's events as `flowloom.events.v1.CommandEvents`.

Histories hear of what they can show. Left out are the kernel's own notes: queued continuations, frames and totals of
multi-instance activities, records kept for compensation.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
from flowloom.events.v1 import events_pb2 as pb

from engine.app.sagas.state import StepRequested
from engine.kernel import events as ev
from engine.kernel import values
from engine.kernel.state import ASYNC, COMPLETED, EXTERNAL, FAILED, HTTP, TERMINATED, TIMER

_STATES: Final = {
    COMPLETED: pb.END_STATE_COMPLETED,
    TERMINATED: pb.END_STATE_TERMINATED,
    FAILED: pb.END_STATE_FAILED,
}
_JOB_KINDS: Final = {ASYNC: "jobs", HTTP: "jobs", TIMER: "timer-jobs", EXTERNAL: "external-worker-jobs"}
_TASK_FIELDS: Final = {
    "name": "name",
    "description": "description",
    "assignee": "assignee",
    "owner": "owner",
    "priority": "priority",
    "due_at": "due_date",
    "category": "category",
    "form_key": "form_key",
    "parent_task_id": "parent_task_id",
    "delegation": "delegation_state",
    "claimed_at": "claim_time",
    "tenant_id": "tenant_id",
    "element_id": "task_definition_key",
}
_INSTANCE: Final = pb.SCOPE_KIND_PROCESS_INSTANCE
_EXECUTION: Final = pb.SCOPE_KIND_EXECUTION
_TASK: Final = pb.SCOPE_KIND_TASK
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_BOUND: Final = 2**63
_TELLS_LATER: Final = frozenset(("userTask", "callActivity"))
_json: Final = msgspec.json.Encoder()

Fields = dict[str, Any]


def encode_events(
    root_id: str,
    command_id: str,
    tenant: str,
    at: datetime,
    events: Iterable[ev.Event],
    *,
    sequence: int = 0,
    user_id: str = "",
) -> bytes:
    """The events of one command on one tree as serialised `CommandEvents`.

    `at` is the time of the command (UTC); an event tells its own only if it differs. `sequence` may stay 0 where the
    outbox numbers its rows. Raises KeyError for a kind of event that nobody taught it.
    """
    envelope = pb.CommandEvents(
        command_id=command_id,
        sequence=sequence,
        root_instance_id=root_id,
        tenant_id=tenant,
        user_id=user_id or None,
        occurred_at=cast("Any", _time(at)),  # a message takes its fields as a mapping too
    )
    add = envelope.events.add
    started: dict[str, Any] = {}
    for event in events:
        kind, fields_of = _ENCODERS[type(event)]
        fields = fields_of(event)
        if fields is None:
            continue
        own = getattr(event, "at", at)
        message = add(
            process_instance_id=event.instance_id or None,
            occurred_at=_time(own) if own is not at and own != at else None,
            **{kind: fields},
        )
        if kind == "element_started":
            if fields["element_type"] in _TELLS_LATER:
                started[fields["execution_id"]] = message.element_started
        elif kind in _COMPLETES_ELEMENT:
            _complete_element(event, started, add)
        elif kind in _NAMED_BY_POSITION:
            _name(message, kind, f"{command_id}/{len(envelope.events) - 1}")
    return envelope.SerializeToString()


_COMPLETES_ELEMENT: Final = frozenset(("task_created", "task_updated", "process_instance_started"))
_NAMED_BY_POSITION: Final = frozenset(("flow_taken", "incident_raised"))


def _complete_element(event: Any, started: dict[str, Any], add: Callable[..., Any]) -> None:
    """Tell what an element instance did not know when it began: its task, its assignee, the instance that it called."""
    if type(event) is ev.TaskCreated:
        owner, known = event.execution_id, {"task_id": event.task_id, "assignee": event.assignee or None}
        instance_id = event.instance_id
    elif type(event) is ev.TaskUpdated:
        if "assignee" not in event.changes:
            return
        owner, known = event.execution_id, {"assignee": event.changes["assignee"] or ""}
        instance_id = event.instance_id
    else:
        owner, known = event.super_execution_id, {"called_process_instance_id": event.instance_id}
        instance_id = event.super_instance_id
    if not owner:
        return
    element = started.get(owner)
    if element is None:
        add(process_instance_id=instance_id, element_updated={"execution_id": owner, **known})
        return
    for name, value in known.items():
        if value is not None:
            setattr(element, name, value)


def _name(message: Any, kind: str, event_id: str) -> None:
    """A passage and an incident have no id in the kernel: theirs is the id of the event."""
    if kind == "flow_taken":
        message.flow_taken.execution_id = event_id
    else:
        message.incident_raised.incident_id = event_id


def _time(at: datetime) -> Fields:
    since = at - _EPOCH
    return {"seconds": since.days * 86400 + since.seconds, "nanos": since.microseconds * 1000}


def _maybe_time(at: datetime | None) -> Fields | None:
    return None if at is None else _time(at)


def _typed(kind: str, value: Any) -> Fields:
    """A `TypedValue`. The declared type says which field; a value that is not of it (null, say) keeps its own."""
    if value is None:
        return {"type": kind if kind != values.JSON else values.NULL}
    if kind == values.STRING:
        return {"type": kind, "string_value": value}
    if kind in (values.INTEGER, values.LONG):
        if -_LONG_BOUND <= value < _LONG_BOUND:
            return {"type": kind, "long_value": value}
        return {"type": kind, "json_value": str(value)}
    if kind == values.BOOLEAN:
        return {"type": kind, "boolean_value": value}
    if kind == values.DOUBLE:
        return {"type": kind, "double_value": value}
    if kind == values.DATE:
        return {"type": kind, "date_value": _time(_moment(value))}
    if kind == values.BINARY:
        return {"type": kind, "binary_value": value}
    return {"type": kind, "json_value": _json.encode(value).decode()}


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _nothing(event: ev.Event) -> None:
    del event


def _instance_started(event: ev.ProcessInstanceStarted) -> Fields:
    return {
        "process_definition_id": event.definition_id,
        "process_definition_key": event.definition_key,
        "process_definition_version": event.definition_version,
        "process_definition_name": event.definition_name or None,
        "tenant_id": event.tenant_id,
        "name": event.name or None,
        "business_key": event.business_key or None,
        "business_status": event.business_status or None,
        "start_user_id": event.start_user_id or None,
        "start_activity_id": event.start_element_id or None,
        "super_process_instance_id": event.super_instance_id or None,
        "super_execution_id": event.super_execution_id or None,
        "callback_id": event.callback_id or None,
        "callback_type": event.callback_type or None,
        "reference_id": event.reference_id or None,
        "reference_type": event.reference_type or None,
    }


def _instance_ended(event: ev.ProcessInstanceEnded) -> Fields:
    return {
        "state": _STATES[event.state],
        "end_activity_id": event.end_element_id or None,
        "delete_reason": event.reason or None,
    }


def _instance_updated(event: ev.ProcessInstanceUpdated) -> Fields:
    fields: Fields = {"changed_fields": list(event.changes)}
    for name, value in event.changes.items():
        fields[name] = _time(value) if isinstance(value, datetime) else value or None
    return fields


def _instance_migrated(event: ev.ProcessInstanceMigrated) -> Fields:
    return {
        "process_definition_id": event.definition_id,
        "process_definition_key": event.definition_key,
        "process_definition_version": event.definition_version,
        "process_definition_name": event.definition_name or None,
        "element_ids": event.elements,
    }


def _empty(event: ev.Event) -> Fields:
    del event
    return {}


def _element_started(event: ev.ElementStarted) -> Fields | None:
    if event.body:
        return None
    return {
        "execution_id": event.execution_id,
        "element_id": event.element_id,
        "element_type": event.element_type,
        "element_name": event.element_name or None,
        "parent_execution_id": event.parent_id if event.parent_id != event.instance_id else None,
        "loop_counter": event.loop_counter,
    }


def _element_ended(event: ev.ElementEnded) -> Fields:
    return {
        "execution_id": event.execution_id,
        "element_id": event.element_id,
        "canceled": event.canceled,
        "reason": event.reason or None,
    }


def _flow_taken(event: ev.FlowTaken) -> Fields:
    return {"flow_id": event.flow_id}


def _scope_kind(event: ev.VariableSet | ev.VariableRemoved) -> Any:
    """Whose variable it is; only a standalone task has some without a process instance."""
    if not event.instance_id:
        return _TASK
    return _INSTANCE if event.scope_id == event.instance_id else _EXECUTION


def _variable_set(event: ev.VariableSet) -> Fields:
    return {
        "scope_kind": _scope_kind(event),
        "scope_id": event.scope_id,
        "name": event.name,
        "value": _typed(event.type, event.value),
        "created": event.created,
    }


def _variable_removed(event: ev.VariableRemoved) -> Fields:
    return {
        "scope_kind": _scope_kind(event),
        "scope_id": event.scope_id,
        "name": event.name,
    }


def _task_created(event: ev.TaskCreated) -> Fields:
    return {
        "task_id": event.task_id,
        "execution_id": event.execution_id or None,
        "process_definition_id": event.definition_id or None,
        "task_definition_key": event.element_id or None,
        "name": event.name or None,
        "description": event.description or None,
        "assignee": event.assignee or None,
        "owner": event.owner or None,
        "priority": event.priority,
        "due_date": _maybe_time(event.due_at),
        "category": event.category or None,
        "form_key": event.form_key or None,
        "parent_task_id": event.parent_task_id or None,
        "tenant_id": event.tenant_id,
    }


def _task_updated(event: ev.TaskUpdated) -> Fields | None:
    fields: Fields = {"task_id": event.task_id}
    changed: list[str] = []
    for name, value in event.changes.items():
        field = _TASK_FIELDS.get(name)
        if field is None:
            continue
        changed.append(field)
        fields[field] = _time(value) if isinstance(value, datetime) else None if value == "" else value
    fields["changed_fields"] = changed
    return fields if changed else None


def _task_ended(event: ev.TaskEnded) -> Fields:
    return {
        "task_id": event.task_id,
        "canceled": event.canceled,
        "reason": event.reason or None,
        "completed_by": event.completed_by or None,
        "history_deleted": event.forget,
    }


def _identity_link(event: ev.IdentityLinkAdded | ev.IdentityLinkRemoved) -> Fields:
    return {
        "scope_kind": _TASK if event.task_id else _INSTANCE,
        "scope_id": event.task_id or event.instance_id,
        "user_id": event.user_id or None,
        "group_id": event.group_id or None,
        "type": event.kind,
    }


def _job_scheduled(event: ev.JobScheduled) -> Fields:
    return {
        "job_id": event.job_id,
        "kind": _JOB_KINDS[event.kind],
        "handler_type": event.handler,
        "execution_id": event.execution_id or None,
        "element_id": event.element_id or None,
        "due_date": _time(event.due_at),
        "retries": event.retries,
        "topic": event.topic or None,
    }


def _job_changed(event: ev.JobChanged) -> Fields | None:
    """Only a failed attempt is told; leases, parked results and an operator's changes are the engine's own."""
    if not event.changes.get("error"):
        return None
    return {
        "job_id": event.job_id,
        "retries": event.changes.get("retries", 0),
        "error_message": event.changes["error"],
        "due_date": _maybe_time(event.changes.get("due_at")),
    }


def _job_ended(event: ev.JobEnded) -> Fields:
    return {"job_id": event.job_id, "executed": not event.canceled}


def _subscription_opened(event: ev.SubscriptionOpened) -> Fields:
    return {
        "subscription_id": event.subscription_id,
        "event_type": event.kind,
        "event_name": event.name,
        "execution_id": event.execution_id or None,
        "element_id": event.element_id or None,
    }


def _subscription_closed(event: ev.SubscriptionClosed) -> Fields:
    return {"subscription_id": event.subscription_id}


def _incident_raised(event: ev.IncidentRaised) -> Fields:
    return {
        "reason": event.kind,
        "message": event.message,
        "execution_id": event.execution_id or None,
        "element_id": event.element_id or None,
        "job_id": event.job_id or None,
    }


def _signal_thrown(event: ev.SignalThrown) -> Fields:
    return {"signal_name": event.name}


def _message_thrown(event: ev.MessageThrown) -> Fields:
    return {"message_name": event.name}


def _comment_added(event: ev.CommentAdded) -> Fields:
    return {
        "comment_id": event.comment_id,
        "task_id": event.task_id,
        "author": event.author or None,
        "message": event.message,
        "of_process_instance": event.of_instance,
    }


def _comment_removed(event: ev.CommentRemoved) -> Fields:
    return {"comment_id": event.comment_id, "task_id": event.task_id}


def _saga_step_requested(event: StepRequested) -> Fields:
    return {
        "saga_id": event.saga_id,
        "saga_name": event.saga_name,
        "step_id": event.step_id,
        "step_name": event.step_name,
        "action": event.action,
        "attempt": event.attempt,
        "topic": event.topic,
        "tenant_id": event.tenant_id,
        "data": _json.encode(event.data).decode(),
    }


_ENCODERS: Final[dict[type[ev.Event], tuple[str, Callable[[Any], Fields | None]]]] = {
    ev.ProcessInstanceStarted: ("process_instance_started", _instance_started),
    ev.ProcessInstanceEnded: ("process_instance_ended", _instance_ended),
    ev.ProcessInstanceSuspended: ("process_instance_suspended", _empty),
    ev.ProcessInstanceActivated: ("process_instance_activated", _empty),
    ev.ProcessInstanceUpdated: ("process_instance_updated", _instance_updated),
    ev.ProcessInstanceMigrated: ("process_instance_migrated", _instance_migrated),
    ev.ElementQueued: ("", _nothing),
    ev.ElementStarted: ("element_started", _element_started),
    ev.ElementEnded: ("element_ended", _element_ended),
    ev.FlowTaken: ("flow_taken", _flow_taken),
    ev.LoopStarted: ("", _nothing),
    ev.VariableSet: ("variable_set", _variable_set),
    ev.VariableRemoved: ("variable_removed", _variable_removed),
    ev.TaskCreated: ("task_created", _task_created),
    ev.TaskUpdated: ("task_updated", _task_updated),
    ev.TaskEnded: ("task_ended", _task_ended),
    ev.IdentityLinkAdded: ("identity_link_added", _identity_link),
    ev.IdentityLinkRemoved: ("identity_link_removed", _identity_link),
    ev.JobScheduled: ("job_scheduled", _job_scheduled),
    ev.JobChanged: ("job_failed", _job_changed),
    ev.JobEnded: ("job_removed", _job_ended),
    ev.SubscriptionOpened: ("subscription_opened", _subscription_opened),
    ev.SubscriptionClosed: ("subscription_closed", _subscription_closed),
    ev.RecordKept: ("", _nothing),
    ev.RecordDropped: ("", _nothing),
    ev.SignalThrown: ("signal_thrown", _signal_thrown),
    ev.MessageThrown: ("message_thrown", _message_thrown),
    ev.IncidentRaised: ("incident_raised", _incident_raised),
    ev.CommentAdded: ("comment_added", _comment_added),
    ev.CommentRemoved: ("comment_removed", _comment_removed),
    StepRequested: ("saga_step_requested", _saga_step_requested),
}
"""By kernel event: the field of `Event.kind`, and what makes its content (None: histories do not hear of it)."""
