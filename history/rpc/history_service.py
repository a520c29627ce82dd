# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.HistoryService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from flowloom.history.v1 import history_service_pb2 as pb
from flowloom.history.v1 import history_service_pb2_grpc as services
from google.api import httpbody_pb2

from history.app.deleting import Deletions, no_such_instance, no_such_task
from history.app.queries import ActivityFilter, HistoryQueries, InstanceFilter, TaskFilter, VariableFilter
from history.model.ids import key_of_id
from history.rpc import mapping
from mesh.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

MAX_REQUEST_ID_CHARACTERS: Final = 128


class HistoryServicer(services.HistoryServiceServicer):
    """Answers from history's own records."""

    def __init__(self, queries: HistoryQueries, deletions: Deletions) -> None:
        self._queries = queries
        self._deletions = deletions

    async def GetHistoricProcessInstance(
        self, request: pb.GetHistoricProcessInstanceRequest, _: RpcContext
    ) -> pb.HistoricProcessInstance:
        found = await self._queries.instance(request.process_instance_id)
        if found is None:
            raise no_such_instance(request.process_instance_id)
        asked = [found.id] if request.include_process_variables else []
        return mapping.instance(found, await self._queries.variables_of_instances(asked))

    async def ListHistoricProcessInstances(
        self, request: pb.ListHistoricProcessInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricProcessInstancesResponse:
        page = await self._queries.instances(mapping.read_filter(InstanceFilter, request), mapping.read_page(request))
        asked = [found.id for found in page.rows] if request.include_process_variables else []
        variables = await self._queries.variables_of_instances(asked)
        data = [mapping.instance(found, variables) for found in page.rows]
        return pb.ListHistoricProcessInstancesResponse(data=data, **mapping.envelope(page))

    async def DeleteHistoricProcessInstance(
        self, request: pb.DeleteHistoricProcessInstanceRequest, _: RpcContext
    ) -> pb.DeleteHistoricProcessInstanceResponse:
        await self._deletions.delete_instances([request.process_instance_id], _request_id(request.request_id))
        return pb.DeleteHistoricProcessInstanceResponse()

    async def GetHistoricActivityInstance(
        self, request: pb.GetHistoricActivityInstanceRequest, _: RpcContext
    ) -> pb.HistoricActivityInstance:
        found = await self._queries.activity(request.activity_instance_id)
        if found is None:
            raise _not_found("activity", request.activity_instance_id)
        return mapping.activity(found)

    async def ListHistoricActivityInstances(
        self, request: pb.ListHistoricActivityInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricActivityInstancesResponse:
        page = await self._queries.activities(mapping.read_filter(ActivityFilter, request), mapping.read_page(request))
        data = [mapping.activity(found) for found in page.rows]
        return pb.ListHistoricActivityInstancesResponse(data=data, **mapping.envelope(page))

    async def GetHistoricTaskInstance(
        self, request: pb.GetHistoricTaskInstanceRequest, _: RpcContext
    ) -> pb.HistoricTaskInstance:
        found = await self._queries.task(request.task_id)
        if found is None:
            raise no_such_task(request.task_id)
        return mapping.task(found)

    async def ListHistoricTaskInstances(
        self, request: pb.ListHistoricTaskInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricTaskInstancesResponse:
        page = await self._queries.tasks(mapping.read_filter(TaskFilter, request), mapping.read_page(request))
        tasks = [found.id for found in page.rows] if request.include_task_local_variables else []
        instances = {found.instance_id: None for found in page.rows if found.instance_id}
        local = await self._queries.variables_of_tasks(tasks)
        outer = await self._queries.variables_of_instances([*instances] if request.include_process_variables else [])
        data = [mapping.task(found, local, outer) for found in page.rows]
        return pb.ListHistoricTaskInstancesResponse(data=data, **mapping.envelope(page))

    async def DeleteHistoricTaskInstance(
        self, request: pb.DeleteHistoricTaskInstanceRequest, _: RpcContext
    ) -> pb.DeleteHistoricTaskInstanceResponse:
        await self._deletions.delete_tasks([request.task_id], _request_id(request.request_id))
        return pb.DeleteHistoricTaskInstanceResponse()

    async def GetHistoricVariableInstance(
        self, request: pb.GetHistoricVariableInstanceRequest, _: RpcContext
    ) -> pb.HistoricVariableInstance:
        found = await self._queries.variable(key_of_id(request.variable_instance_id) or "")
        if found is None:
            raise _not_found("variable", request.variable_instance_id)
        return mapping.variable(found)

    async def ListHistoricVariableInstances(
        self, request: pb.ListHistoricVariableInstancesRequest, _: RpcContext
    ) -> pb.ListHistoricVariableInstancesResponse:
        page = await self._queries.variables(mapping.read_filter(VariableFilter, request), mapping.read_page(request))
        data = [mapping.variable(found) for found in page.rows]
        return pb.ListHistoricVariableInstancesResponse(data=data, **mapping.envelope(page))

    async def GetHistoricVariableInstanceData(
        self, request: pb.GetHistoricVariableInstanceDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        found = await self._queries.variable(key_of_id(request.variable_instance_id) or "")
        if found is None or found.type != "binary":
            raise _not_found("binary variable", request.variable_instance_id)
        return httpbody_pb2.HttpBody(content_type="application/octet-stream", data=found.value)


def _not_found(what: str, found_id: str) -> NotFound:
    reason = f"historic-{what.replace(' ', '-')}-instance-not-found"
    return NotFound(reason, f"expected a historic {what} instance, found none with id '{found_id}'", id=found_id)


def _request_id(given: str) -> str:
    if len(given) > MAX_REQUEST_ID_CHARACTERS:
        message = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {len(given)}"
        raise InvalidArgument("request-id-too-long", message)
    return given
