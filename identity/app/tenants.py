"""Tenants: made and deleted by who acts for all of them."""

from __future__ import annotations

import msgspec

from identity.app.authority import Caller, no_such_tenant
from identity.app.ports import Store, Work
from identity.app.requests import check_id, check_texts, once, request_of
from identity.model.people import Tenant
from mesh.clock import Clock
from mesh.errors import AlreadyExists, FailedPrecondition


class Tenants:
    """The use cases of tenants. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, caller: Caller, tenant_id: str, name: str, request_id: str) -> Tenant:
        """Make a tenant. Raises AlreadyExists, InvalidArgument, PermissionDenied."""
        check_id("id", tenant_id)
        check_texts(name=name)
        caller.must_act_for_all()
        request = request_of(caller, f"CreateTenant {tenant_id}", request_id)
        now = self._clock.now()

        def make(work: Work) -> Tenant:
            if work.tenants.find(tenant_id) is not None:
                raise AlreadyExists("tenant-exists", f"expected a new tenant id, found that '{tenant_id}' is taken")
            tenant = Tenant(id=tenant_id, name=name, created_at=now)
            work.tenants.add(tenant)
            return tenant

        return await self._store.write(lambda work: once(work, request, now, Tenant, lambda: make(work)))

    async def get(self, caller: Caller, tenant_id: str) -> Tenant:
        """One tenant. Raises NotFound."""
        return await self._store.read(lambda work: _in_sight(work, caller, tenant_id))

    async def update(self, caller: Caller, tenant_id: str, name: str | None, request_id: str) -> Tenant:
        """Change a tenant's name. Raises NotFound, InvalidArgument."""
        check_texts(name=name)
        request = request_of(caller, f"UpdateTenant {tenant_id}", request_id)
        now = self._clock.now()

        def change(work: Work) -> Tenant:
            tenant = _in_sight(work, caller, tenant_id, lock=True)
            if name is not None:
                tenant = msgspec.structs.replace(tenant, name=name)
                work.tenants.put(tenant)
            return tenant

        return await self._store.write(lambda work: once(work, request, now, Tenant, lambda: change(work)))

    async def delete(self, caller: Caller, tenant_id: str, request_id: str) -> None:
        """Delete a tenant without users and groups. Raises NotFound, FailedPrecondition, PermissionDenied."""
        caller.must_act_for_all()
        request = request_of(caller, f"DeleteTenant {tenant_id}", request_id)
        now = self._clock.now()

        def remove(work: Work) -> None:
            tenant = _in_sight(work, caller, tenant_id, lock=True)
            if work.tenants.is_used(tenant.id):
                raise FailedPrecondition(
                    "tenant-in-use", f"expected tenant '{tenant.id}' to have no users and groups, found some"
                )
            work.tenants.drop(tenant.id)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: remove(work)))


def _in_sight(work: Work, caller: Caller, tenant_id: str, *, lock: bool = False) -> Tenant:
    tenant = work.tenants.find(tenant_id, lock=lock)
    if tenant is None or not (caller.acts_for_all or caller.tenant_id == tenant_id):
        raise no_such_tenant(tenant_id)
    return tenant
