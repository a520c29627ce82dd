"""Requests about process instances and executions as commands of the kernel."""

from __future__ import annotations

import pytest
from flowloom.engine.v1 import process_instance_pb2, variable_pb2
from flowloom.engine.v1 import runtime_service_pb2 as pb
from google.protobuf import struct_pb2

from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from engine.rpc import mapping_instances as mapping
from mesh.errors import DomainError, InvalidArgument, Unimplemented

ONE = variable_pb2.Variable(name="a", value=struct_pb2.Value(number_value=1))


def test_only_the_fields_of_an_instance_that_are_given_are_changed() -> None:
    request = pb.UpdateProcessInstanceRequest(process_instance_id="p", name="n", clear=["businessKey", "dueDate"])

    assert mapping.update(request, "u") == cmd.UpdateInstance(
        user_id="u", instance_id="p", changes={"name": "n", "business_key": "", "due_date": None}
    )


@pytest.mark.parametrize(("action", "given", "assignee"), [("claim", "kermit", "kermit"), ("unclaim", "kermit", "")])
def test_an_instance_is_claimed_and_unclaimed_by_an_action(action: str, given: str, assignee: str) -> None:
    request = pb.UpdateProcessInstanceRequest(process_instance_id="p", action=action, assignee=given)

    assert mapping.update(request, "u") == cmd.ClaimInstance(user_id="u", instance_id="p", assignee=assignee)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, InvalidArgument),
        ({"action": "stop"}, InvalidArgument),
        ({"clear": ["state"]}, InvalidArgument),
        ({"action": "claim"}, InvalidArgument),
    ],
)
def test_an_update_that_cannot_be_done_is_refused(given: dict[str, str], kind: type[DomainError]) -> None:
    with pytest.raises(kind):
        mapping.update(pb.UpdateProcessInstanceRequest(process_instance_id="p", **given), "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"action": "trigger"}, cmd.TriggerExecution(execution_id="e", variables={"a": Variable("integer", 1)})),
        ({"action": "signal"}, cmd.TriggerExecution(execution_id="e", variables={"a": Variable("integer", 1)})),
        (
            {"action": "messageEventReceived", "message_name": "m"},
            cmd.DeliverMessage(execution_id="e", name="m", variables={"a": Variable("integer", 1)}),
        ),
        (
            {"action": "signalEventReceived", "signal_name": "s"},
            cmd.DeliverSignal(execution_id="e", name="s", variables={"a": Variable("integer", 1)}),
        ),
    ],
)
def test_an_action_on_an_execution_becomes_its_command(given: dict[str, str], expected: cmd.Command) -> None:
    request = pb.ExecuteExecutionActionRequest(execution_id="e", variables=[ONE], **given)  # type: ignore[arg-type]

    assert mapping.execution_action(request, "") == expected


@pytest.mark.parametrize("action", ["", "wake", "messageEventReceived", "signalEventReceived"])
def test_an_unknown_action_and_one_without_its_name_are_refused(action: str) -> None:
    with pytest.raises(InvalidArgument):
        mapping.execution_action(pb.ExecuteExecutionActionRequest(execution_id="e", action=action), "")


def test_several_sources_may_go_to_one_target() -> None:
    found = [
        process_instance_pb2.ActivityMapping(from_activity_ids=["a", "b"], to_activity_id="c"),
        process_instance_pb2.ActivityMapping(from_activity_id="d", to_activity_ids=["e"]),
    ]

    assert mapping.mappings(found) == {"a": "c", "b": "c", "d": "e"}


def test_a_mapping_without_a_target_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="one end"):
        mapping.mappings([process_instance_pb2.ActivityMapping(from_activity_id="a")])


def test_a_mapping_to_several_targets_is_known_and_not_offered() -> None:
    with pytest.raises(Unimplemented):
        mapping.mappings([process_instance_pb2.ActivityMapping(from_activity_id="a", to_activity_ids=["b", "c"])])


def test_a_change_of_state_needs_a_start_or_a_cancellation() -> None:
    with pytest.raises(InvalidArgument, match="found neither"):
        mapping.change_state(pb.ChangeProcessInstanceStateRequest(process_instance_id="p"), "")


def test_each_instance_is_deleted_once() -> None:
    request = pb.BulkDeleteProcessInstancesRequest(action="delete", instance_ids=["p", "q", "p"], delete_reason="r")

    assert mapping.deletions(request, "u") == [
        cmd.DeleteInstance(user_id="u", instance_id="p", reason="r"),
        cmd.DeleteInstance(user_id="u", instance_id="q", reason="r"),
    ]
