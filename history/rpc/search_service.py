# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.SearchService`."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, Final

import grpc
import msgspec
from flowloom.history.v1 import search_service_pb2 as pb
from flowloom.history.v1 import search_service_pb2_grpc as services

from history.app.searching import Found, Searching, Wish
from history.rpc import calling
from mesh.paging import refuse

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

DEFAULT_SIZE: Final = 10


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    mark: str
    owner_id: str
    field: str


class SearchServicer(services.SearchServiceServicer):
    """Searches what history keeps."""

    def __init__(self, searching: Searching) -> None:
        self._searching = searching

    async def SearchHistory(self, request: pb.SearchHistoryRequest, _: RpcContext) -> pb.SearchHistoryResponse:
        scope = calling.scope(request.tenant_id)
        about = repr((request.text, tuple(request.fields), request.tenant_id, scope)).encode()
        mark = hashlib.blake2b(about, digest_size=8).hexdigest()
        wish = Wish(
            words=(),
            fields=tuple(request.fields),
            tenant_id=request.tenant_id if request.HasField("tenant_id") else None,
            after=_read_token(request.page_token, mark) if request.page_token else None,
            size=request.size if request.HasField("size") else DEFAULT_SIZE,
        )
        found, last = await self._searching.search(request.text, wish, scope)
        token = None if last is None else _token(mark, last)
        return pb.SearchHistoryResponse(data=[_hit(one) for one in found], next_page_token=token)


def _hit(found: Found) -> pb.SearchHit:
    task, instance = found.task, found.instance
    name = task.name if task is not None else instance.name if instance is not None else ""
    return pb.SearchHit(
        process_instance_id=found.hit.instance_id or None,
        task_id=None if task is None else task.id,
        field=found.hit.field,
        name=name or None,
        business_key=(instance.business_key or None) if instance is not None else None,
        process_definition_key=instance.definition_key if instance is not None else None,
        state=instance.state if instance is not None else None,
        tenant_id=instance.tenant_id if instance is not None else task.tenant_id if task is not None else "",
    )


def _token(mark: str, last: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(mark, *last))).decode().rstrip("=")


def _read_token(token: str, mark: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(text, type=_Cursor)
    except ValueError as error:  # also what base64 and msgspec raise
        raise refuse("page_token", "expected the next_page_token of an answer before, found another text") from error
    if cursor.mark != mark:
        raise refuse("page_token", "expected a page token of the same search, found another one")
    return cursor.owner_id, cursor.field
