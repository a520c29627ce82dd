"""Requests about tasks as commands of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec
from flowloom.engine.v1 import task_service_pb2 as pb
from google.protobuf import timestamp_pb2

from engine.app.form_submissions import TaskSubmission
from engine.app.queries import TaskView
from engine.app.standalone import Deletion
from engine.kernel import commands as cmd
from engine.kernel.commands import Command
from engine.kernel.state import Task
from engine.rpc.context import tenant_asked
from engine.rpc.errors import invalid_request
from engine.rpc.mapping_lists import task
from engine.rpc.variables import GLOBAL, read_scoped, read_variables
from mesh.access import current_principal

Change: TypeAlias = str | int | datetime | None
TaskFields: TypeAlias = pb.UpdateTaskRequest | pb.BulkUpdateTasksRequest | pb.CreateTaskRequest

COMPLETE: Final = "complete"
DELEGATION_STATES: Final = ("pending", "resolved")
_TEXTS: Final = MappingProxyType(
    {
        "name": "name",
        "description": "description",
        "assignee": "assignee",
        "owner": "owner",
        "parent_task_id": "parent_task_id",
        "category": "category",
        "form_key": "form_key",
        "delegation_state": "delegation",
        "tenant_id": "tenant_id",
    }
)
"""Fields of the contract that are text, and what the kernel calls them."""

_CLEARABLE: Final[Mapping[str, tuple[str, Change]]] = MappingProxyType(
    {
        "name": ("name", ""),
        "description": ("description", ""),
        "assignee": ("assignee", ""),
        "owner": ("owner", ""),
        "dueDate": ("due_at", None),
        "parentTaskId": ("parent_task_id", ""),
        "category": ("category", ""),
        "formKey": ("form_key", ""),
        "delegationState": ("delegation", ""),
        "tenantId": ("tenant_id", ""),
    }
)
"""What `clear` may name (JSON names), the kernel's field and what empties it."""


def complete(request: pb.CompleteTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> cmd.CompleteTask:
    """Return the command; variables are global unless they say local. Raises InvalidArgument for a bad variable."""
    globals_, locals_ = read_scoped(request.variables, GLOBAL) if request.variables else ({}, {})
    transient = request.transient_variables
    return cmd.CompleteTask(
        user_id=user_id,
        task_id=request.task_id,
        variables=globals_,
        local_variables=locals_,
        transient_variables=read_variables(transient, "transient_variables") if transient else {},
        outcome=request.outcome,
    )


def submission(request: pb.CompleteTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> TaskSubmission | None:
    """Return the completion with a form; None without one. Raises InvalidArgument for a bad variable."""
    if not request.form_definition_id:
        return None
    globals_, locals_ = read_scoped(request.variables, GLOBAL)
    return TaskSubmission(
        task_id=request.task_id,
        form_definition_id=request.form_definition_id,
        outcome=request.outcome,
        values={**globals_, **locals_},
        transient_variables=read_variables(request.transient_variables, "transient_variables"),
        user_id=user_id,
        request_id=request.request_id,
    )


def claim(request: pb.ClaimTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> cmd.ClaimTask:
    """Return the command; an absent assignee unclaims, as in Flowable."""
    return cmd.ClaimTask(user_id=user_id, task_id=request.task_id, assignee=request.assignee)


def unclaim(request: pb.UnclaimTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> cmd.ClaimTask:
    """Return the command that takes the assignee away."""
    return cmd.ClaimTask(user_id=user_id, task_id=request.task_id, assignee="")


def delegate(request: pb.DelegateTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> cmd.DelegateTask:
    """Return the command. Raises InvalidArgument if no assignee is given."""
    if not request.assignee:
        raise invalid_request("assignee", "expected an assignee to delegate the task to, found none")
    return cmd.DelegateTask(user_id=user_id, task_id=request.task_id, assignee=request.assignee)


def resolve(request: pb.ResolveTaskRequest | pb.ExecuteTaskActionRequest, user_id: str) -> cmd.ResolveTask:
    """Return the command. The process does not go on by it, so transient variables are checked and have no effect."""
    read_variables(request.transient_variables, "transient_variables")
    return cmd.ResolveTask(user_id=user_id, task_id=request.task_id, variables=read_variables(request.variables))


def assign(request: pb.AssignTaskRequest, user_id: str) -> cmd.UpdateTask:
    """Return the command that sets the assignee, whoever had the task before."""
    return cmd.UpdateTask(user_id=user_id, task_id=request.task_id, changes={"assignee": request.assignee})


_ACTIONS: Final[Mapping[str, Callable[[pb.ExecuteTaskActionRequest, str], Command]]] = MappingProxyType(
    {COMPLETE: complete, "claim": claim, "unclaim": unclaim, "delegate": delegate, "resolve": resolve}
)


_PRIVILEGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "complete": "engine.task.complete",
        "claim": "engine.task.claim",
        "unclaim": "engine.task.claim",
        "delegate": "engine.task.delegate",
        "resolve": "engine.task.delegate",
    }
)
"""The privileges of the methods that do the same."""


def action(request: pb.ExecuteTaskActionRequest, user_id: str) -> Command:
    """Return the command of Flowable's action.

    Raises InvalidArgument for an unknown one, PermissionDenied without the privilege of the action.
    """
    build = _ACTIONS.get(request.action)
    if build is None:
        raise invalid_request("action", f"expected an action of {', '.join(_ACTIONS)}, found '{request.action}'")
    current_principal().require(_PRIVILEGES[request.action])
    return build(request, user_id)


def changes(request: TaskFields) -> dict[str, Change]:
    """Return the new values of the fields that are given, by the kernel's names.

    Raises InvalidArgument for a wrong delegation state and for an unknown name in `clear`.
    """
    found: dict[str, Change] = {}
    if not isinstance(request, pb.CreateTaskRequest):
        found.update(_cleared(request.clear))
    for descriptor, value in request.ListFields():
        name = _TEXTS.get(descriptor.name)
        if name is not None:
            found[name] = value
    if request.HasField("priority"):
        found["priority"] = request.priority
    if request.HasField("due_date"):
        found["due_at"] = moment(request.due_date)
    if found.get("delegation") and found["delegation"] not in DELEGATION_STATES:
        raise invalid_request(
            "delegation_state",
            f"expected a delegation state of {' or '.join(DELEGATION_STATES)}, found '{found['delegation']}'",
        )
    if isinstance(found.get("tenant_id"), str):
        found["tenant_id"] = tenant_asked(str(found["tenant_id"]))
    return found


def update(request: pb.UpdateTaskRequest, user_id: str) -> cmd.UpdateTask:
    """Return the command that changes the given fields of one task."""
    return cmd.UpdateTask(user_id=user_id, task_id=request.task_id, changes=changes(request))


def updates(request: pb.BulkUpdateTasksRequest, user_id: str) -> list[cmd.UpdateTask]:
    """Return one command for each task. Raises InvalidArgument if there is none."""
    if not request.task_ids:
        raise invalid_request("task_ids", "expected the ids of one or more tasks, found none")
    new = changes(request)
    return [
        cmd.UpdateTask(user_id=user_id, task_id=task_id, changes=new) for task_id in dict.fromkeys(request.task_ids)
    ]


def deletion(request: pb.DeleteTaskRequest) -> Deletion:
    """Return which standalone task is to be deleted, and how."""
    return Deletion(task_id=request.task_id, reason=request.delete_reason, forget=request.cascade_history)


def add_link(request: pb.CreateTaskIdentityLinkRequest, user_id: str) -> cmd.AddIdentityLink:
    """Return the command. Raises InvalidArgument unless there are a type and either a user or a group."""
    if not request.type:
        raise invalid_request("type", "expected the type of the link, found none")
    if bool(request.user) == bool(request.group):
        found = "both" if request.user else "neither"
        raise invalid_request("user", f"expected either a user or a group, found {found}")
    return cmd.AddIdentityLink(
        user_id=user_id,
        task_id=request.task_id,
        kind=request.type,
        linked_user_id=request.user,
        linked_group_id=request.group,
    )


def remove_link(request: pb.DeleteTaskIdentityLinkRequest, user_id: str) -> cmd.RemoveIdentityLink:
    """Return the command. Raises InvalidArgument for an unknown family."""
    is_user = is_family_of_users(request.family)
    return cmd.RemoveIdentityLink(
        user_id=user_id,
        task_id=request.task_id,
        kind=request.type,
        linked_user_id=request.identity_id if is_user else "",
        linked_group_id="" if is_user else request.identity_id,
    )


def is_family_of_users(family: str) -> bool:
    """Tell users from groups. Raises InvalidArgument for any other word."""
    if family not in ("users", "groups"):
        raise invalid_request("family", f"expected family users or groups, found '{family}'")
    return family == "users"


def moment(found: timestamp_pb2.Timestamp) -> datetime:
    """Return a timestamp as an aware moment in UTC."""
    return found.ToDatetime(tzinfo=UTC)


def _cleared(names: Iterable[str]) -> dict[str, Change]:
    found: dict[str, Change] = {}
    for name in names:
        emptied = _CLEARABLE.get(name)
        if emptied is None:
            raise invalid_request("clear", f"expected a field of {', '.join(_CLEARABLE)}, found '{name}'")
        found[emptied[0]] = emptied[1]
    return found


def new_task(request: pb.CreateTaskRequest) -> Task:
    """Return a standalone task that is yet to be kept. Raises InvalidArgument for a wrong delegation state."""
    # The store gives the id and the moment.
    blank = Task(
        id="", instance_id="", execution_id="", element_id="", name="", created_at=datetime.fromtimestamp(0, UTC)
    )
    return msgspec.structs.replace(blank, **{"tenant_id": tenant_asked(""), **changes(request)})


def bulk_updated(found: Sequence[TaskView]) -> pb.BulkUpdateTasksResponse:
    """Return the changed tasks in Flowable's envelope."""
    return pb.BulkUpdateTasksResponse(data=[task(view) for view in found], total=len(found), size=len(found))
