"""Requests about process instances and executions as commands of the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from flowloom.engine.v1 import process_instance_pb2
from flowloom.engine.v1 import runtime_service_pb2 as pb
from google.protobuf import struct_pb2

from engine.kernel import commands as cmd
from engine.kernel.commands import Command
from engine.kernel.values import Variable
from engine.rpc.errors import invalid_request
from engine.rpc.variables import read_typed, read_variables
from mesh.errors import Unimplemented

Migration: TypeAlias = pb.MigrateProcessInstanceRequest | pb.ValidateProcessInstanceMigrationRequest

_CLEARABLE: Final[Mapping[str, tuple[str, str | None]]] = {
    "name": ("name", ""),
    "businessKey": ("business_key", ""),
    "businessStatus": ("business_status", ""),
    "assignee": ("assignee", ""),
    "owner": ("owner", ""),
    "dueDate": ("due_date", None),
}
"""What `clear` may name, the kernel's field and what empties it."""
_ACTIONS: Final = ("suspend", "activate", "claim", "unclaim")


def update(request: pb.UpdateProcessInstanceRequest, user_id: str) -> Command:
    """Return the command of the action, or the one that changes the given fields.

    Raises InvalidArgument for an unknown action and where there is neither an action nor a field.
    """
    if request.action == "suspend":
        return cmd.SuspendInstance(user_id=user_id, instance_id=request.process_instance_id)
    if request.action == "activate":
        return cmd.ActivateInstance(user_id=user_id, instance_id=request.process_instance_id)
    if request.action == "claim":
        if not request.assignee:
            raise invalid_request("assignee", "expected the user who claims the process instance, found none")
        return cmd.ClaimInstance(user_id=user_id, instance_id=request.process_instance_id, assignee=request.assignee)
    if request.action == "unclaim":
        return cmd.ClaimInstance(user_id=user_id, instance_id=request.process_instance_id, assignee="")
    if request.action:
        raise invalid_request("action", f"expected an action of {', '.join(_ACTIONS)}, found '{request.action}'")
    new: dict[str, str | datetime | None] = {}
    for name in request.clear:
        if name not in _CLEARABLE:
            raise invalid_request("clear", f"expected a field of {', '.join(_CLEARABLE)}, found '{name}'")
        new[_CLEARABLE[name][0]] = _CLEARABLE[name][1]
    given = {descriptor.name: value for descriptor, value in request.ListFields()}
    new.update({field: given[field] for field, _ in _CLEARABLE.values() if field in given and field != "due_date"})
    if "due_date" in given:
        new["due_date"] = request.due_date.ToDatetime(UTC)
    if not new:
        raise invalid_request("action", "expected an action or a field to change, found neither")
    return cmd.UpdateInstance(user_id=user_id, instance_id=request.process_instance_id, changes=new)


def change_state(request: pb.ChangeProcessInstanceStateRequest, user_id: str) -> cmd.ChangeState:
    """Return the command. Raises InvalidArgument if nothing is to start or to cancel."""
    _require_moves(request.cancel_activity_ids, request.start_activity_ids)
    return cmd.ChangeState(
        user_id=user_id,
        instance_id=request.process_instance_id,
        cancel=list(request.cancel_activity_ids),
        start=list(request.start_activity_ids),
        variables=read_variables(request.variables),
        local_variables=read_variables(request.local_variables, "local_variables"),
    )


def change_execution_state(request: pb.ChangeExecutionStateRequest, instance_id: str, user_id: str) -> cmd.ChangeState:
    """Return the command that cancels the execution and starts elsewhere; `instance_id` is the execution's instance."""
    _require_moves(request.cancel_activity_ids, request.start_activity_ids)
    return cmd.ChangeState(
        user_id=user_id,
        instance_id=instance_id,
        cancel=list(request.cancel_activity_ids),
        start=list(request.start_activity_ids),
        cancel_executions=[request.execution_id],
    )


def migrate(request: Migration, user_id: str) -> cmd.MigrateInstance:
    """Return the command that migrates, or only validates, by the request's kind; its target is yet to be found."""
    return cmd.MigrateInstance(
        user_id=user_id,
        instance_id=request.process_instance_id,
        definition_id="",
        mappings=mappings(request.activity_mappings),
        validate_only=isinstance(request, pb.ValidateProcessInstanceMigrationRequest),
    )


def mappings(found: Iterable[process_instance_pb2.ActivityMapping]) -> dict[str, str]:
    """Return the new element id of each old one.

    Raises InvalidArgument for a mapping without a source or a target, or with two of either form.
    """
    by_source: dict[str, str] = {}
    for index, mapping in enumerate(found):
        field = f"activity_mappings[{index}]"
        sources = [mapping.from_activity_id] if mapping.from_activity_id else list(mapping.from_activity_ids)
        targets = [mapping.to_activity_id] if mapping.to_activity_id else list(mapping.to_activity_ids)
        if not sources or not targets:
            raise invalid_request(field, "expected a mapping from an activity to an activity, found one end of it only")
        if len(targets) > 1:
            raise not_offered(field, "a mapping to several activities")
        if mapping.new_assignee or mapping.local_variables:
            raise not_offered(field, "a new assignee or local variables in a mapping")
        by_source.update(dict.fromkeys(sources, targets[0]))
    return by_source


def plain_variables(values: Mapping[str, struct_pb2.Value], field: str) -> dict[str, Variable]:
    """Return values by name as variables of the types that they have by themselves."""
    return {name: read_typed("", value, name, field) for name, value in values.items()}


def execution_action(request: pb.ExecuteExecutionActionRequest, user_id: str) -> Command:
    """Return the command of Flowable's action. Raises InvalidArgument for an unknown action and a missing name."""
    variables = read_variables(request.variables)
    transient = read_variables(request.transient_variables, "transient_variables")
    if request.action in ("trigger", "signal"):
        return cmd.TriggerExecution(
            user_id=user_id,
            execution_id=request.execution_id,
            variables=variables,
            transient_variables=transient,
        )
    if request.action == "messageEventReceived":
        name = _name(request.message_name, "message_name")
        return cmd.DeliverMessage(
            user_id=user_id,
            execution_id=request.execution_id,
            name=name,
            variables=variables,
            transient_variables=transient,
        )
    if request.action == "signalEventReceived":
        name = _name(request.signal_name, "signal_name")
        return cmd.DeliverSignal(
            user_id=user_id,
            execution_id=request.execution_id,
            name=name,
            variables=variables,
            transient_variables=transient,
        )
    raise invalid_request(
        "action",
        f"expected an action of trigger, signal, signalEventReceived, messageEventReceived, found '{request.action}'",
    )


def add_link(request: pb.CreateProcessInstanceIdentityLinkRequest, user_id: str) -> cmd.AddIdentityLink:
    """Return the command. Raises InvalidArgument if there is no user or no type."""
    for field in ("user", "type"):
        if not getattr(request, field):
            raise invalid_request(field, f"expected a {field}, found none")
    return cmd.AddIdentityLink(
        user_id=user_id, instance_id=request.process_instance_id, kind=request.type, linked_user_id=request.user
    )


def remove_link(request: pb.DeleteProcessInstanceIdentityLinkRequest, user_id: str) -> cmd.RemoveIdentityLink:
    """Return the command that removes a user's link."""
    return cmd.RemoveIdentityLink(
        user_id=user_id, instance_id=request.process_instance_id, kind=request.type, linked_user_id=request.user
    )


def deletions(request: pb.BulkDeleteProcessInstancesRequest, user_id: str) -> list[cmd.DeleteInstance]:
    """Return one command for each instance. Raises InvalidArgument for another action than delete, and for no ids."""
    if request.action and request.action != "delete":
        raise invalid_request("action", f"expected action delete, found '{request.action}'")
    if not request.instance_ids:
        raise invalid_request("instance_ids", "expected the ids of one or more process instances, found none")
    return [
        cmd.DeleteInstance(user_id=user_id, instance_id=instance_id, reason=request.delete_reason)
        for instance_id in dict.fromkeys(request.instance_ids)
    ]


def not_offered(field: str, what: str) -> Unimplemented:
    """Return the refusal of a part of the contract that this engine knows and does not carry out."""
    return Unimplemented("not-offered", f"{what} is known but not offered here (field {field})", field=field)


def _require_moves(cancel: Iterable[str], start: Iterable[str]) -> None:
    if not list(cancel) and not list(start):
        raise invalid_request("start_activity_ids", "expected activities to cancel or to start, found neither")


def _name(given: str, field: str) -> str:
    if not given:
        raise invalid_request(field, f"expected a {field} for this action, found none")
    return given
