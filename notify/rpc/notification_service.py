# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.notify.v1.NotificationService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.notify.v1 import delivery_pb2
from flowloom.notify.v1 import notification_service_pb2 as pb
from flowloom.notify.v1 import notification_service_pb2_grpc as services

from mesh.access import current_principal
from mesh.errors import PermissionDenied
from notify.app.erasing import Erasing
from notify.app.notifications import Notifications
from notify.rpc import mapping

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class NotificationServicer(services.NotificationServiceServicer):
    """Messages to people and what became of them."""

    def __init__(self, notifications: Notifications, erasing: Erasing, domain: str) -> None:
        """`domain` is the right side of message ids."""
        self._notifications = notifications
        self._erasing = erasing
        self._domain = domain

    async def SendNotification(self, request: pb.SendNotificationRequest, _: RpcContext) -> pb.SendNotificationResponse:
        principal = current_principal()
        principal.check_tenant(request.tenant_id)
        note = mapping.note(request, request.tenant_id or principal.tenant_id)
        request_id = mapping.request_id(request.request_id)
        sent = await self._notifications.send(note, request_id, principal.visible_tenant)
        return pb.SendNotificationResponse(deliveries=[self._shown(delivery) for delivery in sent])

    async def GetDelivery(self, request: pb.GetDeliveryRequest, _: RpcContext) -> delivery_pb2.Delivery:
        visible = current_principal().visible_tenant
        return self._shown(await self._notifications.get(request.delivery_id, visible))

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, _: RpcContext) -> pb.ListDeliveriesResponse:
        wanted, page = mapping.delivery_filter(request), mapping.read_page(request)
        found = await self._notifications.listed(wanted, page, current_principal().visible_tenant)
        return pb.ListDeliveriesResponse(data=[self._shown(row) for row in found.rows], **mapping.envelope(found))

    async def ResendDelivery(self, request: pb.ResendDeliveryRequest, _: RpcContext) -> delivery_pb2.Delivery:
        visible = current_principal().visible_tenant
        request_id = mapping.request_id(request.request_id)
        return self._shown(await self._notifications.resend(request.delivery_id, request_id, visible))

    async def CancelDelivery(self, request: pb.CancelDeliveryRequest, _: RpcContext) -> delivery_pb2.Delivery:
        visible = current_principal().visible_tenant
        request_id = mapping.request_id(request.request_id)
        return self._shown(await self._notifications.cancel(request.delivery_id, request_id, visible))

    async def EraseRecipient(self, request: pb.EraseRecipientRequest, _: RpcContext) -> pb.EraseRecipientResponse:
        if current_principal().visible_tenant is not None:
            # People may be known to several tenants.
            message = "expected a caller that sees all tenants (tenants.all), found one that does not"
            raise PermissionDenied("all-tenants-needed", message)
        request_id = mapping.request_id(request.request_id)
        return pb.EraseRecipientResponse(removed=await self._erasing.recipient(request.user_id, request_id))

    def _shown(self, record: Any) -> delivery_pb2.Delivery:
        return mapping.delivery(record, self._domain)
