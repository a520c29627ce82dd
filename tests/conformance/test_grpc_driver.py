"""The gRPC face is asked by its stubs, and its errors become refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from flowloom.engine.v1 import (
    execution_pb2,
    identity_link_pb2,
    job_pb2,
    process_instance_pb2,
    runtime_service_pb2,
    task_pb2,
    task_service_pb2,
    variable_pb2,
)
from google.protobuf import struct_pb2

from mesh.errors import NotFound
from tests.conformance.driver import Refused, Start, Waiting, WorkerJob
from tests.conformance.grpc_driver import GrpcDriver
from tests.host.cli.scripted_mesh import ScriptedMesh, running_scripted_mesh


@pytest.fixture
def scripted() -> Iterator[ScriptedMesh]:
    with running_scripted_mesh() as mesh:
        yield mesh


@pytest.fixture
async def driver(scripted: ScriptedMesh) -> AsyncIterator[GrpcDriver]:
    asking = GrpcDriver(scripted.target)
    yield asking
    await asking.close()


async def test_a_start_carries_what_is_given_and_nothing_else(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["StartProcessInstance"] = process_instance_pb2.ProcessInstance(id="i1")

    assert await driver.start(Start(key="K", variables={"a": {"b": 1}})) == "i1"

    request = scripted.asked[0][1]
    assert (request.process_definition_key, request.HasField("message")) == ("K", False)
    assert request.variables[0].type == "json"
    assert request.variables[0].value.struct_value.fields["b"].number_value == 1


async def test_tasks_become_values(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["ListTasks"] = task_service_pb2.ListTasksResponse(
        data=[task_pb2.Task(id="t", name="A", task_definition_key="k", priority=60)]
    )

    (found,) = await driver.tasks("i1", deep=True)

    assert (found.id, found.name, found.key, found.priority, found.assignee) == ("t", "A", "k", 60, None)
    assert scripted.asked[0][1].process_instance_id_with_children == "i1"


async def test_streams_are_gathered(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["ListProcessInstanceVariables"] = [
        variable_pb2.Variable(name="a", type="long", value=struct_pb2.Value(string_value="9007199254740993")),
        variable_pb2.Variable(name="n", type="null", value=struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)),
    ]
    scripted.answers["ListTaskIdentityLinks"] = [
        identity_link_pb2.IdentityLink(user="u", type="candidate"),
        identity_link_pb2.IdentityLink(group="g", type="candidate"),
        identity_link_pb2.IdentityLink(user="x", type="assignee"),
    ]

    assert await driver.variables("i1") == {"a": 9007199254740993, "n": None}
    assert await driver.candidates("t") == (["u"], ["g"])


async def test_called_instances_leave_out_the_caller(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["ListProcessInstances"] = runtime_service_pb2.ListProcessInstancesResponse(
        data=[process_instance_pb2.ProcessInstance(id="i1"), process_instance_pb2.ProcessInstance(id="i2")]
    )

    assert await driver.called_instances("i1", deep=True) == ["i2"]
    assert scripted.asked[0][1].root_process_instance_id == "i1"


async def test_only_executions_that_wait_are_asked_for(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["ListExecutions"] = runtime_service_pb2.ListExecutionsResponse(
        data=[execution_pb2.Execution(id="e", activity_id="a", waiting=True)]
    )

    assert await driver.waiting("i1", deep=False) == [Waiting(execution_id="e", activity_id="a")]
    assert scripted.asked[0][1].waiting is True


async def test_jobs_are_acquired_one_at_a_time(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["AcquireJobs"] = [job_pb2.ExternalWorkerJob(id="j", lock_token="l")]

    assert await driver.acquire("t") == WorkerJob(id="j", lock_token="l")
    assert scripted.asked[0][1].number_of_tasks == 1


async def test_errors_become_refusals_and_not_found_can_be_none(scripted: ScriptedMesh, driver: GrpcDriver) -> None:
    scripted.answers["CompleteTask"] = NotFound("unknown-task", "expected a task, found none")
    scripted.answers["GetProcessInstance"] = NotFound("unknown-instance", "gone")

    with pytest.raises(Refused, match="NOT_FOUND: expected a task, found none"):
        await driver.complete("t", {}, local=False, outcome=None)
    assert await driver.instance("i1") is None
