"""Each command asks the right RPC with what it was told, and prints the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import (
    deployment_pb2,
    job_pb2,
    management_service_pb2,
    process_definition_pb2,
    process_instance_pb2,
    repository_service_pb2,
    runtime_service_pb2,
    saga_service_pb2,
    task_pb2,
    task_service_pb2,
)
from flowloom.history.v1 import history_service_pb2
from flowloom.notify.v1 import delivery_pb2, notification_service_pb2

from mesh.errors import FailedPrecondition, NotFound
from mesh.testing.ports import free_port
from tests.host.cli.scripted_mesh import ScriptedMesh

Run = Callable[..., Any]


def test_deploy_sends_the_files_and_lists_the_definitions(
    flowloom: Run, scripted_mesh: ScriptedMesh, tmp_path: Path
) -> None:
    model = tmp_path / "leave.bpmn20.xml"
    model.write_bytes(b"<definitions/>")
    scripted_mesh.answers["CreateDeployment"] = deployment_pb2.Deployment(id="d1", name="leave.bpmn20.xml")
    scripted_mesh.answers["ListProcessDefinitions"] = repository_service_pb2.ListProcessDefinitionsResponse(
        data=[process_definition_pb2.ProcessDefinition(id="x", key="leave", version=3)]
    )

    result = flowloom("deploy", str(model))

    assert result.exit_code == 0, result.output
    assert result.output == "deployed d1\n  leave version 3\n"
    (_, request), (_, wanted) = scripted_mesh.asked
    assert [(each.name, each.bytes) for each in request.resources] == [("leave.bpmn20.xml", b"<definitions/>")]
    assert request.name == "leave.bpmn20.xml"
    assert request.request_id
    assert wanted.deployment_id == "d1"


def test_deploy_of_an_unknown_file_says_so_in_one_line(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    result = flowloom("deploy", "nowhere.bpmn")

    assert result.exit_code == 1
    assert result.stderr == "error: unreadable-file: expected to read nowhere.bpmn, found: No such file or directory\n"
    assert scripted_mesh.asked == []


def test_deploy_refuses_two_files_of_one_name(flowloom: Run, scripted_mesh: ScriptedMesh, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.bpmn").write_bytes(b"")

    result = flowloom("deploy", str(tmp_path / "a" / "x.bpmn"), str(tmp_path / "b" / "x.bpmn"))

    assert result.exit_code == 1
    assert "name-twice" in result.stderr
    assert scripted_mesh.asked == []


def test_definitions_shows_the_latest_versions_as_a_table(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListProcessDefinitions"] = repository_service_pb2.ListProcessDefinitionsResponse(
        data=[process_definition_pb2.ProcessDefinition(id="x", key="leave", version=3, name="Leave [draft]")], total=7
    )

    result = flowloom("definitions")

    assert result.exit_code == 0, result.output
    assert "leave" in result.output
    assert "Leave [draft]" in result.output
    assert "1 of 7 process definitions" in result.output
    assert scripted_mesh.asked[0][1].latest


def test_start_sends_typed_variables_and_prints_the_id(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["StartProcessInstance"] = process_instance_pb2.ProcessInstance(id="i1", state="active")

    result = flowloom("start", "leave", "-v", "days=3", "--variable", "who:string=7", "--business-key", "b")

    assert result.exit_code == 0, result.output
    assert result.output == "started i1 (active)\n"
    request = scripted_mesh.asked[0][1]
    assert request.process_definition_key == "leave"
    assert request.business_key == "b"
    assert [(each.name, each.type) for each in request.variables] == [("days", "integer"), ("who", "string")]
    assert not request.HasField("version")


def test_json_prints_one_document(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListTasks"] = task_service_pb2.ListTasksResponse(
        data=[task_pb2.Task(id="t1", name="Approve", priority=50)], total=1, size=50
    )

    result = flowloom("tasks", "--json", "--candidate-group", "managers")

    assert json.loads(result.output)["data"] == [{"id": "t1", "name": "Approve", "priority": 50}]
    assert scripted_mesh.asked[0][1].candidate_group == "managers"
    assert not scripted_mesh.asked[0][1].HasField("assignee")


def test_json_of_an_empty_list_has_its_data(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    result = flowloom("instances", "--json")

    assert json.loads(result.output)["data"] == []


def test_ended_instances_come_from_the_history(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListHistoricProcessInstances"] = history_service_pb2.ListHistoricProcessInstancesResponse(
        data=[history_service_pb2.HistoricProcessInstance(id="i1", state="completed", end_activity_id="theEnd")],
        total=1,
    )

    result = flowloom("instances", "--ended", "--key", "leave")

    assert "completed" in result.output
    assert "theEnd" in result.output
    assert scripted_mesh.asked[0][1].finished
    assert scripted_mesh.asked[0][1].process_definition_key == "leave"


def test_claim_with_a_user_claims_and_without_one_gives_back(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    taken = flowloom("claim", "t1", "maria")
    given_back = flowloom("claim", "t1")

    assert (taken.output, given_back.output) == ("maria has t1\n", "nobody has t1\n")
    assert [name for name, _ in scripted_mesh.asked] == ["ClaimTask", "UnclaimTask"]
    assert scripted_mesh.asked[0][1].assignee == "maria"


def test_complete_sends_variables_and_outcome(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    result = flowloom("complete", "t1", "--variables-json", '{"approved": true}', "--outcome", "granted")

    assert result.output == "completed t1\n"
    request = scripted_mesh.asked[0][1]
    assert (request.task_id, request.outcome) == ("t1", "granted")
    assert request.variables[0].value.bool_value is True


def test_message_tells_whether_it_started_or_was_delivered(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["CorrelateMessage"] = runtime_service_pb2.CorrelateMessageResponse(
        process_instance_id="i1", started=True
    )

    result = flowloom("message", "newOrder", "--business-key", "b")

    assert result.output == "started i1\n"
    assert scripted_mesh.asked[0][1].business_key == "b"


def test_signal_can_be_sent_by_jobs(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    result = flowloom("signal", "alarm", "--async")

    assert result.output == "sent alarm\n"
    assert getattr(scripted_mesh.asked[0][1], "async") is True


@pytest.mark.parametrize(
    ("kind", "asked_for"),
    [
        ("due", "jobs"),
        ("timer", "timer-jobs"),
        ("external", "external-worker-jobs"),
        ("dead", "deadletter-jobs"),
        ("suspended", "suspended-jobs"),
    ],
)
def test_jobs_are_listed_by_kind(flowloom: Run, scripted_mesh: ScriptedMesh, kind: str, asked_for: str) -> None:
    scripted_mesh.answers["ListJobs"] = management_service_pb2.ListJobsResponse(
        data=[job_pb2.Job(id="j1", exception_message="division by zero")], total=1
    )

    result = flowloom("jobs", "list", "--kind", kind)

    assert "division by zero" in result.output
    assert scripted_mesh.asked[0][1].kind == asked_for


def test_jobs_can_be_retried_executed_and_moved(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    results = [flowloom("jobs", word, "j1") for word in ("retry", "execute", "move")]

    assert [result.exit_code for result in results] == [0, 0, 0]
    assert [name for name, _ in scripted_mesh.asked] == ["MoveDeadLetterJob", "ExecuteJob", "MoveTimerJob"]
    assert scripted_mesh.asked[0][1].retries == 3


def test_sagas_are_listed_with_their_logs_and_operated(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListSagas"] = saga_service_pb2.ListSagasResponse(
        data=[saga_service_pb2.Saga(id="s1", state="COMPENSATED", error="out of paper")], total=1
    )
    scripted_mesh.answers["ListSagaLog"] = saga_service_pb2.ListSagaLogResponse(
        data=[saga_service_pb2.SagaLogEntry(number=1, step_id="archive", state="STARTED")], total=1
    )

    listed = flowloom("sagas", "list", "--state", "COMPENSATED")
    logged = flowloom("sagas", "log", "s1")
    results = [
        flowloom("sagas", "retry", "s1"),
        flowloom("sagas", "close", "s1", "--note", "by phone"),
        flowloom("sagas", "confirm", "s1", "archive", "--error", "no"),
    ]

    assert "out of paper" in listed.output
    assert "archive" in logged.output
    assert [result.exit_code for result in results] == [0, 0, 0]
    asked = dict(scripted_mesh.asked)
    assert (asked["ListSagas"].state, asked["ListSagas"].order) == ("COMPENSATED", "desc")
    assert asked["CloseSaga"].note == "by phone"
    assert (asked["ConfirmSagaStep"].step_id, asked["ConfirmSagaStep"].error) == ("archive", "no")
    assert all(asked[name].request_id for name in ("RetrySaga", "CloseSaga", "ConfirmSagaStep"))


def test_one_saga_is_printed_whole(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["GetSaga"] = saga_service_pb2.Saga(id="s1", state="COMPENSATED", error="out of paper")

    shown = json.loads(flowloom("sagas", "show", "s1").output)
    scripted_mesh.answers["GetSaga"] = NotFound("saga-not-found", "expected a saga, found none")
    unknown = flowloom("sagas", "show", "s2")

    assert (shown["id"], shown["error"]) == ("s1", "out of paper")
    assert unknown.stderr == "error: saga-not-found: expected a saga, found none\n"


def test_participants_are_registered_listed_and_taken_away(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["RegisterSagaParticipant"] = saga_service_pb2.SagaParticipant(id="p1")
    scripted_mesh.answers["ListSagaParticipants"] = saga_service_pb2.ListSagaParticipantsResponse(
        data=[saga_service_pb2.SagaParticipant(id="p1", name="archive")], total=1
    )

    results = [
        flowloom("sagas", "register", "archive", "--address", "localhost:9", "--definition", "leave"),
        flowloom("sagas", "participants"),
        flowloom("sagas", "unregister", "p1"),
    ]

    assert [result.exit_code for result in results] == [0, 0, 0]
    assert results[0].output == "registered archive as p1\n"
    assert "archive" in results[1].output
    asked = dict(scripted_mesh.asked)
    registered = asked["RegisterSagaParticipant"]
    assert (registered.target, registered.process_definition_key) == ("localhost:9", "leave")
    assert asked["UnregisterSagaParticipant"].participant_id == "p1"


def test_notifications_are_listed_newest_first_resent_and_cancelled(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListDeliveries"] = notification_service_pb2.ListDeliveriesResponse(
        data=[delivery_pb2.Delivery(id="d1", error="451 not now")], total=1
    )

    listed = flowloom("notifications", "list", "--state", "failed", "--recipient", "ada")
    results = [flowloom("notifications", word, "d1") for word in ("resend", "cancel")]

    assert "451 not now" in listed.output
    assert [result.exit_code for result in results] == [0, 0]
    (_, asked), *changes = scripted_mesh.asked
    assert (asked.state, asked.recipient, asked.order) == ("failed", "ada", "desc")
    assert [name for name, _ in changes] == ["ResendDelivery", "CancelDelivery"]
    assert all(request.delivery_id == "d1" and request.request_id for _, request in changes)


def test_migrate_goes_to_another_version_of_the_same_key(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["GetProcessInstance"] = process_instance_pb2.ProcessInstance(process_definition_key="leave")

    result = flowloom("migrate", "i1", "--to-version", "2", "--map", "a=b")

    assert result.output == "migrated i1\n"
    request = scripted_mesh.asked[1][1]
    assert (request.to_process_definition_key, request.to_process_definition_version) == ("leave", 2)
    assert request.activity_mappings[0].from_activity_id == "a"
    assert request.activity_mappings[0].to_activity_id == "b"


def test_a_migration_that_would_not_work_is_told_without_trying(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ValidateProcessInstanceMigration"] = (
        runtime_service_pb2.ValidateProcessInstanceMigrationResponse(
            validation_messages=["no element 'a' in version 2"]
        )
    )

    result = flowloom("migrate", "i1", "--to-key", "leave", "--dry-run")

    assert result.exit_code == 1
    assert result.stderr == "error: cannot-migrate: no element 'a' in version 2\n"
    assert [name for name, _ in scripted_mesh.asked] == ["ValidateProcessInstanceMigration"]


def test_check_ends_with_1_where_something_does_not_fit(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    finding = management_service_pb2.ConsistencyFinding(rule="task-without-token", message="expected a token")
    scripted_mesh.answers["CheckConsistency"] = management_service_pb2.CheckConsistencyResponse(
        instances_checked=4, findings=[finding]
    )

    result = flowloom("check")

    assert result.exit_code == 1
    assert "task-without-token" in result.output
    assert "1 findings in 4 instances" in result.output


def test_check_of_a_consistent_database_ends_with_0(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["CheckConsistency"] = management_service_pb2.CheckConsistencyResponse(
        consistent=True, instances_checked=4
    )

    result = flowloom("check")

    assert (result.exit_code, result.output) == (0, "consistent: 4 instances checked\n")


def test_a_refusal_is_one_line_with_its_reason(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ClaimTask"] = FailedPrecondition("task-claimed", "expected nobody to have t1,\nfound peter")

    result = flowloom("claim", "t1", "maria")

    assert result.exit_code == 1
    assert result.stderr == "error: task-claimed: expected nobody to have t1, found peter\n"
    assert result.stdout == ""


def test_an_error_that_is_no_refusal_is_one_line_too(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["ListTasks"] = grpc.StatusCode.INTERNAL

    result = flowloom("tasks")

    assert result.exit_code == 1
    assert result.stderr == "error: internal: as the test says\n"


def test_no_mesh_at_the_target_is_one_line(flowloom: Run) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    result = flowloom("tasks", "--target", nobody)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: unavailable: expected a mesh at {nobody}, found none that answers")
    assert result.stderr.count("\n") == 1


def test_not_found_keeps_its_reason(flowloom: Run, scripted_mesh: ScriptedMesh) -> None:
    scripted_mesh.answers["CompleteTask"] = NotFound("unknown-task", "expected a task t9, found none")

    result = flowloom("complete", "t9")

    assert result.stderr == "error: unknown-task: expected a task t9, found none\n"


def test_help_names_every_command(flowloom: Run) -> None:
    result = flowloom("--help")

    commands = (
        "up serve demo deploy definitions start instances tasks "
        "claim complete message signal jobs notifications migrate check"
    )
    assert [name for name in commands.split() if f" {name} " not in result.output] == []
