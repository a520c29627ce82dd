# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.HistoryService`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
from flowloom.history.v1 import history_service_pb2 as pb
from flowloom.history.v1 import history_service_pb2_grpc as services
from google.api import httpbody_pb2

from history.app.deleting import Deleting, limited, no_such_instance, no_such_task
from history.app.queries import ActivityFilter, HistoryQueries, InstanceFilter, TaskFilter, VariableFilter
from history.model.ids import key_of_id, variable_key
from history.rpc import calling, mapping
from mesh.errors import FieldViolation, InvalidArgument, NotFound

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class HistoryServicer(services.HistoryServiceServicer):
    """Answers from history's own records."""

    def __init__(self, queries: HistoryQueries, deleting: Deleting) -> None:
        self._queries = queries
        self._deleting = deleting

    async def GetHistoricProcessInstance(
        self, request: pb.GetHistoricProcessInstanceRequest, _: RpcContext
    ) -> pb.HistoricProcessInstance:
        found = await self._queries.instance(request.process_instance_id, calling.scope())
        if found is None:
            raise no_such_instance(request.process_instance_id)
        asked = [found.id] if request.include_process_variables else []
        return mapping.instance(found, await self._queries.variables_of_instances(asked))

    async def ListHistoricProcessInstances(
        self, request: pb.ListHistoricProcessInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricProcessInstancesResponse:
        wanted, scope = mapping.read_filter(InstanceFilter, request), calling.scope(request.tenant_id)
        page = await self._queries.instances(wanted, mapping.read_page(request), scope)
        asked = [found.id for found in page.rows] if request.include_process_variables else []
        variables = await self._queries.variables_of_instances(asked)
        data = [mapping.instance(found, variables) for found in page.rows]
        return pb.ListHistoricProcessInstancesResponse(data=data, **mapping.envelope(page))

    async def DeleteHistoricProcessInstance(
        self, request: pb.DeleteHistoricProcessInstanceRequest, _: RpcContext
    ) -> pb.DeleteHistoricProcessInstanceResponse:
        await self._deleting.instances(
            [request.process_instance_id], calling.scope(), calling.request_id(request.request_id)
        )
        return pb.DeleteHistoricProcessInstanceResponse()

    async def BulkDeleteHistoricProcessInstances(
        self, request: pb.BulkDeleteHistoricProcessInstancesRequest, _: RpcContext
    ) -> pb.BulkDeleteHistoricProcessInstancesResponse:
        _check_action(request.action)
        ids, asked = limited(request.instance_ids, "instance_ids"), calling.request_id(request.request_id)
        await self._deleting.instances(ids, calling.scope(), asked)
        return pb.BulkDeleteHistoricProcessInstancesResponse()

    async def ListHistoricProcessInstanceIdentityLinks(
        self, request: pb.ListHistoricProcessInstanceIdentityLinksRequest, _: RpcContext
    ) -> AsyncIterator[pb.HistoricIdentityLink]:
        if await self._queries.instance(request.process_instance_id, calling.scope()) is None:
            raise no_such_instance(request.process_instance_id)
        for link in await self._queries.links_of(request.process_instance_id):
            yield mapping.identity_link(link, instance_id=request.process_instance_id)

    async def GetHistoricProcessInstanceVariableData(
        self, request: pb.GetHistoricProcessInstanceVariableDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        return await self._data(variable_key(request.process_instance_id, request.variable_name), request.variable_name)

    async def BulkDeleteHistoricTaskInstances(
        self, request: pb.BulkDeleteHistoricTaskInstancesRequest, _: RpcContext
    ) -> pb.BulkDeleteHistoricTaskInstancesResponse:
        _check_action(request.action)
        ids, asked = limited(request.task_ids, "task_ids"), calling.request_id(request.request_id)
        await self._deleting.tasks(ids, calling.scope(), asked)
        return pb.BulkDeleteHistoricTaskInstancesResponse()

    async def ListHistoricTaskInstanceIdentityLinks(
        self, request: pb.ListHistoricTaskInstanceIdentityLinksRequest, _: RpcContext
    ) -> AsyncIterator[pb.HistoricIdentityLink]:
        found = await self._queries.task(request.task_id, calling.scope())
        if found is None:
            raise no_such_task(request.task_id)
        for link in await self._queries.links_of(found.id):
            yield mapping.identity_link(link, task_id=found.id)
        for kind, user_id in (("assignee", found.assignee), ("owner", found.owner)):
            if user_id:
                yield pb.HistoricIdentityLink(type=kind, user_id=user_id, task_id=found.id)

    async def GetHistoricTaskInstanceVariableData(
        self, request: pb.GetHistoricTaskInstanceVariableDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        return await self._data(variable_key(request.task_id, request.variable_name), request.variable_name)

    async def GetHistoricActivityInstance(
        self, request: pb.GetHistoricActivityInstanceRequest, _: RpcContext
    ) -> pb.HistoricActivityInstance:
        found = await self._queries.activity(request.activity_instance_id, calling.scope())
        if found is None:
            raise _not_found("activity", request.activity_instance_id)
        return mapping.activity(found)

    async def ListHistoricActivityInstances(
        self, request: pb.ListHistoricActivityInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricActivityInstancesResponse:
        wanted, scope = mapping.read_filter(ActivityFilter, request), calling.scope(request.tenant_id)
        page = await self._queries.activities(wanted, mapping.read_page(request), scope)
        data = [mapping.activity(found) for found in page.rows]
        return pb.ListHistoricActivityInstancesResponse(data=data, **mapping.envelope(page))

    async def GetHistoricTaskInstance(
        self, request: pb.GetHistoricTaskInstanceRequest, _: RpcContext
    ) -> pb.HistoricTaskInstance:
        found = await self._queries.task(request.task_id, calling.scope())
        if found is None:
            raise no_such_task(request.task_id)
        return mapping.task(found)

    async def ListHistoricTaskInstances(
        self, request: pb.ListHistoricTaskInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricTaskInstancesResponse:
        wanted, scope = mapping.read_filter(TaskFilter, request), calling.scope(request.tenant_id)
        page = await self._queries.tasks(wanted, mapping.read_page(request), scope)
        tasks = [found.id for found in page.rows] if request.include_task_local_variables else []
        instances = {found.instance_id: None for found in page.rows if found.instance_id}
        local = await self._queries.variables_of_tasks(tasks)
        outer = await self._queries.variables_of_instances([*instances] if request.include_process_variables else [])
        data = [mapping.task(found, local, outer) for found in page.rows]
        return pb.ListHistoricTaskInstancesResponse(data=data, **mapping.envelope(page))

    async def DeleteHistoricTaskInstance(
        self, request: pb.DeleteHistoricTaskInstanceRequest, _: RpcContext
    ) -> pb.DeleteHistoricTaskInstanceResponse:
        await self._deleting.tasks([request.task_id], calling.scope(), calling.request_id(request.request_id))
        return pb.DeleteHistoricTaskInstanceResponse()

    async def GetHistoricVariableInstance(
        self, request: pb.GetHistoricVariableInstanceRequest, _: RpcContext
    ) -> pb.HistoricVariableInstance:
        found = await self._queries.variable(key_of_id(request.variable_instance_id) or "", calling.scope())
        if found is None:
            raise _not_found("variable", request.variable_instance_id)
        return mapping.variable(found)

    async def ListHistoricVariableInstances(
        self, request: pb.ListHistoricVariableInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricVariableInstancesResponse:
        wanted, scope = mapping.read_filter(VariableFilter, request), calling.scope()
        page = await self._queries.variables(wanted, mapping.read_page(request), scope)
        data = [mapping.variable(found) for found in page.rows]
        return pb.ListHistoricVariableInstancesResponse(data=data, **mapping.envelope(page))

    async def GetHistoricVariableInstanceData(
        self, request: pb.GetHistoricVariableInstanceDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        return await self._data(key_of_id(request.variable_instance_id) or "", request.variable_instance_id)

    async def _data(self, key: str, named: str) -> httpbody_pb2.HttpBody:
        found = await self._queries.variable(key, calling.scope())
        if found is None or found.type != "binary":
            raise _not_found("binary variable", named)
        return httpbody_pb2.HttpBody(content_type="application/octet-stream", data=found.value)


def _check_action(action: str) -> None:
    if action != "delete":
        message = f"expected the action delete, found '{action}'"
        raise InvalidArgument("unknown-action", message, violations=[FieldViolation("action", message)])


def _not_found(what: str, found_id: str) -> NotFound:
    reason = f"historic-{what.replace(' ', '-')}-instance-not-found"
    return NotFound(reason, f"expected a historic {what} instance, found none with id '{found_id}'", id=found_id)
