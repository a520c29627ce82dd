"""Who asks: what a call's metadata says of its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import grpc

    RpcContext = grpc.aio.ServicerContext[Any, Any]

USER_KEY: Final = "x-user"
"""The metadata key that carries the caller's user id; the edge sets it and strips what a client sent."""


def caller_of(context: RpcContext) -> str:
    """Return the caller's user id, empty if the call names nobody."""
    for key, value in context.invocation_metadata() or ():
        if key == USER_KEY:
            return value if isinstance(value, str) else value.decode()
    return ""
