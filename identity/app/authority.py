"""What a caller may see and change: their tenant's, and nobody gives away what they do not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from identity.app.lists import Scope
from identity.app.ports import Work
from identity.model.people import Group, User
from identity.model.permissions import ALL, ALL_TENANTS, has, missing
from mesh.errors import FailedPrecondition, NotFound, PermissionDenied

ADMINISTRATORS: Final = "administrators"
"""The latch of whatever could take `*` from its last user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, and with which privileges."""

    user_id: str = ""
    tenant_id: str = ""
    privileges: tuple[str, ...] = ()

    @property
    def acts_for_all(self) -> bool:
        """Tell whether every tenant is theirs; who has a tenant has that one, whatever else was given to them."""
        return not self.tenant_id and has(self.privileges, ALL_TENANTS)

    @property
    def scope(self) -> Scope:
        """Whose things they see."""
        return Scope(tenant_id=None if self.acts_for_all else self.tenant_id)

    def has(self, privilege: str) -> bool:
        """Tell whether they have the privilege."""
        return has(self.privileges, privilege)

    def must_act_for_all(self) -> None:
        """Raise PermissionDenied unless every tenant is theirs."""
        if not self.acts_for_all:
            raise PermissionDenied(
                "foreign-tenant",
                f"expected a caller without a tenant who has the privilege {ALL_TENANTS}, found another",
            )

    def tenant_of_new(self, wanted: str | None) -> str:
        """The tenant of what they make. Raises PermissionDenied for another one than theirs."""
        if self.acts_for_all:
            return wanted or ""
        if wanted is not None and wanted != self.tenant_id:
            raise PermissionDenied(
                "foreign-tenant", f"expected your own tenant, found '{wanted}' without the privilege {ALL_TENANTS}"
            )
        return self.tenant_id

    def must_have(self, privileges: Iterable[str], why: str) -> None:
        """Raise PermissionDenied if one of the privileges is not theirs."""
        lacking = missing(self.privileges, privileges)
        if lacking is not None:
            raise PermissionDenied(
                "privilege-not-yours",
                f"expected you to have the privilege {lacking} yourself: {why}",
                privilege=lacking,
            )

    def must_equal(self, work: Work, user_id: str) -> Sequence[str]:
        """Return the privileges of a user, also of a disabled one.

        Raises PermissionDenied if the caller lacks one of them: it would be taken over.
        """
        privileges = work.privileges.names_of(user_id)
        self.must_have(privileges, f"user '{user_id}' has it")
        return privileges


def user_in_sight(work: Work, caller: Caller, user_id: str, *, lock: bool = False) -> User:
    """The user. Raises NotFound, also for one of another tenant."""
    user = work.users.find(user_id, lock=lock)
    if user is None or not _sees(caller, user.tenant_id):
        raise no_such_user(user_id)
    return user


def group_in_sight(work: Work, caller: Caller, group_id: str, *, lock: bool = False) -> Group:
    """The group, or one of all tenants. Raises NotFound."""
    group = work.groups.find(group_id, lock=lock)
    if group is None or not (_sees(caller, group.tenant_id) or not group.tenant_id):
        raise no_such_group(group_id)
    return group


def group_to_change(work: Work, caller: Caller, group_id: str) -> Group:
    """The group, locked. Raises NotFound, and PermissionDenied for one of all tenants that is not theirs to change."""
    group = group_in_sight(work, caller, group_id, lock=True)
    if not _sees(caller, group.tenant_id):
        raise PermissionDenied(
            "foreign-tenant", f"expected a group of your tenant, found '{group_id}', which is one of all tenants"
        )
    return group


def keep_an_administrator(work: Work) -> None:
    """Raise FailedPrecondition if nobody would have `*` any more. Before it, `work.lock(ADMINISTRATORS)`."""
    if work.privileges.named(ALL) is None or work.privileges.administrators() == 0:
        raise FailedPrecondition(
            "last-administrator", f"expected somebody to keep the privilege {ALL}, found that nobody would have it"
        )


def no_such_user(user_id: str) -> NotFound:
    """There is none, or not for this caller."""
    return NotFound("user-not-found", f"expected a user, found none with id '{user_id}'", user_id=user_id)


def no_such_group(group_id: str) -> NotFound:
    """There is none, or not for this caller."""
    return NotFound("group-not-found", f"expected a group, found none with id '{group_id}'", group_id=group_id)


def no_such_tenant(tenant_id: str) -> NotFound:
    """There is none, or not for this caller."""
    return NotFound("tenant-not-found", f"expected a tenant, found none with id '{tenant_id}'", tenant_id=tenant_id)


def existing_tenant(work: Work, tenant_id: str) -> None:
    """Raise NotFound unless the tenant is there, or none is meant; it stays there until the transaction ends."""
    if tenant_id and work.tenants.find(tenant_id, lock=True) is None:
        raise no_such_tenant(tenant_id)


def _sees(caller: Caller, tenant_id: str) -> bool:
    return caller.acts_for_all or caller.tenant_id == tenant_id
