"""Translates requests for the description of the interface: a page, its parts, and the document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import grpc
from flowloom.gateway.v1 import description_service_pb2_grpc as rpc
from google.api.httpbody_pb2 import HttpBody

from mesh.errors import NotFound

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

_PAGE: Final = "index.html"
_PARTS: Final = {"page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}


class DescriptionServicer(rpc.DescriptionServiceServicer):
    """Serves what is beside this file in `pages/`, and a document that is made when it is first asked for."""

    def __init__(self, make_document: Callable[[], dict[str, Any]]) -> None:
        """`make_document` returns the OpenAPI document; it is called once, in a thread."""
        self._make_document = make_document
        self._document: asyncio.Task[bytes] | None = None

    async def GetDocumentation(self, request: Any, context: RpcContext) -> HttpBody:  # noqa: N802, ARG002
        """Return the page."""
        return await _page(_PAGE, "text/html; charset=utf-8")

    async def GetDocumentationPart(self, request: Any, context: RpcContext) -> HttpBody:  # noqa: N802, ARG002
        """Return a part of the page."""
        kind = _PARTS.get(request.name)
        if kind is None:
            raise NotFound("no-such-part", f"expected one of {', '.join(_PARTS)}, found {request.name!r}")
        return await _page(request.name, kind)

    async def GetOpenApi(self, request: Any, context: RpcContext) -> HttpBody:  # noqa: N802, ARG002
        """Return the document."""
        if self._document is None:
            self._document = asyncio.create_task(asyncio.to_thread(self._written))
        return HttpBody(content_type="application/json", data=await asyncio.shield(self._document))

    def _written(self) -> bytes:
        return json.dumps(self._make_document(), separators=(",", ":")).encode()


async def _page(name: str, kind: str) -> HttpBody:
    data = await asyncio.to_thread(files("gateway.rpc").joinpath("pages", name).read_bytes)
    return HttpBody(content_type=kind, data=data)
