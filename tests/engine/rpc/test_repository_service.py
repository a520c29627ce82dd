"""RepositoryService over the in-process channel, on a real repository and read side."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import repository_service_pb2 as pb
from flowloom.engine.v1.repository_service_pb2_grpc import (
    RepositoryServiceStub,
    add_RepositoryServiceServicer_to_server,
)
from google.api import httpbody_pb2
from google.protobuf import json_format

from engine.rpc.repository_service import RepositoryService
from engine.storage.queries import SqlQueries
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import refusal_in
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.engine.app.repositories import World, bpmn, database_at, process, sqlite_database, world_on
from tests.engine.app.test_deployments_files import SHAPES

ACTIVE, SUSPENDED = False, True


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("MariaDB is not installed")
    with running_mariadb() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "sqlite":
        with sqlite_database() as database:
            yield world_on(database)
    else:
        with database_at(request.getfixturevalue("mariadb").create_database()) as database:
            yield world_on(database)


@pytest.fixture
async def stub(world: World) -> AsyncIterator[RepositoryServiceStub]:
    queries = SqlQueries(world.database, world.definitions.compiled, world.clock)
    server = LocalServer()
    servicer = RepositoryService(world.deployments, world.changes, world.definitions, queries)
    add_RepositoryServiceServicer_to_server(servicer, GuardedServer([server]))
    await server.start()
    yield RepositoryServiceStub(LocalChannel(server))
    await server.stop(None)
    queries.close()


def form(*parts: tuple[str, str, bytes]) -> httpbody_pb2.HttpBody:
    """A multipart body of (field, file name or '', bytes)."""
    data = b""
    for field, file_name, content in parts:
        more = f'; filename="{file_name}"' if file_name else ""
        data += f'--B\r\nContent-Disposition: form-data; name="{field}"{more}\r\n\r\n'.encode() + content + b"\r\n"
    return httpbody_pb2.HttpBody(content_type="multipart/form-data; boundary=B", data=data + b"--B--\r\n")


def json(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(message)
    return found


async def refused(call: Any) -> tuple[str, str]:
    """The code and reason with which a call fails."""
    with pytest.raises(grpc.aio.AioRpcError) as found:
        if hasattr(call, "__aiter__"):
            _ = [one async for one in call]
        else:
            await call
    refusal = refusal_in(found.value)
    assert refusal is not None
    return found.value.code().name, refusal.reason


async def deploy(stub: RepositoryServiceStub, *keys: str, **more: Any) -> Any:
    """Deploy one file with processes that have shapes."""
    data = bpmn(*(process(key) for key in keys or ("leave",)), SHAPES)
    request = pb.CreateDeploymentRequest(resources=[pb.ResourceUpload(name="m.bpmn20.xml", bytes=data)], **more)
    return await stub.CreateDeployment(request)


async def only(stub: RepositoryServiceStub, **filters: Any) -> Any:
    """The one definition that passes the filters."""
    listed = await stub.ListProcessDefinitions(pb.ListProcessDefinitionsRequest(**filters))
    (found,) = listed.data
    return found


# --- deployments ------------------------------------------------------------------------------------------------------


async def test_a_deployment_is_told_as_it_is(world: World, stub: RepositoryServiceStub) -> None:
    created = await deploy(stub, name="Leave", key="k", category="c", tenant_id="t")

    assert json(created) == {
        "id": created.id,
        "name": "Leave",
        "deploymentTime": "2026-01-01T12:00:00Z",
        "key": "k",
        "category": "c",
        "tenantId": "t",
    }
    assert await stub.GetDeployment(pb.GetDeploymentRequest(deployment_id=created.id)) == created
    assert "name" not in json(await deploy(stub))


async def test_deployments_are_listed_in_flowables_envelope(stub: RepositoryServiceStub) -> None:
    for name in ("b", "a", "c"):
        await deploy(stub, name=name)

    listed = await stub.ListDeployments(pb.ListDeploymentsRequest(name_like="%", sort="name", size=2))
    rest = await stub.ListDeployments(pb.ListDeploymentsRequest(name="c"))

    assert [found.name for found in listed.data] == ["a", "b"]
    assert (listed.total, listed.start, listed.sort, listed.order, listed.size) == (3, 0, "name", "asc", 2)
    assert [found.name for found in rest.data] == ["c"]
    assert (await refused(stub.ListDeployments(pb.ListDeploymentsRequest(sort="x"))))[0] == "INVALID_ARGUMENT"


async def test_a_broken_model_is_an_invalid_argument(stub: RepositoryServiceStub) -> None:
    bad = pb.ResourceUpload(name="bad.bpmn", bytes=bpmn("<process id='p'><unknown id='x'/></process>"))

    assert await refused(stub.CreateDeployment(pb.CreateDeploymentRequest(resources=[bad]))) == (
        "INVALID_ARGUMENT",
        "invalid-model",
    )
    assert (await stub.ListDeployments(pb.ListDeploymentsRequest())).total == 0


async def test_a_file_is_uploaded_as_a_form(stub: RepositoryServiceStub) -> None:
    data = bpmn(process()) + b"<!-- \r\n-B \r\n -->\r\n"
    body = form(("tenantId", "", b"t"), ("anything", "leave.bpmn20.xml", data))

    named = await stub.UploadDeployment(pb.UploadDeploymentRequest(file=body, deployment_name="N", deployment_key="K"))
    unnamed = await stub.UploadDeployment(pb.UploadDeploymentRequest(file=body, tenant_id="other"))

    assert (named.name, named.key, named.tenant_id) == ("N", "K", "t")
    assert (unnamed.name, unnamed.tenant_id) == ("leave", "other")
    wanted = pb.GetDeploymentResourceDataRequest(deployment_id=named.id, resource_name="leave.bpmn20.xml")
    found = await stub.GetDeploymentResourceData(wanted)
    assert (found.content_type, found.data) == ("text/xml", data)


async def test_a_file_named_by_its_field_is_taken(stub: RepositoryServiceStub) -> None:
    body = form(("leave.bpmn", "blob", bpmn(process())))

    assert (await stub.UploadDeployment(pb.UploadDeploymentRequest(file=body))).name == "leave"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(), "invalid-request"),
        (form(("a", "", b"x")), "invalid-request"),
        (form(("a", "a.bpmn", b"x"), ("b", "b.bpmn", b"x")), "invalid-request"),
        (form(("a", "a.txt", b"x")), "invalid-request"),
        (httpbody_pb2.HttpBody(content_type="application/json", data=b"{}"), "not-multipart"),
        (form(("a", "a.zip", b"x")), "invalid-archive"),
    ],
)
async def test_a_form_that_is_not_one_model_is_refused(
    stub: RepositoryServiceStub, body: httpbody_pb2.HttpBody, reason: str
) -> None:
    request = pb.UploadDeploymentRequest(file=body)

    assert await refused(stub.UploadDeployment(request)) == ("INVALID_ARGUMENT", reason)


async def test_resources_are_listed_by_name_with_the_picture(stub: RepositoryServiceStub) -> None:
    created = await deploy(stub)
    of_it = {"deployment_id": created.id}

    listed = [json(found) async for found in stub.ListDeploymentResources(pb.ListDeploymentResourcesRequest(**of_it))]
    one = await stub.GetDeploymentResource(pb.GetDeploymentResourceRequest(**of_it, resource_id="m.bpmn20.xml"))

    path = f"/process-api/repository/deployments/{created.id}/resourcedata"
    assert listed == [
        {
            "id": "m.bpmn20.xml",
            "contentUrl": f"{path}/m.bpmn20.xml",
            "mediaType": "text/xml",
            "type": "processDefinition",
        },
        {
            "id": "m.leave.svg",
            "contentUrl": f"{path}/m.leave.svg",
            "mediaType": "image/svg+xml",
            "type": "resource",
        },
    ]
    assert json(one) == listed[0]


async def test_a_deployment_with_instances_needs_cascade(world: World, stub: RepositoryServiceStub) -> None:
    created = await deploy(stub)
    world.instances.add(world.definition_id())

    first = await refused(stub.DeleteDeployment(pb.DeleteDeploymentRequest(deployment_id=created.id)))
    await stub.DeleteDeployment(
        pb.DeleteDeploymentRequest(deployment_id=created.id, cascade=True), metadata=(("x-user", "kermit"),)
    )

    assert first == ("FAILED_PRECONDITION", "deployment-in-use")
    assert world.instances.states() == {}
    assert [command.user_id for command in world.instances.commands] == ["kermit"]


async def test_unknown_ids_are_not_found(stub: RepositoryServiceStub) -> None:
    created = await deploy(stub)
    of_it: dict[str, Any] = {"deployment_id": created.id}
    unknown: dict[str, Any] = {"process_definition_id": "x"}
    links: dict[str, Any] = {**unknown, "family": "users", "identity_id": "a"}
    calls = [
        stub.GetDeployment(pb.GetDeploymentRequest(deployment_id="x")),
        stub.DeleteDeployment(pb.DeleteDeploymentRequest(deployment_id="x")),
        stub.ListDeploymentResources(pb.ListDeploymentResourcesRequest(deployment_id="x")),
        stub.GetDeploymentResource(pb.GetDeploymentResourceRequest(**of_it, resource_id="x")),
        stub.GetDeploymentResourceData(pb.GetDeploymentResourceDataRequest(**of_it, resource_name="x")),
        stub.GetProcessDefinition(pb.GetProcessDefinitionRequest(**unknown)),
        stub.UpdateProcessDefinition(pb.UpdateProcessDefinitionRequest(**unknown, action="suspend")),
        stub.UpdateProcessDefinition(pb.UpdateProcessDefinitionRequest(**unknown, category="c")),
        stub.GetProcessDefinitionResourceData(pb.GetProcessDefinitionResourceDataRequest(**unknown)),
        stub.GetProcessDefinitionImage(pb.GetProcessDefinitionImageRequest(**unknown)),
        stub.GetProcessDefinitionModel(pb.GetProcessDefinitionModelRequest(**unknown)),
        stub.ListProcessDefinitionIdentityLinks(pb.ListProcessDefinitionIdentityLinksRequest(**unknown)),
        stub.CreateProcessDefinitionIdentityLink(pb.CreateProcessDefinitionIdentityLinkRequest(**unknown, user="a")),
        stub.GetProcessDefinitionIdentityLink(pb.GetProcessDefinitionIdentityLinkRequest(**links)),
        stub.DeleteProcessDefinitionIdentityLink(pb.DeleteProcessDefinitionIdentityLinkRequest(**links)),
    ]

    assert [(await refused(call))[0] for call in calls] == ["NOT_FOUND"] * len(calls)


# --- definitions ------------------------------------------------------------------------------------------------------


async def test_a_definition_is_told_as_it_is(world: World, stub: RepositoryServiceStub) -> None:
    created = await deploy(stub)

    found = await only(stub, key="leave", latest=True)

    assert json(found) == {
        "id": world.definition_id(),
        "key": "leave",
        "version": 1,
        "name": "Leave",
        "deploymentId": created.id,
        "resource": "m.bpmn20.xml",
        "diagramResource": "m.leave.svg",
        "category": "tests",
        "graphicalNotationDefined": True,
    }
    assert await stub.GetProcessDefinition(pb.GetProcessDefinitionRequest(process_definition_id=found.id)) == found


async def test_a_definition_gives_its_model_picture_and_file(stub: RepositoryServiceStub) -> None:
    await deploy(stub)
    of_it = {"process_definition_id": (await only(stub)).id}

    model = json(await stub.GetProcessDefinitionModel(pb.GetProcessDefinitionModelRequest(**of_it)))
    picture = await stub.GetProcessDefinitionImage(pb.GetProcessDefinitionImageRequest(**of_it))
    file = await stub.GetProcessDefinitionResourceData(pb.GetProcessDefinitionResourceDataRequest(**of_it))

    assert [(found["id"], found["type"]) for found in model["flowElements"]] == [
        ("start", "startEvent"),
        ("task", "userTask"),
    ]
    assert (picture.content_type, picture.data[:4]) == ("image/svg+xml", b"<svg")
    assert (file.content_type, file.data) == ("text/xml", bpmn(process(), SHAPES))


async def test_a_definition_without_a_picture_says_so(stub: RepositoryServiceStub) -> None:
    resource = pb.ResourceUpload(name="m.bpmn", bytes=bpmn(process()))
    await stub.CreateDeployment(pb.CreateDeploymentRequest(resources=[resource]))
    found = await only(stub)

    call = stub.GetProcessDefinitionImage(pb.GetProcessDefinitionImageRequest(process_definition_id=found.id))

    assert (await refused(call))[0] == "INVALID_ARGUMENT"
    assert not found.graphical_notation_defined


async def test_a_definition_is_suspended_and_activated(stub: RepositoryServiceStub) -> None:
    await deploy(stub)
    definition_id = (await only(stub)).id

    def update(action: str) -> Any:
        request = pb.UpdateProcessDefinitionRequest(process_definition_id=definition_id, action=action)
        return stub.UpdateProcessDefinition(request)

    assert (await update("suspend")).suspended is SUSPENDED
    assert await refused(update("suspend")) == ("ALREADY_EXISTS", "already-suspended")
    assert (await only(stub, suspended=True)).id == definition_id
    assert (await update("activate")).suspended is ACTIVE
    assert await refused(update("activate")) == ("ALREADY_EXISTS", "already-active")
    assert await refused(update("stop")) == ("INVALID_ARGUMENT", "invalid-request")
    assert await refused(update("")) == ("INVALID_ARGUMENT", "invalid-request")


async def test_a_definition_is_suspended_at_a_date(world: World, stub: RepositoryServiceStub) -> None:
    await deploy(stub)
    definition_id = (await only(stub)).id
    request = pb.UpdateProcessDefinitionRequest(process_definition_id=definition_id, action="suspend")
    request.date.FromDatetime(world.clock.now() + timedelta(hours=1))

    at_once = await stub.UpdateProcessDefinition(request)
    world.clock.advance(timedelta(hours=2))
    await world.changes.run_due()

    assert at_once.suspended is ACTIVE
    assert (await only(stub)).suspended is SUSPENDED


async def test_a_date_beyond_the_calendar_is_refused(stub: RepositoryServiceStub) -> None:
    request = pb.UpdateProcessDefinitionRequest(process_definition_id="x", action="suspend")
    request.date.seconds = 10**15

    assert (await refused(stub.UpdateProcessDefinition(request)))[0] == "INVALID_ARGUMENT"


async def test_a_category_is_changed(stub: RepositoryServiceStub) -> None:
    await deploy(stub)
    request = pb.UpdateProcessDefinitionRequest(process_definition_id=(await only(stub)).id, category="new")

    assert (await stub.UpdateProcessDefinition(request)).category == "new"
    assert (await only(stub, category="new")).category == "new"


async def test_candidate_starters_are_links_of_the_definition(stub: RepositoryServiceStub) -> None:
    await deploy(stub)
    of_it = {"process_definition_id": (await only(stub)).id}
    add, take = stub.CreateProcessDefinitionIdentityLink, stub.DeleteProcessDefinitionIdentityLink

    created = await add(pb.CreateProcessDefinitionIdentityLinkRequest(**of_it, user="kermit"))
    await add(pb.CreateProcessDefinitionIdentityLinkRequest(**of_it, group="managers"))
    wanted = pb.GetProcessDefinitionIdentityLinkRequest(**of_it, family="groups", identity_id="managers")
    group = await stub.GetProcessDefinitionIdentityLink(wanted)
    startable = await only(stub, startable_by_user="kermit")
    await take(pb.DeleteProcessDefinitionIdentityLinkRequest(**of_it, family="users", identity_id="kermit"))
    left = stub.ListProcessDefinitionIdentityLinks(pb.ListProcessDefinitionIdentityLinksRequest(**of_it))

    assert json(created) == {"user": "kermit", "type": "candidate"}
    assert json(group) == {"group": "managers", "type": "candidate"}
    assert startable.id == of_it["process_definition_id"]
    assert [json(found) async for found in left] == [json(group)]
    nobody = add(pb.CreateProcessDefinitionIdentityLinkRequest(**of_it))
    assert (await refused(nobody))[0] == "INVALID_ARGUMENT"
    unknown = take(pb.DeleteProcessDefinitionIdentityLinkRequest(**of_it, family="cats", identity_id="x"))
    assert (await refused(unknown))[0] == "INVALID_ARGUMENT"
