"""Who calls, and from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from identity.app.authority import Caller
from mesh.access import current_principal

if TYPE_CHECKING:
    import grpc

    RpcContext = grpc.aio.ServicerContext[Any, Any]

FORWARDED_KEY: Final = "x-forwarded-for"
AUTHORIZATION_KEY: Final = "authorization"
_BEARER: Final = "bearer "


def caller() -> Caller:
    """Who calls, as the guard found out."""
    principal = current_principal()
    return Caller(
        user_id=principal.user_id, tenant_id=principal.tenant_id, privileges=tuple(sorted(principal.privileges))
    )


def address_of(context: RpcContext, forwarded_hops: int) -> str:
    """The address of the client: as the proxies in front of us tell it, else of the connection.

    Each proxy adds whom it was called by to the end of x-forwarded-for; what is before that the client made up.
    """
    if forwarded_hops:
        for key, value in context.invocation_metadata() or ():
            if key == FORWARDED_KEY and isinstance(value, str):
                entries = [each.strip() for each in value.split(",")]
                return entries[-forwarded_hops] if len(entries) >= forwarded_hops else entries[0]
    kind, _, rest = context.peer().partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def bearer_of(context: RpcContext) -> str:
    """The token in the metadata `authorization`; empty without one."""
    for key, value in context.invocation_metadata() or ():
        if key == AUTHORIZATION_KEY and isinstance(value, str) and value[: len(_BEARER)].lower() == _BEARER:
            return value[len(_BEARER) :].strip()
    return ""
