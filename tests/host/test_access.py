"""A whole mesh that checks access: logins of real users, whose rights change while they work."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flowloom.engine.v1 import form_data_service_pb2 as form_pb
from flowloom.engine.v1 import repository_service_pb2 as rp
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts
from flowloom.engine.v1.form_data_service_pb2_grpc import FormDataServiceStub
from flowloom.engine.v1.repository_service_pb2_grpc import RepositoryServiceStub
from flowloom.engine.v1.task_service_pb2_grpc import TaskServiceStub
from flowloom.history.v1 import history_service_pb2 as hs
from flowloom.history.v1.history_service_pb2_grpc import HistoryServiceStub
from flowloom.identity.v1 import access_service_pb2 as ac
from flowloom.identity.v1 import identity_service_pb2 as idm
from grpc_health.v1 import health_pb2, health_pb2_grpc

from host.embedded import EmbeddedMesh, MeshOptions
from mesh.access.service_tokens import ServiceTokens
from mesh.clock import SystemClock
from mesh.rpc_errors import refusal_in
from tests.bench.load import ONE_TASK, deploy
from tests.engine.forms.worlds import process
from tests.engine.rpc.world import variable
from tests.forms.worlds import form
from tests.host.enforced import QUICK, Mesh, Person, enforced_mesh

KEY = "a service key that only this test knows"


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with enforced_mesh(tmp_path, FLOWLOOM_ACCESS_SERVICE_KEY=KEY) as found:
        yield found


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as failed:
        refused = refusal_in(failed)
        return f"{failed.code().name} {refused.reason if refused is not None else failed.details()}"
    return "ok"


def list_tasks(person: Person) -> Any:
    return person.tasks.ListTasks(ts.ListTasksRequest())


async def test_a_user_works_with_what_they_may_and_loses_it_on_the_next_call(mesh: Mesh) -> None:
    admin = await mesh.log_in()
    password = await admin.make_user("kermit", "engine.task.read")
    kermit = await mesh.log_in("kermit", password)

    assert await outcome(list_tasks(kermit)) == "ok"
    assert await outcome(kermit.runtime.ListProcessInstances(rt.ListProcessInstancesRequest())) == (
        "PERMISSION_DENIED privilege-missing"
    )
    await admin.grant("kermit", "engine.process-instance.*")
    assert await outcome(kermit.runtime.ListProcessInstances(rt.ListProcessInstancesRequest())) == "ok"
    await admin.take("kermit", "engine.task.read")
    assert await outcome(list_tasks(kermit)) == "PERMISSION_DENIED privilege-missing"
    await admin.identity.DeleteUser(idm.DeleteUserRequest(user_id="kermit"))
    assert await outcome(list_tasks(kermit)) == "UNAUTHENTICATED token-invalid"


async def test_a_group_brings_its_privileges_and_its_tasks(mesh: Mesh) -> None:
    admin = await mesh.log_in()
    robin = await mesh.log_in("robin", await admin.make_user("robin"))
    assert await outcome(list_tasks(robin)) == "PERMISSION_DENIED privilege-missing"
    await admin.identity.CreateGroup(idm.CreateGroupRequest(id="frogs", name="Frogs"))
    privilege = await admin.identity.CreatePrivilege(idm.CreatePrivilegeRequest(name="engine.task.read"))
    await admin.identity.AddPrivilegeGroup(idm.AddPrivilegeGroupRequest(privilege_id=privilege.id, group_id="frogs"))
    task = await admin.tasks.CreateTask(ts.CreateTaskRequest(name="for frogs"))
    await admin.tasks.CreateTaskIdentityLink(
        ts.CreateTaskIdentityLinkRequest(task_id=task.id, group="frogs", type="candidate")
    )

    await admin.identity.CreateMembership(idm.CreateMembershipRequest(group_id="frogs", user_id="robin"))

    found = await robin.tasks.ListTasks(ts.ListTasksRequest())
    assert [each.name for each in found.data] == ["for frogs"]
    by_admin = await admin.tasks.ListTasks(ts.ListTasksRequest(candidate_user="robin"))
    assert [each.id for each in by_admin.data] == [task.id]


@pytest.mark.parametrize("user_id", ["x" * 300, "line\nbreak"])
async def test_of_an_id_that_no_user_can_have_there_is_nothing_to_do(mesh: Mesh, user_id: str) -> None:
    admin = await mesh.log_in()

    for wanted in (ts.ListTasksRequest(candidate_user=user_id), ts.ListTasksRequest(candidate_or_assigned=user_id)):
        assert list((await admin.tasks.ListTasks(wanted)).data) == []
    startable = rp.ListProcessDefinitionsRequest(startable_by_user=user_id)
    assert list((await RepositoryServiceStub(admin.channel).ListProcessDefinitions(startable)).data) == []


async def test_logging_out_and_disabling_end_a_session_on_the_next_call(mesh: Mesh) -> None:
    admin = await mesh.log_in()
    password = await admin.make_user("kermit", "engine.task.read")
    first, second = await mesh.log_in("kermit", password), await mesh.log_in("kermit", password)
    await list_tasks(first)

    await first.access.Logout(ac.LogoutRequest())
    assert await outcome(list_tasks(first)) == "UNAUTHENTICATED token-invalid"
    assert await outcome(list_tasks(second)) == "ok"
    await admin.identity.UpdateUser(idm.UpdateUserRequest(user_id="kermit", disabled=True))

    assert await outcome(list_tasks(second)) == "UNAUTHENTICATED token-invalid"


async def test_bad_tokens_are_refused_and_the_log_keeps_no_secret(mesh: Mesh, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    admin = await mesh.log_in()
    genuine = admin.session.access_token
    header = jwt.get_unverified_header(genuine)
    claims = jwt.decode(genuine, options={"verify_signature": False})
    mine = ec.generate_private_key(ec.SECP256R1())
    bad = {
        "alg none": jwt.encode(claims, None, algorithm="none", headers={"kid": header["kid"]}),
        "another key": jwt.encode(claims, mine, algorithm="ES256", headers={"kid": header["kid"]}),
        "unknown key": jwt.encode(claims, mine, algorithm="ES256", headers={"kid": "unknown"}),
        "service key, user's issuer": jwt.encode(claims, KEY, algorithm="HS256", headers={"kid": header["kid"]}),
        "cut": genuine[:-4],
        "text": "hunter2-hunter2-hunter2",
    }
    refresh = admin.session.refresh_token

    for name, token in {**bad, "a refresh token": refresh}.items():
        stub = TaskServiceStub(await mesh.channel(token))
        assert await outcome(stub.ListTasks(ts.ListTasksRequest())) == "UNAUTHENTICATED token-invalid", name
    assert await outcome(TaskServiceStub(await mesh.channel()).ListTasks(ts.ListTasksRequest())) == (
        "UNAUTHENTICATED token-missing"
    )

    logged = caplog.text + "\n".join(str(record.__dict__) for record in caplog.records)
    assert "refused" in logged
    for secret in (*bad.values(), genuine, refresh, KEY, QUICK["FLOWLOOM_IDENTITY_ADMIN_PASSWORD"]):
        assert secret not in logged
        assert secret.rpartition(".")[2][:24] not in logged or not secret.rpartition(".")[2]


async def test_a_service_of_the_mesh_is_let_in_by_the_shared_key(mesh: Mesh) -> None:
    tokens = ServiceTokens("notify", KEY, audience="flowloom", now=SystemClock().now)

    stub = TaskServiceStub(await mesh.channel(tokens.token()))

    assert await outcome(stub.ListTasks(ts.ListTasksRequest())) == "ok"


async def test_health_needs_no_token(mesh: Mesh) -> None:
    stub = health_pb2_grpc.HealthStub(await mesh.channel())

    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_tenant_is_kept_apart_in_the_engine_and_in_history(mesh: Mesh) -> None:
    admin = await mesh.log_in()
    people = {}
    for user, tenant in (("alice", "acme"), ("bob", "umbrella")):
        password = await admin.make_user(user, "engine.*", "history.*", tenant_id=tenant)
        people[user] = await mesh.log_in(user, password)
    alice, bob = people["alice"], people["bob"]
    await deploy(alice.channel, "one-task.bpmn20.xml", ONE_TASK)
    started = await alice.runtime.StartProcessInstance(rt.StartProcessInstanceRequest(process_definition_key="oneTask"))

    assert started.tenant_id == "acme"
    assert (
        await outcome(bob.runtime.GetProcessInstance(rt.GetProcessInstanceRequest(process_instance_id=started.id)))
        == "NOT_FOUND process-instance-not-found"
    )
    assert (
        await outcome(
            bob.runtime.StartProcessInstance(
                rt.StartProcessInstanceRequest(process_definition_key="oneTask", tenant_id="acme")
            )
        )
        == "PERMISSION_DENIED foreign-tenant"
    )
    request = hs.GetHistoricProcessInstanceRequest(process_instance_id=started.id)
    async with asyncio.timeout(30):
        # History follows on the bus; nobody announces that it has arrived.
        while await outcome(HistoryServiceStub(alice.channel).GetHistoricProcessInstance(request)) != "ok":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await outcome(HistoryServiceStub(bob.channel).GetHistoricProcessInstance(request))).startswith("NOT_FOUND")


async def test_off_is_refused_where_others_can_connect(tmp_path: Path) -> None:
    mesh = EmbeddedMesh(
        MeshOptions(data_directory=tmp_path, address="0.0.0.0", edge=False), {**QUICK, "FLOWLOOM_ACCESS_MODE": "off"}
    )

    with pytest.raises(RuntimeError, match="FLOWLOOM_ACCESS_MODE"):
        await mesh.start()
    await mesh.stop()


async def test_a_form_is_submitted_by_whoever_may_complete_its_task(mesh: Mesh) -> None:
    """The engine asks forms as itself: people need no privilege of forms, and nobody else's task opens its form."""
    admin = await mesh.log_in()
    # Not engine.task.*, which is also the privilege to manage everybody's.
    needed = (*(f"engine.task.{verb}" for verb in ("read", "claim", "complete")), "engine.process-instance.start")
    kermit = await mesh.log_in("kermit", await admin.make_user("kermit", *needed))
    gonzo = await mesh.log_in("gonzo", await admin.make_user("gonzo", *needed))
    await _deploy_with_form(admin)
    started = await kermit.runtime.StartProcessInstance(
        rt.StartProcessInstanceRequest(
            process_definition_key="leave",
            start_form_variables=[variable("reason", "sun", "string")],
            outcome="approve",
        )
    )
    found = await kermit.tasks.ListTasks(ts.ListTasksRequest(process_instance_id=started.id))
    (task,) = found.data
    await kermit.tasks.ClaimTask(ts.ClaimTaskRequest(task_id=task.id, assignee="kermit"))
    shown = form_pb.GetTaskFormRequest(task_id=task.id)

    assert await outcome(FormDataServiceStub(gonzo.channel).GetTaskForm(shown)) == "NOT_FOUND task-not-found"
    model = await FormDataServiceStub(kermit.channel).GetTaskForm(shown)
    complete = ts.CompleteTaskRequest(
        task_id=task.id,
        form_definition_id=model["id"],
        outcome="reject",
        variables=[variable("reason", "rain", "string"), variable("days", 3, "integer")],
        request_id="one-submission",
    )
    assert await outcome(gonzo.tasks.CompleteTask(complete)) == "NOT_FOUND task-not-found"
    assert await outcome(kermit.tasks.CompleteTask(complete)) == "ok"


async def _deploy_with_form(admin: Person) -> None:
    keyed = process(start="flowable:formKey='leave'", task="flowable:formKey='leave'")
    uploads = [
        rp.ResourceUpload(name="leave.bpmn20.xml", bytes=keyed.encode()),
        rp.ResourceUpload(name="form-leave.form", bytes=json.dumps(form()).encode()),
    ]
    await RepositoryServiceStub(admin.channel).CreateDeployment(rp.CreateDeploymentRequest(resources=uploads))
