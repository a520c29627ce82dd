"""The one table between what the kernel refuses and what a service answers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, Final, TypeVar

from engine.kernel import errors as kernel
from mesh import errors as mesh

S = TypeVar("S")

MAX_REQUEST_ID_CHARACTERS: Final = 128

KINDS: Final[Mapping[str, type[mesh.DomainError]]] = MappingProxyType(
    {
        kernel.NOT_FOUND: mesh.NotFound,
        kernel.INVALID_ARGUMENT: mesh.InvalidArgument,
        kernel.FAILED_PRECONDITION: mesh.FailedPrecondition,
        kernel.ALREADY_EXISTS: mesh.AlreadyExists,
        kernel.PERMISSION_DENIED: mesh.PermissionDenied,
        kernel.RESOURCE_EXHAUSTED: mesh.ResourceExhausted,
    }
)
BY_REASON: Final[Mapping[str, type[mesh.DomainError]]] = MappingProxyType(
    {
        # Flowable answers 409 to a suspension of what is suspended, and the contract says so.
        "already-suspended": mesh.AlreadyExists,
        "already-active": mesh.AlreadyExists,
        "element-not-found": mesh.NotFound,
    }
)
"""Refusals that the contract answers otherwise than their kernel status says."""


def domain_error(refused: kernel.Refused) -> mesh.DomainError:
    """Return the refusal as this service answers it. Raises KeyError for a status that the table does not have."""
    facts: dict[str, object] = dict(refused.facts)
    kind = BY_REASON.get(refused.reason) or KINDS[refused.status]
    return kind(refused.reason, refused.message, violations=(), retry_after_seconds=None, **facts)


def invalid_request(field: str, message: str) -> mesh.InvalidArgument:
    """Return the refusal of one field of a request; `message` says what was expected and what was found."""
    return mesh.InvalidArgument("invalid-request", message, violations=[mesh.FieldViolation(field, message)])


def answers_refusals(servicer: type[S]) -> type[S]:
    """Class decorator: what the kernel refuses in any RPC of the servicer is answered by the table above.

    A request_id that is too long to be kept is refused before anything happens.
    """
    for name, method in vars(servicer).items():
        if name.startswith("_"):
            continue
        if inspect.isasyncgenfunction(method):
            setattr(servicer, name, _answering_stream(method))
        elif inspect.iscoroutinefunction(method):
            setattr(servicer, name, _answering(method))
    return servicer


def _answering(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def answering(self: object, request: object, context: object) -> Any:
        check_request_id(request)
        try:
            return await method(self, request, context)
        except kernel.Refused as refused:
            raise domain_error(refused) from refused

    return answering


def _answering_stream(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    async def answering(self: object, request: object, context: object) -> AsyncIterator[Any]:
        check_request_id(request)
        try:
            async for response in method(self, request, context):
                yield response
        except kernel.Refused as refused:
            raise domain_error(refused) from refused

    return answering


def check_request_id(request: object) -> None:
    """Raises InvalidArgument for a request_id that is too long to be kept."""
    length = len(getattr(request, "request_id", ""))
    if length > MAX_REQUEST_ID_CHARACTERS:
        found = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {length}"
        raise invalid_request("request_id", found)
