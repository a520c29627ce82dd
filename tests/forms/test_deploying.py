"""Deployments of forms: versions, tenants, all or none, and those that come with a deployment of the engine."""

import asyncio
import json
from datetime import timedelta

import pytest
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as pb
from google.api import httpbody_pb2

from forms.model.limits import FormLimits
from mesh.errors import Status
from tests.forms.worlds import World, form, plain, refused, resource, violations


async def definitions(world: World, **filters: object) -> list[form_pb2.FormDefinition]:
    request = pb.ListFormDefinitionsRequest(sort="version", **filters)  # type: ignore[arg-type]
    return [*(await world.repository.ListFormDefinitions(request)).data]


async def test_each_deployment_is_the_next_version_of_its_key_in_its_tenant(world: World) -> None:
    await world.deploy(form(), form("other"))
    await world.deploy(form(name="Newer"))
    await world.deploy(form(), tenant_id="acme")

    assert [(each.version, each.name) for each in await definitions(world, key="leave", without_tenant_id=True)] == [
        (1, "Leave"),
        (2, "Newer"),
    ]
    assert [each.version for each in await definitions(world, key="leave", tenant_id="acme")] == [1]
    assert [each.version for each in await definitions(world, key="leave", latest=True, without_tenant_id=True)] == [2]


async def test_deployments_that_come_together_get_versions_of_their_own(world: World) -> None:
    await asyncio.gather(*(world.deploy(form()) for _ in range(5)))

    assert [each.version for each in await definitions(world, key="leave")] == [1, 2, 3, 4, 5]


async def test_what_was_deployed_can_be_read_back(world: World) -> None:
    model = form(fields=[{"id": "a", "type": "text", "value": "${start}"}])
    deployment = await world.deploy(model, name="leave forms", category="hr")
    (found,) = await definitions(world)

    assert (deployment.name, deployment.category, deployment.state) == ("leave forms", "hr", "deployed")
    assert (found.key, found.deployment_id, found.resource_name) == ("leave", deployment.id, "0.form")
    got = await world.repository.GetFormDefinition(pb.GetFormDefinitionRequest(form_definition_id=found.id))
    assert got == found
    request = pb.GetFormDefinitionModelRequest(form_definition_id=found.id)
    assert plain(await world.repository.GetFormDefinitionModel(request)) == {
        **model,
        "id": found.id,
        "version": 1.0,
        "outcomes": model["outcomes"],
    }
    data = pb.GetFormDefinitionResourceDataRequest(form_definition_id=found.id)
    assert json.loads((await world.repository.GetFormDefinitionResourceData(data)).data) == model
    of_deployment = pb.GetFormDeploymentResourceDataRequest(deployment_id=deployment.id, resource_name="0.form")
    assert (await world.repository.GetFormDeploymentResourceData(of_deployment)).content_type == "application/json"


async def test_a_repeated_request_gets_the_first_answer(world: World) -> None:
    first = await world.deploy(form(), request_id="r1")
    again = await world.deploy(form(), request_id="r1")

    assert again == first
    assert len(await definitions(world)) == 1
    request = pb.DeleteFormDeploymentRequest(deployment_id=first.id, request_id="r1")
    assert (await refused(world.repository.DeleteFormDeployment(request))).reason == "request-id-reused"


async def test_wrong_models_are_refused_as_a_whole_with_file_and_field(world: World) -> None:
    bad = form("bad", fields=[{"id": "a", "type": "hologram"}, {"id": "b", "type": "text", "maxLength": -1}])

    refusal = await refused(world.deploy(form(), bad, form()))

    assert refusal.status is Status.INVALID_ARGUMENT
    assert set(violations(refusal)) == {
        "resources.1.form.fields.a",
        "resources.1.form.fields.b.maxLength",
        "resources.2.form.key",
    }
    assert "1.form.fields.a" in refusal.message
    assert await definitions(world) == []


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ([], "no-resource"),
        ([resource(form(), "leave.txt")], "invalid-form"),
        ([resource(form()), resource(form("other"))], "invalid-form"),
        ([resource(form(), f"{n}.form") for n in range(6)], "deployment-too-large"),
        ([resource(form("x" * 300))], "invalid-form"),
    ],
)
async def test_bad_deployments_are_refused(tmp_path: object, resources: object, reason: str) -> None:
    world = World(f"sqlite:///{tmp_path}/forms.db", limits=FormLimits(deployment_forms=5))
    await world.start()
    try:
        request = pb.CreateFormDeploymentRequest(resources=resources)  # type: ignore[arg-type]
        assert (await refused(world.repository.CreateFormDeployment(request))).reason == reason
    finally:
        await world.stop()


async def test_a_file_can_be_uploaded(small_world: World) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="leave.form"\r\n\r\n'
        + json.dumps(form()).encode()
        + b'\r\n--b\r\nContent-Disposition: form-data; name="tenantId"\r\n\r\nacme\r\n--b--\r\n'
    )
    file = httpbody_pb2.HttpBody(content_type="multipart/form-data; boundary=b", data=body)

    found = await small_world.repository.UploadFormDeployment(pb.UploadFormDeploymentRequest(file=file))

    assert (found.name, found.tenant_id) == ("leave", "acme")
    for content_type, data in (("text/plain", body), ("multipart/form-data; boundary=b", body[:60])):
        wrong = httpbody_pb2.HttpBody(content_type=content_type, data=data)
        request = pb.UploadFormDeploymentRequest(file=wrong)
        assert (await refused(small_world.repository.UploadFormDeployment(request))).reason == "invalid-upload"


async def test_a_deleted_deployment_takes_its_definitions_along(world: World) -> None:
    deployment = await world.deploy(form())
    request = pb.DeleteFormDeploymentRequest(deployment_id=deployment.id, request_id="gone")

    await world.repository.DeleteFormDeployment(request)
    await world.repository.DeleteFormDeployment(request)

    assert await definitions(world) == []
    get = pb.GetFormDeploymentRequest(deployment_id=deployment.id)
    assert (await refused(world.repository.GetFormDeployment(get))).status is Status.NOT_FOUND
    anew = pb.DeleteFormDeploymentRequest(deployment_id=deployment.id)
    assert (await refused(world.repository.DeleteFormDeployment(anew))).status is Status.NOT_FOUND


def prepare(parent: str = "engine-1", model: object = None, **more: object) -> pb.PrepareFormDeploymentRequest:
    resources = [resource(form() if model is None else model)]
    return pb.PrepareFormDeploymentRequest(parent_deployment_id=parent, resources=resources, **more)  # type: ignore[arg-type]


def confirm(parent: str = "engine-1") -> pb.ConfirmFormDeploymentRequest:
    return pb.ConfirmFormDeploymentRequest(parent_deployment_id=parent)


def discard(parent: str = "engine-1") -> pb.DiscardFormDeploymentRequest:
    return pb.DiscardFormDeploymentRequest(parent_deployment_id=parent)


async def test_forms_of_a_process_can_be_used_once_they_are_confirmed(world: World) -> None:
    prepared = await world.repository.PrepareFormDeployment(prepare())
    assert (await world.repository.PrepareFormDeployment(prepare())).id == prepared.id
    assert (prepared.state, await definitions(world)) == ("prepared", [])

    confirmed = await world.repository.ConfirmFormDeployment(confirm())
    again = await world.repository.ConfirmFormDeployment(confirm())

    assert (confirmed.state, again) == ("deployed", confirmed)
    assert [(each.version, each.parent_deployment_id) for each in await definitions(world)] == [(1, "engine-1")]
    alone = pb.DeleteFormDeploymentRequest(deployment_id=prepared.id)
    assert (await refused(world.repository.DeleteFormDeployment(alone))).reason == "deployment-of-engine"


async def test_a_wrong_form_of_a_process_is_refused_before_anything_is_kept(world: World) -> None:
    refusal = await refused(world.repository.PrepareFormDeployment(prepare(model=form(fields=[{"type": "text"}]))))

    assert set(violations(refusal)) == {"resources.leave.form.fields[0]"}
    assert (await refused(world.repository.ConfirmFormDeployment(confirm()))).status is Status.NOT_FOUND


async def test_a_discard_that_comes_first_refuses_the_prepare_behind_it(world: World) -> None:
    await world.repository.DiscardFormDeployment(discard())
    await world.repository.DiscardFormDeployment(discard())

    assert (await refused(world.repository.PrepareFormDeployment(prepare()))).reason == "form-deployment-discarded"
    assert (await refused(world.repository.ConfirmFormDeployment(confirm()))).status is Status.NOT_FOUND


async def test_a_confirm_outweighs_a_discard_that_was_mistaken(world: World) -> None:
    await world.repository.PrepareFormDeployment(prepare())
    await world.repository.DiscardFormDeployment(discard())

    assert (await world.repository.ConfirmFormDeployment(confirm())).state == "deployed"
    assert len(await definitions(world)) == 1


async def test_forms_go_with_the_deployment_of_the_engine(world: World) -> None:
    await world.repository.PrepareFormDeployment(prepare())
    await world.repository.ConfirmFormDeployment(confirm())

    await world.repository.DiscardFormDeployment(discard())

    assert await definitions(world) == []
    assert (await refused(world.repository.ConfirmFormDeployment(confirm()))).status is Status.NOT_FOUND


async def test_what_waits_for_the_engine_is_listed_by_its_age(world: World) -> None:
    await world.repository.PrepareFormDeployment(prepare())
    before = world.clock.now() + timedelta(seconds=1)
    request = pb.ListFormDeploymentsRequest(state="prepared", deployed_before=before)

    found = (await world.repository.ListFormDeployments(request)).data

    assert [each.parent_deployment_id for each in found] == ["engine-1"]
    assert not (await world.repository.ListFormDeployments(pb.ListFormDeploymentsRequest())).data
    wrong = pb.ListFormDeploymentsRequest(state="lost")
    assert (await refused(world.repository.ListFormDeployments(wrong))).status is Status.INVALID_ARGUMENT


async def test_a_key_means_the_form_of_the_process_then_of_the_tenant_then_of_the_default_tenant(world: World) -> None:
    await world.deploy(form(name="default"))
    await world.deploy(form(name="acme's"), tenant_id="acme")
    await world.repository.PrepareFormDeployment(prepare(model=form(name="the process's"), tenant_id="acme"))
    await world.repository.ConfirmFormDeployment(confirm())
    await world.deploy(form(name="acme's latest"), tenant_id="acme")

    async def name(**more: object) -> str:
        request = pb.ResolveFormRequest(form_key="leave", **more)  # type: ignore[arg-type]
        return (await world.repository.ResolveForm(request)).definition.name

    assert await name(tenant_id="acme", parent_deployment_id="engine-1") == "the process's"
    assert await name(tenant_id="acme", parent_deployment_id="engine-2") == "acme's latest"
    assert await name(tenant_id="acme") == "acme's latest"
    assert await name(tenant_id="acme", version=1) == "acme's"
    assert await name() == "default"
    assert await name(tenant_id="tiny", fallback_to_default_tenant=True) == "default"
    nowhere = pb.ResolveFormRequest(form_key="leave", tenant_id="tiny")
    assert (await refused(world.repository.ResolveForm(nowhere))).reason == "form-not-found"
