"""Who asks, and which tenant's rows they see."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mesh.access import current_principal
from mesh.errors import PermissionDenied

F = TypeVar("F", bound=msgspec.Struct)


def caller_of() -> str:
    """Return the caller's user id; empty for a service that works for itself."""
    principal = current_principal()
    return "" if principal.is_service else principal.user_id


def tenant_of(asked: str) -> str:
    """Return the tenant that a request acts in: the one it names, else the caller's own.

    Raises PermissionDenied for a tenant that the caller does not see.
    """
    principal = current_principal()
    principal.check_tenant(asked)
    return asked or principal.tenant_id


def visible_tenant() -> str | None:
    """Return the one tenant whose rows the caller sees, empty for those without a tenant; None: those of all."""
    return current_principal().visible_tenant


def sees(tenant_id: str) -> bool:
    """Tell whether the caller sees rows of a tenant."""
    visible = visible_tenant()
    return visible is None or tenant_id == visible


def check_sees_all() -> None:
    """Raise PermissionDenied unless the caller sees the rows of all tenants."""
    if visible_tenant() is not None:
        message = "expected a caller that sees all tenants (tenants.all), found one that does not"
        raise PermissionDenied("all-tenants-needed", message)


def narrowed(wanted: F) -> F:
    """Return a list's filter (with a `tenant_id`) bounded to what the caller sees. Raises PermissionDenied."""
    asked: str | None = getattr(wanted, "tenant_id")  # noqa: B009 - the filters share no base
    current_principal().check_tenant(asked or "")
    visible = visible_tenant()
    return wanted if visible is None else msgspec.structs.replace(wanted, tenant_id=visible)
