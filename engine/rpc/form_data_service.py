# ruff: noqa: N802, ARG002 - gRPC gives the methods their names and every one of them a context
"""FormDataService: forms of tasks and start events. Translates; the use cases show, check and submit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import grpc
from flowloom.engine.v1 import form_data_service_pb2 as pb
from flowloom.engine.v1 import form_data_service_pb2_grpc, process_instance_pb2
from google.protobuf import struct_pb2

from engine.app.form_data import FormData, FormDataOf
from engine.app.form_properties import ShownProperty
from engine.app.forms import FormInfo
from engine.app.starting import StartAsk
from engine.rpc import mapping_starts as starts
from engine.rpc.context import HTTP_STATUS_KEY, caller_of
from engine.rpc.errors import answers_refusals, invalid_request
from engine.rpc.variables import from_value, to_value

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

MAX_PROPERTIES: Final = 1000


@answers_refusals
class FormDataService(form_data_service_pb2_grpc.FormDataServiceServicer):
    """Serves `flowloom.engine.v1.FormDataService`."""

    def __init__(self, form_data: FormDataOf) -> None:
        self._form_data = form_data

    async def GetFormData(self, request: pb.GetFormDataRequest, context: RpcContext) -> pb.GetFormDataResponse:
        _check_one(request)
        if request.task_id:
            return _form_data(await self._form_data.of_task(request.task_id))
        return _form_data(await self._form_data.of_start(request.process_definition_id))

    async def SubmitFormData(
        self, request: pb.SubmitFormDataRequest, context: RpcContext
    ) -> process_instance_pb2.ProcessInstance:
        _check_one(request)
        given = _given(request)
        caller = caller_of(context)
        if request.task_id:
            await self._form_data.submit_to_task(request.task_id, given, caller, request.request_id)
            await context.send_initial_metadata(((HTTP_STATUS_KEY, "204"),))
            return process_instance_pb2.ProcessInstance()
        ask = StartAsk(
            definition_id=request.process_definition_id,
            business_key=request.business_key,
            user_id=caller,
            request_id=request.request_id,
        )
        return starts.started(await self._form_data.submit_to_start(ask, given))

    async def GetTaskForm(self, request: pb.GetTaskFormRequest, context: RpcContext) -> struct_pb2.Struct:
        return _struct(await self._form_data.task_form(request.task_id))

    async def GetStartForm(self, request: pb.GetStartFormRequest, context: RpcContext) -> struct_pb2.Struct:
        return _struct(await self._form_data.start_form(request.process_definition_id))

    async def ListProcessDefinitionForms(
        self, request: pb.ListProcessDefinitionFormsRequest, context: RpcContext
    ) -> AsyncIterator[pb.FormReference]:
        for found in await self._form_data.forms_of(request.process_definition_id):
            yield _reference(found)

    async def GetHistoricTaskForm(
        self, request: pb.GetHistoricTaskFormRequest, context: RpcContext
    ) -> struct_pb2.Struct:
        return _struct(await self._form_data.submitted_form(request.task_id))


def _check_one(request: pb.GetFormDataRequest | pb.SubmitFormDataRequest) -> None:
    if bool(request.task_id) == bool(request.process_definition_id):
        found = "both" if request.task_id else "neither"
        raise invalid_request("task_id", f"expected either a task_id or a process_definition_id, found {found}")


def _given(request: pb.SubmitFormDataRequest) -> dict[str, Any]:
    if len(request.properties) > MAX_PROPERTIES:
        most = f"at most {MAX_PROPERTIES} properties (limit: MAX_PROPERTIES)"
        raise invalid_request("properties", f"expected {most}, found {len(request.properties)}")
    given: dict[str, Any] = {}
    for index, each in enumerate(request.properties):
        if not each.id:
            raise invalid_request(f"properties[{index}].id", "expected the id of a property, found none")
        given[each.id] = from_value(each.value)
    return given


def _form_data(found: FormData) -> pb.GetFormDataResponse:
    return pb.GetFormDataResponse(
        form_key=found.form_key or None,
        deployment_id=found.deployment_id,
        process_definition_id=found.process_definition_id,
        task_id=found.task_id or None,
        form_properties=[_property(each) for each in found.properties],
    )


def _property(shown: ShownProperty) -> pb.FormProperty:
    found = shown.property
    return pb.FormProperty(
        id=found.id,
        name=found.name or None,
        type=found.type or None,
        value=shown.value,
        readable=found.readable,
        writable=found.writable,
        required=found.required,
        date_pattern=found.date_pattern if found.type == "date" else None,
        enum_values=[pb.FormEnumValue(id=value_id, name=name) for value_id, name in found.values],
    )


def _reference(found: FormInfo) -> pb.FormReference:
    return pb.FormReference(
        id=found.id,
        key=found.key,
        version=found.version,
        name=found.name or None,
        description=found.description or None,
        category=found.category or None,
        tenant_id=found.tenant_id,
        deployment_id=found.deployment_id,
        resource_name=found.resource_name,
    )


def _struct(found: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    for name, value in found.items():
        to_value(value, message.fields[name])
    return message
