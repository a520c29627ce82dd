# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.forms.v1.FormRepositoryService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as pb
from flowloom.forms.v1 import form_repository_service_pb2_grpc as services
from google.api import httpbody_pb2
from google.protobuf import struct_pb2

from forms.app.deploying import Deploying, unknown_deployment
from forms.app.filters import DefinitionFilter, DeploymentFilter
from forms.app.ports import Queries
from forms.app.resolving import FormAsk, Resolving, unknown_definition
from forms.model.records import Definition, Deployment
from forms.rpc import mapping
from forms.rpc.caller import sees, visible_tenant
from mesh.errors import NotFound

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

JSON = "application/json"


class FormRepositoryServicer(services.FormRepositoryServiceServicer):
    """Translates; the use cases and the queries do the work."""

    def __init__(self, deploying: Deploying, forms: Resolving, queries: Queries) -> None:
        self._deploying = deploying
        self._forms = forms
        self._queries = queries

    # --- deployments --------------------------------------------------------------------------------------------------

    async def CreateFormDeployment(
        self, request: pb.CreateFormDeploymentRequest, _: RpcContext
    ) -> form_pb2.FormDeployment:
        return mapping.deployment(await self._deploying.deploy(mapping.deploy(request)))

    async def UploadFormDeployment(
        self, request: pb.UploadFormDeploymentRequest, _: RpcContext
    ) -> form_pb2.FormDeployment:
        return mapping.deployment(await self._deploying.deploy(mapping.upload(request)))

    async def PrepareFormDeployment(
        self, request: pb.PrepareFormDeploymentRequest, _: RpcContext
    ) -> form_pb2.FormDeployment:
        return mapping.deployment(await self._deploying.prepare(mapping.deploy(request)))

    async def ConfirmFormDeployment(
        self, request: pb.ConfirmFormDeploymentRequest, _: RpcContext
    ) -> form_pb2.FormDeployment:
        return mapping.deployment(await self._deploying.confirm(request.parent_deployment_id))

    async def DiscardFormDeployment(
        self, request: pb.DiscardFormDeploymentRequest, _: RpcContext
    ) -> pb.DiscardFormDeploymentResponse:
        await self._deploying.discard(request.parent_deployment_id)
        return pb.DiscardFormDeploymentResponse()

    async def GetFormDeployment(self, request: pb.GetFormDeploymentRequest, _: RpcContext) -> form_pb2.FormDeployment:
        return mapping.deployment(await self._deployment(request.deployment_id))

    async def ListFormDeployments(
        self, request: pb.ListFormDeploymentsRequest, _: RpcContext
    ) -> pb.ListFormDeploymentsResponse:
        wanted = mapping.read_filter(DeploymentFilter, request)
        page = await self._queries.deployments(wanted, mapping.read_page(request))
        data = [mapping.deployment(found) for found in page.rows]
        return pb.ListFormDeploymentsResponse(data=data, **mapping.envelope(page))

    async def DeleteFormDeployment(
        self, request: pb.DeleteFormDeploymentRequest, _: RpcContext
    ) -> pb.DeleteFormDeploymentResponse:
        await self._deploying.delete(
            request.deployment_id, mapping.request_id(request.request_id), visible_tenant=visible_tenant()
        )
        return pb.DeleteFormDeploymentResponse()

    async def GetFormDeploymentResourceData(
        self, request: pb.GetFormDeploymentResourceDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        await self._deployment(request.deployment_id)
        data = await self._queries.resource(request.deployment_id, request.resource_name)
        if data is None:
            raise NotFound(
                "form-resource-not-found",
                f"expected a resource of form deployment {request.deployment_id}, "
                f"found none named '{request.resource_name}'",
                resource_name=request.resource_name,
            )
        return httpbody_pb2.HttpBody(content_type=JSON, data=data)

    # --- definitions --------------------------------------------------------------------------------------------------

    async def GetFormDefinition(self, request: pb.GetFormDefinitionRequest, _: RpcContext) -> form_pb2.FormDefinition:
        return mapping.definition(await self._definition(request.form_definition_id))

    async def ListFormDefinitions(
        self, request: pb.ListFormDefinitionsRequest, _: RpcContext
    ) -> pb.ListFormDefinitionsResponse:
        wanted = mapping.read_filter(DefinitionFilter, request)
        page = await self._queries.definitions(wanted, mapping.read_page(request))
        data = [mapping.definition(found) for found in page.rows]
        return pb.ListFormDefinitionsResponse(data=data, **mapping.envelope(page))

    async def GetFormDefinitionResourceData(
        self, request: pb.GetFormDefinitionResourceDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        found = await self._definition(request.form_definition_id)
        data = await self._queries.resource(found.deployment_id, found.resource_name)
        if data is None:
            raise unknown_definition(found.id)
        return httpbody_pb2.HttpBody(content_type=JSON, data=data)

    async def GetFormDefinitionModel(
        self, request: pb.GetFormDefinitionModelRequest, _: RpcContext
    ) -> struct_pb2.Struct:
        ask = FormAsk(definition_id=request.form_definition_id, visible_tenant=visible_tenant())
        model: struct_pb2.Struct = mapping.model(await self._forms.find(ask))
        return model

    async def ResolveForm(self, request: pb.ResolveFormRequest, _: RpcContext) -> pb.ResolveFormResponse:
        found = await self._forms.find(mapping.form_ask(request))
        return pb.ResolveFormResponse(definition=mapping.definition(found.definition), model=mapping.model(found))

    async def _definition(self, definition_id: str) -> Definition:
        found = await self._queries.definition(definition_id)
        if found is None or not sees(found.tenant_id):
            raise unknown_definition(definition_id)
        return found

    async def _deployment(self, deployment_id: str) -> Deployment:
        found = await self._queries.deployment(deployment_id)
        if found is None or not sees(found.tenant_id):
            raise unknown_deployment(deployment_id)
        return found
