"""Requests about tasks as commands of the kernel."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flowloom.engine.v1 import task_service_pb2 as pb
from flowloom.engine.v1 import variable_pb2
from google.protobuf import struct_pb2

from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.rpc import mapping_tasks as mapping
from mesh.access import Principal, acting_as
from mesh.errors import InvalidArgument, PermissionDenied


def variable(name: str, value: float, scope: str = "") -> variable_pb2.Variable:
    message = variable_pb2.Variable(name=name, value=struct_pb2.Value(number_value=value))
    if scope:
        message.scope = scope
    return message


def test_a_completion_parts_global_local_and_transient_variables() -> None:
    request = pb.CompleteTaskRequest(
        task_id="t",
        variables=[variable("a", 1), variable("b", 2, "local")],
        transient_variables=[variable("c", 3)],
        outcome="approved",
    )

    assert mapping.complete(request, "kermit") == cmd.CompleteTask(
        user_id="kermit",
        task_id="t",
        variables={"a": Variable("integer", 1)},
        local_variables={"b": Variable("integer", 2)},
        transient_variables={"c": Variable("integer", 3)},
        outcome="approved",
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.ExecuteTaskActionRequest(action="complete"), cmd.CompleteTask(task_id="t", user_id="u")),
        (
            pb.ExecuteTaskActionRequest(action="claim", assignee="kermit"),
            cmd.ClaimTask(task_id="t", user_id="u", assignee="kermit"),
        ),
        (pb.ExecuteTaskActionRequest(action="claim"), cmd.ClaimTask(task_id="t", user_id="u", assignee="")),
        (
            pb.ExecuteTaskActionRequest(action="unclaim", assignee="kermit"),
            cmd.ClaimTask(task_id="t", user_id="u", assignee=""),
        ),
        (
            pb.ExecuteTaskActionRequest(action="delegate", assignee="fozzie"),
            cmd.DelegateTask(task_id="t", user_id="u", assignee="fozzie"),
        ),
        (
            pb.ExecuteTaskActionRequest(action="resolve", variables=[variable("a", 1)]),
            cmd.ResolveTask(task_id="t", user_id="u", variables={"a": Variable("integer", 1)}),
        ),
    ],
)
def test_an_action_becomes_its_command(request_: pb.ExecuteTaskActionRequest, expected: cmd.Command) -> None:
    request_.task_id = "t"

    with acting_as(Principal(user_id="u", privileges=frozenset(("engine.task.*",)))):
        assert mapping.action(request_, "u") == expected


def test_an_action_needs_its_own_privilege() -> None:
    request = pb.ExecuteTaskActionRequest(task_id="t", action="complete")

    who = Principal(privileges=frozenset(("engine.task.act", "engine.task.claim")))
    with acting_as(who), pytest.raises(PermissionDenied) as refused:
        mapping.action(request, "u")

    assert refused.value.facts == {"privilege": "engine.task.complete"}


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="found 'finish'"):
        mapping.action(pb.ExecuteTaskActionRequest(task_id="t", action="finish"), "")


def test_a_delegation_needs_an_assignee() -> None:
    with pytest.raises(InvalidArgument, match="expected an assignee"):
        mapping.delegate(pb.DelegateTaskRequest(task_id="t"), "")


def test_only_the_fields_that_are_given_are_changed() -> None:
    request = pb.UpdateTaskRequest(task_id="t", name="", priority=0, delegation_state="pending", clear=["dueDate"])

    assert mapping.changes(request) == {"name": "", "priority": 0, "delegation": "pending", "due_at": None}


def test_a_due_date_is_a_moment_in_utc() -> None:
    request = pb.UpdateTaskRequest(task_id="t")
    request.due_date.FromJsonString("2026-02-03T10:00:00+02:00")

    assert mapping.changes(request) == {"due_at": datetime(2026, 2, 3, 8, tzinfo=UTC)}


def test_an_unknown_name_in_clear_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="found 'priority'"):
        mapping.changes(pb.UpdateTaskRequest(task_id="t", clear=["priority"]))


def test_a_wrong_delegation_state_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="pending or resolved, found 'open'"):
        mapping.changes(pb.CreateTaskRequest(delegation_state="open"))


def test_a_bulk_update_needs_task_ids() -> None:
    with pytest.raises(InvalidArgument, match="one or more tasks"):
        mapping.updates(pb.BulkUpdateTasksRequest(name="n"), "")


@pytest.mark.parametrize("given", [{}, {"user": "kermit", "group": "frogs"}])
def test_a_link_is_to_a_user_or_to_a_group(given: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="either a user or a group"):
        mapping.add_link(pb.CreateTaskIdentityLinkRequest(task_id="t", type="candidate", **given), "")


def test_a_family_that_is_neither_users_nor_groups_is_refused() -> None:
    request = pb.DeleteTaskIdentityLinkRequest(task_id="t", family="robots", identity_id="r", type="candidate")

    with pytest.raises(InvalidArgument, match="users or groups, found 'robots'"):
        mapping.remove_link(request, "")
