"""A forms service with a real database, asked through its contract."""

import json
from collections.abc import Mapping
from typing import Any

import grpc
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_repository_service_pb2 as repository_pb
from flowloom.forms.v1 import form_repository_service_pb2_grpc as repository_services
from flowloom.forms.v1 import form_service_pb2 as pb
from flowloom.forms.v1 import form_service_pb2_grpc as services
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

from forms.service import FormsService, FormsSettings
from forms.settings import FormsDatabase
from mesh.access.control import Access
from mesh.clock import ManualClock, SystemClock
from mesh.errors import DomainError
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from mesh.rpc_errors import refusal_in


def form(key: str = "leave", **more: Any) -> dict[str, Any]:
    """A model with a field or two."""
    return {
        "key": key,
        "name": "Leave",
        "version": 0,
        "fields": [
            {"fieldType": "FormField", "id": "reason", "name": "Reason", "type": "text", "required": True},
            {"fieldType": "FormField", "id": "days", "name": "Days", "type": "integer", "minValue": 1, "maxValue": 30},
        ],
        "outcomes": [{"id": "approve", "name": "Approve"}, {"id": "reject", "name": "Reject"}],
        **more,
    }


def resource(model: Any, name: str = "leave.form") -> form_pb2.FormResource:
    return form_pb2.FormResource(name=name, data=json.dumps(model).encode())


class World:
    """One running forms service."""

    def __init__(self, url: str, access: Access | None = None, **settings: Any) -> None:
        self.clock = ManualClock(SystemClock().now())
        self.service = FormsService(FormsSettings(database=FormsDatabase(url=url), **settings), clock=self.clock)
        self._server = LocalServer()
        self.service.add_to(GuardedServer((self._server,), access=access))
        channel = LocalChannel(self._server)
        self.repository: repository_services.FormRepositoryServiceAsyncStub
        self.repository = repository_services.FormRepositoryServiceStub(channel)  # type: ignore[assignment,arg-type]
        self.forms: services.FormServiceAsyncStub
        self.forms = services.FormServiceStub(channel)  # type: ignore[assignment,arg-type]

    async def start(self) -> None:
        await self._server.start()
        await self.service.start()

    async def stop(self) -> None:
        await self.service.stop()
        await self._server.stop(None)

    async def deploy(self, *models: Any, **more: Any) -> form_pb2.FormDeployment:
        resources = [resource(model, f"{number}.form") for number, model in enumerate(models)]
        request = repository_pb.CreateFormDeploymentRequest(resources=resources, **more)
        return await self.repository.CreateFormDeployment(request)

    async def prepare(self, values: Mapping[str, Any], saga: str = "saga", **more: Any) -> pb.PrepareSubmissionResponse:
        given: dict[str, Any] = {"form_key": "leave", "step_id": "submission", **more}
        request = pb.PrepareSubmissionRequest(saga_id=saga, values=struct(values), **given)
        return await self.forms.PrepareSubmission(request)

    async def instances(self, **filters: Any) -> list[form_pb2.FormInstance]:
        return [*(await self.forms.ListFormInstances(pb.ListFormInstancesRequest(**filters))).data]


def struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    return ParseDict(dict(values), struct_pb2.Struct())


def plain(message: Any) -> Any:
    return MessageToDict(message)


def variables(found: Any) -> dict[str, tuple[str, Any]]:
    return {each.name: (each.type, MessageToDict(each.value)) for each in found.variables}


async def refused(call: Any) -> DomainError:
    """The refusal with which a call ends."""
    try:
        await call
    except grpc.aio.AioRpcError as failed:
        found = refusal_in(failed)
        assert found is not None, failed
        return found
    raise AssertionError("expected a refusal, found an answer")


def violations(refusal: DomainError) -> dict[str, str]:
    return {each.field: each.description for each in refusal.violations}
