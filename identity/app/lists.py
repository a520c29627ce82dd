"""What identity lists: filters that all must hold, within what the caller may see."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Protocol

import msgspec

from identity.model.people import Group, Privilege, Tenant, User
from identity.model.tokens import ApiToken
from mesh.paging import Listed, Page


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose things may be seen: of one tenant (empty: of none), or with None of all."""

    tenant_id: str | None


class UserFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which users."""

    id: str | None = None
    ids: tuple[str, ...] = ()
    first_name: str | None = None
    first_name_like: str | None = None
    last_name: str | None = None
    last_name_like: str | None = None
    display_name: str | None = None
    display_name_like: str | None = None
    email: str | None = None
    email_like: str | None = None
    member_of_group: str | None = None
    member_of_groups: tuple[str, ...] = ()
    tenant_id: str | None = None
    without_tenant_id: bool = False
    disabled: bool | None = None


class GroupFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which groups."""

    id: str | None = None
    ids: tuple[str, ...] = ()
    name: str | None = None
    name_like: str | None = None
    type: str | None = None
    member: str | None = None
    tenant_id: str | None = None
    without_tenant_id: bool = False


class PrivilegeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which privileges."""

    id: str | None = None
    name: str | None = None
    user_id: str | None = None
    group_id: str | None = None


class TenantFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tenants."""

    id: str | None = None
    name: str | None = None
    name_like: str | None = None


class ApiTokenFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which API tokens of which user; `user_id` empty: the caller."""

    user_id: str = ""
    active: bool | None = None


class Lists(Protocol):
    """Pages. Raises InvalidArgument for what cannot be read, Unavailable while the database is away."""

    def users(self, wanted: UserFilter, scope: Scope, page: Page) -> Awaitable[Listed[User]]: ...
    def groups(self, wanted: GroupFilter, scope: Scope, page: Page) -> Awaitable[Listed[Group]]: ...
    def privileges(self, wanted: PrivilegeFilter, page: Page) -> Awaitable[Listed[Privilege]]: ...
    def tenants(self, wanted: TenantFilter, scope: Scope, page: Page) -> Awaitable[Listed[Tenant]]: ...
    def api_tokens(self, wanted: ApiTokenFilter, now: datetime, page: Page) -> Awaitable[Listed[ApiToken]]: ...
