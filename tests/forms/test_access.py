"""Tenants of forms are separated, for each method by the caller's own tenant."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import flowloom
import pytest
from flowloom.forms.v1 import form_repository_service_pb2 as pb
from flowloom.forms.v1 import form_service_pb2 as form_pb

from mesh.access import Principal
from mesh.access.contract import Rule, read_rules
from mesh.access.control import OpenAccess
from mesh.errors import Status
from tests.forms.worlds import World, form, refused, struct


class Somebody(OpenAccess):
    """An `Access` whose caller the test chooses."""

    def __init__(self) -> None:
        super().__init__(read_rules((Path(flowloom.__path__[0]) / "descriptors.pb").read_bytes()))
        self.principal = Principal()

    async def admit(self, rule: Rule, metadata: Iterable[Any]) -> Principal:
        self.principal.require(rule.privilege)
        return self.principal

    def be(self, tenant_id: str, *privileges: str) -> None:
        self.principal = Principal(
            user_id=f"user-{tenant_id}", tenant_id=tenant_id, privileges=frozenset(privileges or ("forms.*",))
        )


@pytest.fixture
async def somebody() -> Somebody:
    return Somebody()


@pytest.fixture
async def guarded(tmp_path: Path, somebody: Somebody) -> AsyncIterator[World]:
    world = World(f"sqlite:///{tmp_path / 'forms.db'}", access=somebody)
    await world.start()
    yield world
    await world.stop()


async def test_what_a_tenant_deploys_and_submits_is_its_own(guarded: World, somebody: Somebody) -> None:
    somebody.be("acme")
    deployment = await guarded.deploy(form())
    made = await guarded.forms.CreateFormInstance(
        form_pb.CreateFormInstanceRequest(form_key="leave", values=struct({"reason": "x"}))
    )
    definitions = await guarded.repository.ListFormDefinitions(pb.ListFormDefinitionsRequest())
    (definition,) = definitions.data
    assert (deployment.tenant_id, made.tenant_id, made.submitted_by) == ("acme", "acme", "user-acme")

    somebody.be("other")

    assert not (await guarded.repository.ListFormDefinitions(pb.ListFormDefinitionsRequest())).data
    assert not (await guarded.repository.ListFormDeployments(pb.ListFormDeploymentsRequest())).data
    assert not (await guarded.forms.ListFormInstances(form_pb.ListFormInstancesRequest())).data
    for call in (
        guarded.repository.GetFormDeployment(pb.GetFormDeploymentRequest(deployment_id=deployment.id)),
        guarded.repository.DeleteFormDeployment(pb.DeleteFormDeploymentRequest(deployment_id=deployment.id)),
        guarded.repository.GetFormDefinition(pb.GetFormDefinitionRequest(form_definition_id=definition.id)),
        guarded.repository.GetFormDefinitionModel(pb.GetFormDefinitionModelRequest(form_definition_id=definition.id)),
        guarded.repository.ResolveForm(pb.ResolveFormRequest(form_key="leave")),
        guarded.forms.GetFormInstance(form_pb.GetFormInstanceRequest(form_instance_id=made.id)),
        guarded.forms.CreateFormInstance(form_pb.CreateFormInstanceRequest(form_definition_id=definition.id)),
    ):
        assert (await refused(call)).status is Status.NOT_FOUND


async def test_a_foreign_tenant_cannot_be_named(guarded: World, somebody: Somebody) -> None:
    somebody.be("acme")

    assert (await refused(guarded.deploy(form(), tenant_id="other"))).reason == "foreign-tenant"
    listed = guarded.repository.ListFormDefinitions(pb.ListFormDefinitionsRequest(tenant_id="other"))
    assert (await refused(listed)).reason == "foreign-tenant"


async def test_who_may_read_forms_may_not_prepare_submissions(guarded: World, somebody: Somebody) -> None:
    somebody.be("acme", "forms.form-definition.read")

    assert (await refused(guarded.prepare({}))).reason == "privilege-missing"
