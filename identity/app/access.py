"""What users may do, as others ask for it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from identity.app.ports import Store
from identity.app.requests import check_id, refused
from identity.model.permissions import ALL, ALL_TENANTS, Permissions, has, is_name
from mesh.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether something is allowed; where not, why."""

    allowed: bool
    reason: str = ""


class Access:
    """Answers what users may do. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, clock: Clock, everyone: tuple[str, ...]) -> None:
        """`everyone`: privileges that every user has. Raises ValueError for a name of another form."""
        wrong = next((name for name in everyone if not is_name(name)), None)
        if wrong is not None:
            raise ValueError(f"expected names of privileges in the setting everyone, found {wrong!r}")
        self._store = store
        self._clock = clock
        self._everyone = everyone

    async def permissions(self, user_id: str) -> Permissions:
        """All that a user may do; an unknown user is inactive. Raises InvalidArgument without an id."""
        check_id("user_id", user_id)
        now = self._clock.now()
        found = await self._store.read(lambda work: work.privileges.of_user(user_id, now))
        if not found.active:
            return found
        return msgspec.structs.replace(found, privileges=tuple(sorted({*found.privileges, *self._everyone})))

    async def check(self, user_id: str, privilege: str, tenant_id: str) -> Verdict:
        """Whether the user may do that, there. Raises InvalidArgument for no privilege, or a wildcard."""
        if not is_name(privilege) or privilege.endswith(ALL):
            raise refused("privilege", f"expected the name of one privilege, found '{privilege[:100]}'")
        found = await self.permissions(user_id)
        if not found.active:
            return Verdict(allowed=False, reason="user-inactive")
        if not has(found.privileges, privilege):
            return Verdict(allowed=False, reason="privilege-missing")
        for_all = not found.tenant_id and has(found.privileges, ALL_TENANTS)
        if tenant_id and tenant_id != found.tenant_id and not for_all:
            return Verdict(allowed=False, reason="foreign-tenant")
        return Verdict(allowed=True)
