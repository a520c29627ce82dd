"""The servicer of `RepositoryService`: deployments, their resources, and process definitions."""

# ruff: noqa: N802, ARG002 - names and parameters of a servicer are the contract's and gRPC's

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from flowloom.engine.v1 import deployment_pb2, identity_link_pb2, process_definition_pb2, repository_service_pb2_grpc
from flowloom.engine.v1 import repository_service_pb2 as pb
from google.api import httpbody_pb2
from google.protobuf import struct_pb2

from engine.app.asking import NoGroups, UserGroups
from engine.app.definition_changes import DefinitionChanges
from engine.app.definitions import DefinitionCache
from engine.app.deployments import Deployments
from engine.app.model_view import model_view
from engine.app.queries import DeploymentFilter, ProcessDefinitionFilter, RepositoryQueries
from engine.rpc import mapping_lists as lists
from engine.rpc import mapping_repository as mapping
from engine.rpc.candidates import with_starter_groups
from engine.rpc.context import caller_of
from engine.rpc.errors import answers_refusals

if TYPE_CHECKING:
    import grpc

    RpcContext = grpc.aio.ServicerContext[Any, Any]


@answers_refusals
class RepositoryService(repository_service_pb2_grpc.RepositoryServiceServicer):
    """Translates; the use cases and the queries do the work."""

    def __init__(
        self,
        deployments: Deployments,
        changes: DefinitionChanges,
        definitions: DefinitionCache,
        queries: RepositoryQueries,
        groups: UserGroups | None = None,
    ) -> None:
        """`groups` tells the groups of the users that lists ask for."""
        self._groups = groups or NoGroups()
        self._deployments = deployments
        self._changes = changes
        self._definitions = definitions
        self._queries = queries

    # --- deployments --------------------------------------------------------------------------------------------------

    async def CreateDeployment(
        self, request: pb.CreateDeploymentRequest, context: RpcContext
    ) -> deployment_pb2.Deployment:
        return mapping.deployed(await self._deployments.deploy(mapping.deploy(request)))

    async def UploadDeployment(
        self, request: pb.UploadDeploymentRequest, context: RpcContext
    ) -> deployment_pb2.Deployment:
        ask = await asyncio.to_thread(mapping.upload, request)
        return mapping.deployed(await self._deployments.deploy(ask))

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: RpcContext) -> deployment_pb2.Deployment:
        return mapping.deployment(await self._queries.get_deployment(request.deployment_id))

    async def ListDeployments(
        self, request: pb.ListDeploymentsRequest, context: RpcContext
    ) -> pb.ListDeploymentsResponse:
        found = await self._queries.list_deployments(lists.filter_of(DeploymentFilter, request), lists.page_of(request))
        return lists.listed(pb.ListDeploymentsResponse, found, mapping.deployment)

    async def DeleteDeployment(
        self, request: pb.DeleteDeploymentRequest, context: RpcContext
    ) -> pb.DeleteDeploymentResponse:
        await self._deployments.delete(
            request.deployment_id, cascade=request.cascade, user_id=caller_of(context), request_id=request.request_id
        )
        return pb.DeleteDeploymentResponse()

    # --- resources ----------------------------------------------------------------------------------------------------

    async def ListDeploymentResources(
        self, request: pb.ListDeploymentResourcesRequest, context: RpcContext
    ) -> AsyncIterator[deployment_pb2.DeploymentResource]:
        for found in await self._queries.list_deployment_resources(request.deployment_id):
            yield mapping.resource(found)

    async def GetDeploymentResource(
        self, request: pb.GetDeploymentResourceRequest, context: RpcContext
    ) -> deployment_pb2.DeploymentResource:
        found = await self._queries.get_deployment_resource(request.deployment_id, request.resource_id)
        return mapping.resource(found)

    async def GetDeploymentResourceData(
        self, request: pb.GetDeploymentResourceDataRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        found = await self._queries.get_deployment_resource_data(request.deployment_id, request.resource_name)
        return mapping.body(found)

    # --- definitions --------------------------------------------------------------------------------------------------

    async def GetProcessDefinition(
        self, request: pb.GetProcessDefinitionRequest, context: RpcContext
    ) -> process_definition_pb2.ProcessDefinition:
        return mapping.definition(await self._queries.get_process_definition(request.process_definition_id))

    async def ListProcessDefinitions(
        self, request: pb.ListProcessDefinitionsRequest, context: RpcContext
    ) -> pb.ListProcessDefinitionsResponse:
        wanted = await with_starter_groups(lists.filter_of(ProcessDefinitionFilter, request), self._groups)
        found = await self._queries.list_process_definitions(wanted, lists.page_of(request))
        return lists.listed(pb.ListProcessDefinitionsResponse, found, mapping.definition)

    async def UpdateProcessDefinition(
        self, request: pb.UpdateProcessDefinitionRequest, context: RpcContext
    ) -> process_definition_pb2.ProcessDefinition:
        definition_id = request.process_definition_id
        if request.action:
            await self._changes.change_state(mapping.change_state(request))
        elif request.HasField("category"):
            await self._changes.set_category(definition_id, request.category, request.request_id)
        else:
            raise mapping.nothing_to_change()
        return mapping.definition(await self._queries.get_process_definition(definition_id))

    async def GetProcessDefinitionResourceData(
        self, request: pb.GetProcessDefinitionResourceDataRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        return mapping.body(await self._queries.get_process_definition_resource_data(request.process_definition_id))

    async def GetProcessDefinitionImage(
        self, request: pb.GetProcessDefinitionImageRequest, context: RpcContext
    ) -> httpbody_pb2.HttpBody:
        return mapping.body(await self._queries.get_process_definition_image(request.process_definition_id))

    async def GetProcessDefinitionModel(
        self, request: pb.GetProcessDefinitionModelRequest, context: RpcContext
    ) -> struct_pb2.Struct:
        found = await self._queries.get_process_definition(request.process_definition_id)
        definition = await asyncio.to_thread(self._definitions.compiled, found.id)
        return mapping.struct(model_view(definition))

    # --- candidate starters -------------------------------------------------------------------------------------------

    async def ListProcessDefinitionIdentityLinks(
        self, request: pb.ListProcessDefinitionIdentityLinksRequest, context: RpcContext
    ) -> AsyncIterator[identity_link_pb2.IdentityLink]:
        for found in await self._queries.list_process_definition_identity_links(request.process_definition_id):
            yield lists.identity_link(found)

    async def CreateProcessDefinitionIdentityLink(
        self, request: pb.CreateProcessDefinitionIdentityLinkRequest, context: RpcContext
    ) -> identity_link_pb2.IdentityLink:
        starter = mapping.starter(request)
        await self._changes.add_starter(request.process_definition_id, starter, request.request_id)
        return mapping.candidate(starter)

    async def GetProcessDefinitionIdentityLink(
        self, request: pb.GetProcessDefinitionIdentityLinkRequest, context: RpcContext
    ) -> identity_link_pb2.IdentityLink:
        found = await self._queries.get_process_definition_identity_link(
            request.process_definition_id, request.family, request.identity_id
        )
        return lists.identity_link(found)

    async def DeleteProcessDefinitionIdentityLink(
        self, request: pb.DeleteProcessDefinitionIdentityLinkRequest, context: RpcContext
    ) -> pb.DeleteProcessDefinitionIdentityLinkResponse:
        starter = mapping.linked(request)
        await self._changes.remove_starter(request.process_definition_id, starter, request.request_id)
        return pb.DeleteProcessDefinitionIdentityLinkResponse()
