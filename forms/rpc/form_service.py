# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.forms.v1.FormService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_service_pb2 as pb
from flowloom.forms.v1 import form_service_pb2_grpc as services

from forms.app.erasing import Erasing, PersonWish
from forms.app.filters import InstanceFilter
from forms.app.ports import Queries
from forms.app.submitting import Submitting
from forms.rpc import mapping
from forms.rpc.caller import check_sees_all, sees
from forms.rpc.plain import write_variables
from mesh.errors import NotFound

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class FormServicer(services.FormServiceServicer):
    """Translates; the use cases and the queries do the work."""

    def __init__(self, submitting: Submitting, erasing: Erasing, queries: Queries) -> None:
        self._submitting = submitting
        self._erasing = erasing
        self._queries = queries

    async def PrepareSubmission(
        self, request: pb.PrepareSubmissionRequest, _: RpcContext
    ) -> pb.PrepareSubmissionResponse:
        ask = mapping.submit(request)
        found = await self._submitting.prepare(request.saga_id, request.step_id, ask)
        return pb.PrepareSubmissionResponse(
            form_instance=mapping.instance(found.instance), variables=write_variables(found.variables)
        )

    async def ConfirmSubmission(
        self, request: pb.ConfirmSubmissionRequest, _: RpcContext
    ) -> pb.ConfirmSubmissionResponse:
        found = await self._submitting.confirm(request.saga_id, request.step_id, request.process_instance_id)
        return pb.ConfirmSubmissionResponse(form_instance=mapping.instance(found))

    async def DiscardSubmission(
        self, request: pb.DiscardSubmissionRequest, _: RpcContext
    ) -> pb.DiscardSubmissionResponse:
        await self._submitting.discard(request.saga_id, request.step_id)
        return pb.DiscardSubmissionResponse()

    async def ValidateSubmission(
        self, request: pb.ValidateSubmissionRequest, _: RpcContext
    ) -> pb.ValidateSubmissionResponse:
        found = await self._submitting.validate(mapping.submit(request))
        return pb.ValidateSubmissionResponse(variables=write_variables(found))

    async def CreateFormInstance(self, request: pb.CreateFormInstanceRequest, _: RpcContext) -> form_pb2.FormInstance:
        ask = mapping.submit(request)
        return mapping.instance(await self._submitting.submit(ask, mapping.request_id(request.request_id)))

    async def GetFormInstance(self, request: pb.GetFormInstanceRequest, _: RpcContext) -> form_pb2.FormInstance:
        found = await self._queries.instance(request.form_instance_id)
        if found is None or not found.form_definition_id or not sees(found.tenant_id):
            raise NotFound(
                "form-instance-not-found",
                f"expected a submission, found none with id '{request.form_instance_id}'",
                form_instance_id=request.form_instance_id,
            )
        return mapping.instance(found)

    async def ErasePerson(self, request: pb.ErasePersonRequest, _: RpcContext) -> pb.ErasePersonResponse:
        check_sees_all()
        wish = PersonWish(
            user_id=request.user_id,
            with_values=request.with_values,
            request_id=mapping.request_id(request.request_id),
        )
        erased = await self._erasing.person(wish)
        return pb.ErasePersonResponse(removed=erased.removed, open=erased.open)

    async def ListFormInstances(
        self, request: pb.ListFormInstancesRequest, _: RpcContext
    ) -> pb.ListFormInstancesResponse:
        wanted = mapping.read_filter(InstanceFilter, request)
        page = await self._queries.instances(wanted, mapping.read_page(request))
        data = [mapping.instance(found) for found in page.rows]
        return pb.ListFormInstancesResponse(data=data, **mapping.envelope(page))
