"""The principal of a call: who asks, for which tenant, in which groups, with which privileges."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mesh.errors import PermissionDenied

ALL_PRIVILEGES: Final = "*"
TENANTS_ALL: Final = "tenants.all"
"""The privilege to see the rows of every tenant, for principals that have no tenant of their own."""
KEPT_PATTERNS: Final = 4096


@lru_cache(maxsize=KEPT_PATTERNS)
def privilege_patterns(privilege: str) -> frozenset[str]:
    """Return every name that grants a privilege: `a.b.c` is granted by itself, `a.b.*`, `a.*` and `*`."""
    parts = privilege.split(".")
    above = (".".join([*parts[:length], ALL_PRIVILEGES]) for length in range(len(parts)))
    return frozenset((privilege, *above))


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. `user_id` is empty for nobody in particular, `tenant_id` for somebody without a tenant.

    `privileges` are names such as `engine.task.complete`, or patterns such as `engine.*` and `*`. `is_service` tells a
    service that does work of its own.
    """

    user_id: str = ""
    tenant_id: str = ""
    groups: tuple[str, ...] = ()
    privileges: frozenset[str] = frozenset()
    is_service: bool = False

    def may(self, privilege: str) -> bool:
        """Tell whether a privilege was granted, by its name or by a pattern."""
        return not self.privileges.isdisjoint(privilege_patterns(privilege))

    def require(self, privilege: str) -> None:
        """Raise PermissionDenied unless the privilege was granted."""
        if not self.may(privilege):
            raise lacks(privilege)

    @property
    def visible_tenant(self) -> str | None:
        """The one tenant whose rows this principal sees, empty for rows without a tenant; None: those of all.

        Whoever has a tenant sees that one, whatever else was granted.
        """
        if self.tenant_id:
            return self.tenant_id
        return None if self.may(TENANTS_ALL) else ""

    def check_tenant(self, tenant_id: str) -> None:
        """Raise PermissionDenied if a request names a tenant that this principal does not see; empty names none."""
        visible = self.visible_tenant
        if tenant_id and visible is not None and tenant_id != visible:
            raise PermissionDenied(
                "foreign-tenant", "expected a tenant that the caller belongs to, found another", tenant_id=tenant_id
            )


def lacks(privilege: str) -> PermissionDenied:
    """Return the refusal of a call for want of a privilege."""
    return PermissionDenied(
        "privilege-missing",
        f"expected a caller with the privilege {privilege}, found one without",
        privilege=privilege,
    )


NOBODY: Final = Principal()
"""Whoever calls a public method without saying who they are."""

_principal: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal:
    """Return who asks, in a servicer's method or anything that it calls.

    Raises LookupError where no guarded call is served: work of a service's own has no principal, by intention.
    """
    principal = _principal.get()
    if principal is None:
        raise LookupError("expected a call that is being served behind a guard, found none")
    return principal


def served_principal() -> Principal | None:
    """Return who asks, or None where a service does work of its own."""
    return _principal.get()


def enter(principal: Principal) -> None:
    """Make this the principal from now on, in the task that serves a call. For the guard."""
    _principal.set(principal)


@contextlib.contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """Make this the principal inside. For tests, and for work that is done later in somebody's name."""
    token = _principal.set(principal)
    try:
        yield
    finally:
        _principal.reset(token)
