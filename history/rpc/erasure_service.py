# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.ErasureService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from flowloom.history.v1 import erasure_service_pb2 as pb
from flowloom.history.v1 import erasure_service_pb2_grpc as services

from history.app.erasing import Erasing, PersonWish
from history.model.erasure import Erasure
from history.rpc import calling, mapping

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


class ErasureServicer(services.ErasureServiceServicer):
    """Erases for good, and proves it. Who sees one tenant only may erase that tenant, and no person: people may be
    known to several."""

    def __init__(self, erasing: Erasing) -> None:
        self._erasing = erasing

    async def ErasePerson(self, request: pb.ErasePersonRequest, _: RpcContext) -> pb.Erasure:
        calling.all_tenants()
        wish = PersonWish(
            user_id=request.user_id,
            variable_names=tuple(request.variable_names),
            with_comments=request.with_comments,
            requested_by=calling.user_id(),
            request_id=calling.request_id(request.request_id),
        )
        return _erasure(await self._erasing.person(wish))

    async def EraseTenant(self, request: pb.EraseTenantRequest, _: RpcContext) -> pb.Erasure:
        calling.scope(request.tenant_id)
        asked = calling.request_id(request.request_id)
        return _erasure(await self._erasing.tenant(request.tenant_id, calling.user_id(), asked))

    async def GetErasure(self, request: pb.GetErasureRequest, _: RpcContext) -> pb.Erasure:
        calling.all_tenants()
        return _erasure(await self._erasing.get(request.erasure_id))

    async def ListErasures(self, request: pb.ListErasuresRequest, _: RpcContext) -> pb.ListErasuresResponse:
        calling.all_tenants()
        subject_id = request.subject_id if request.HasField("subject_id") else None
        page = await self._erasing.store.listed(subject_id, mapping.read_page(request))
        return pb.ListErasuresResponse(data=[_erasure(found) for found in page.rows], **mapping.envelope(page))

    async def VerifyErasures(self, _request: pb.VerifyErasuresRequest, _: RpcContext) -> pb.VerifyErasuresResponse:
        calling.all_tenants()
        valid, checked, broken = await self._erasing.verify()
        return pb.VerifyErasuresResponse(valid=valid, checked=checked, broken_erasure_id=broken or None)


def _erasure(found: Erasure) -> pb.Erasure:
    return pb.Erasure(
        id=found.id,
        number=found.number,
        kind=found.kind,
        subject=found.subject,
        requested_by=found.requested_by or None,
        erase_time=mapping.stamp(found.erased_at),
        rows=[pb.ErasedRows(table=rows.table, changed=rows.changed, deleted=rows.deleted) for rows in found.rows],
        previous_hash=found.previous_hash,
        hash=found.hash,
        signature=found.signature or None,
    )
