"""How refusals travel over gRPC: the one table of codes, and `google.rpc.Status` in the trailing metadata.

The details hold an ErrorInfo (the reason, the domain, the facts), a BadRequest if fields are named, and a RetryInfo
where it is known or sensible to ask again. All of it together stays below the 8 KiB that receivers take as metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from mesh.errors import (
    Aborted,
    AlreadyExists,
    DomainError,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Status,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

DOMAIN: Final = "flowloom"
DETAILS_KEY: Final = "grpc-status-details-bin"
UNAVAILABLE_RETRY_SECONDS: Final = 1.0
"""What UNAVAILABLE advises to wait if the refusal does not know better."""

MAX_MESSAGE_BYTES: Final = 1000
MAX_FACTS_BYTES: Final = 1200
MAX_VIOLATIONS_BYTES: Final = 1200

CODES: Final[Mapping[Status, grpc.StatusCode]] = MappingProxyType(
    {status: grpc.StatusCode[status.name] for status in Status}
)

_KINDS: Final[Mapping[grpc.StatusCode, type[DomainError]]] = MappingProxyType(
    {
        CODES[kind.status]: kind
        for kind in (
            InvalidArgument,
            OutOfRange,
            Unauthenticated,
            PermissionDenied,
            NotFound,
            AlreadyExists,
            FailedPrecondition,
            Aborted,
            ResourceExhausted,
            Unavailable,
            Unimplemented,
        )
    }
)


def code_number(code: grpc.StatusCode) -> int:
    """Return the number of a code, as it is on the wire."""
    value: Any = code.value
    return int(value[0])


def status_of(refused: DomainError) -> status_pb2.Status:
    """Return the refusal as `google.rpc.Status`, cut to what trailing metadata can carry."""
    status = status_pb2.Status(code=code_number(CODES[refused.status]), message=cut(refused.message, MAX_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=refused.reason, domain=DOMAIN)
    left = MAX_FACTS_BYTES
    for name, value in refused.facts.items():
        info.metadata[name] = cut(value, max(left - len(name), 0))
        left -= len(name) + len(info.metadata[name].encode())
        if left <= 0:
            break
    status.details.add().Pack(info)
    if refused.violations:
        # What the facts leave is theirs too: a form has many fields, and its refusal few facts.
        status.details.add().Pack(_bad_request(refused.violations, MAX_VIOLATIONS_BYTES + max(left, 0)))
    wait_seconds = refused.retry_after_seconds
    if wait_seconds is None and refused.status is Status.UNAVAILABLE:
        wait_seconds = UNAVAILABLE_RETRY_SECONDS
    if wait_seconds is not None:
        delay = duration_pb2.Duration(seconds=int(wait_seconds), nanos=round(wait_seconds % 1 * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


async def refuse(context: RpcContext, refused: DomainError) -> None:
    """End the call with the refusal; raises, as `context.abort` does."""
    status = status_of(refused)
    trailing = (*(context.trailing_metadata() or ()), (DETAILS_KEY, status.SerializeToString()))
    await context.abort(CODES[refused.status], status.message, trailing)


def refusal_in(failed: grpc.aio.AioRpcError) -> DomainError | None:
    """Read a refusal back from what a stub raised; None if the call failed in another way.

    The caller of another service decides whether to pass it on: `raise refusal from failed`.
    """
    kind = _KINDS.get(failed.code())
    packed = next((value for key, value in failed.trailing_metadata() or () if key == DETAILS_KEY), None)
    if kind is None or not isinstance(packed, bytes):
        return None
    status = status_pb2.Status.FromString(packed)
    info = error_details_pb2.ErrorInfo()
    fields = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    wait_seconds: float | None = None
    for detail in status.details:
        if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            wait_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        for wanted in (info, fields):
            detail.Unpack(wanted)
    if info.domain != DOMAIN:
        return None
    violations = [FieldViolation(found.field, found.description) for found in fields.field_violations]
    facts: dict[str, object] = dict(info.metadata)
    return kind(info.reason, status.message, violations=violations, retry_after_seconds=wait_seconds, **facts)


def cut(text: str, max_bytes: int) -> str:
    """Return the text, shortened to so many bytes of UTF-8 if it is longer, with an ellipsis at its end."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[: max(max_bytes - 3, 0)].decode(errors="ignore") + "…"


def _bad_request(violations: tuple[FieldViolation, ...], left: int) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for violation in violations:
        found = request.field_violations.add()
        found.field = cut(violation.field, 100)
        found.description = cut(violation.description, 300)
        left -= found.ByteSize()
        if left < 0:
            break
    return request
