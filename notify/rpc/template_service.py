# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.notify.v1.TemplateService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.notify.v1 import template_pb2
from flowloom.notify.v1 import template_service_pb2 as pb
from flowloom.notify.v1 import template_service_pb2_grpc as services
from google.protobuf.json_format import MessageToDict

from mesh.access import current_principal
from notify.app.ports import Texts
from notify.app.templates import TemplateFilter, Templates
from notify.model.records import Template
from notify.rpc import mapping

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class TemplateServicer(services.TemplateServiceServicer):
    """The texts of messages."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    async def CreateTemplate(self, request: pb.CreateTemplateRequest, _: RpcContext) -> template_pb2.Template:
        principal = current_principal()
        principal.check_tenant(request.tenant_id)
        given = _template(request, request.tenant_id or principal.tenant_id)
        return mapping.template(await self._templates.create(given, mapping.request_id(request.request_id)))

    async def GetTemplate(self, request: pb.GetTemplateRequest, _: RpcContext) -> template_pb2.Template:
        return mapping.template(await self._templates.get(request.template_id, current_principal().visible_tenant))

    async def ListTemplates(self, request: pb.ListTemplatesRequest, _: RpcContext) -> pb.ListTemplatesResponse:
        wanted = TemplateFilter(
            event=mapping.optional(request, "event"),
            channel=mapping.optional(request, "channel"),
            language=mapping.optional(request, "language"),
            tenant_id=mapping.optional(request, "tenant_id"),
        )
        visible = current_principal().visible_tenant
        page = mapping.read_page(request)
        found = await self._templates.listed(wanted, page, visible, of_shipped=request.shipped)
        return pb.ListTemplatesResponse(data=[mapping.template(row) for row in found.rows], **mapping.envelope(found))

    async def UpdateTemplate(self, request: pb.UpdateTemplateRequest, _: RpcContext) -> template_pb2.Template:
        texts = Texts(subject=request.subject, text=request.text, html=request.html)
        visible = current_principal().visible_tenant
        request_id = mapping.request_id(request.request_id)
        return mapping.template(await self._templates.update(request.template_id, texts, request_id, visible))

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, _: RpcContext) -> pb.DeleteTemplateResponse:
        visible = current_principal().visible_tenant
        await self._templates.delete(request.template_id, mapping.request_id(request.request_id), visible)
        return pb.DeleteTemplateResponse()

    async def PreviewTemplate(self, request: pb.PreviewTemplateRequest, _: RpcContext) -> pb.PreviewTemplateResponse:
        principal = current_principal()
        principal.check_tenant(request.tenant_id)
        given = MessageToDict(request.context) if request.HasField("context") else {}
        texts = await self._templates.preview(_template(request, request.tenant_id or principal.tenant_id), given)
        return pb.PreviewTemplateResponse(subject=texts.subject, text=texts.text, html=texts.html)


def _template(request: Any, tenant_id: str) -> Template:
    return Template(
        id="",
        event=request.event,
        channel=request.channel,
        language=request.language,
        tenant_id=tenant_id,
        subject=request.subject,
        text=request.text,
        html=request.html,
    )
