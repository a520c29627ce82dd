"""What servicers read off a call: who asks, in which tenant, and under which request id."""

from __future__ import annotations

from typing import Final

from history.app.queries import Scope
from mesh.access import current_principal
from mesh.errors import InvalidArgument, PermissionDenied

MAX_REQUEST_ID_CHARACTERS: Final = 128


def scope(named_tenant: str = "") -> Scope:
    """Whose rows the caller sees. Raises PermissionDenied if the request names a tenant that it does not see."""
    who = current_principal()
    who.check_tenant(named_tenant)
    return who.visible_tenant


def own_tenant(named: str) -> str:
    """The tenant that a request is about: the one it names, or else the caller's. Raises PermissionDenied."""
    who = current_principal()
    who.check_tenant(named)
    return named or who.tenant_id


def all_tenants() -> None:
    """Raise PermissionDenied unless the caller sees the rows of all tenants."""
    if current_principal().visible_tenant is not None:
        raise PermissionDenied(
            "all-tenants-needed", "expected a caller that sees all tenants (tenants.all), found one that does not"
        )


def user_id() -> str:
    """Who asks; empty for nobody in particular."""
    return current_principal().user_id


def request_id(given: str) -> str:
    """The request's id, checked. Raises InvalidArgument."""
    if len(given) > MAX_REQUEST_ID_CHARACTERS:
        message = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {len(given)}"
        raise InvalidArgument("request-id-too-long", message)
    return given
