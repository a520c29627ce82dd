"""What servicers read off a call: who asks, in which tenant, and under which request id."""

from __future__ import annotations

from typing import Final

from history.app.queries import Scope
from mesh.access import current_principal
from mesh.errors import InvalidArgument

MAX_REQUEST_ID_CHARACTERS: Final = 128


def scope(named_tenant: str = "") -> Scope:
    """Whose rows the caller sees. Raises PermissionDenied if the request names a tenant that it does not see."""
    who = current_principal()
    who.check_tenant(named_tenant)
    return who.visible_tenant


def user_id() -> str:
    """Who asks; empty for nobody in particular."""
    return current_principal().user_id


def request_id(given: str) -> str:
    """The request's id, checked. Raises InvalidArgument."""
    if len(given) > MAX_REQUEST_ID_CHARACTERS:
        message = f"expected a request_id of at most {MAX_REQUEST_ID_CHARACTERS} characters, found {len(given)}"
        raise InvalidArgument("request-id-too-long", message)
    return given
