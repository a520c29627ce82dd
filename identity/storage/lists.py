"""Lists out of identity's database: two or three statements for a page, whose filters an index serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, false, or_, select

from identity.app.lists import ApiTokenFilter, GroupFilter, PrivilegeFilter, Scope, TenantFilter, UserFilter
from identity.model.people import Group, Privilege, Tenant, User
from identity.model.tokens import ApiToken
from identity.storage import tables
from identity.storage.people import USER_COLUMNS, USER_FROM, user_of
from identity.storage.tokens import API_TOKEN_COLUMNS
from mesh.db.database import Database
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch, refuse

T = TypeVar("T")

_user: Final = tables.user.c
_group: Final = tables.group.c
_member: Final = tables.membership.c
_privilege: Final = tables.privilege.c
_tenant: Final = tables.tenant.c
_api: Final = tables.api_token.c

MAX_FILTER_VALUES: Final = 10_000
"""Values of one filter at most, such as ids."""

USERS: Final = Sorting(
    name="users",
    columns={
        "id": _user.id,
        "firstName": _user.first_name,
        "lastName": _user.last_name,
        "displayName": _user.display_name,
        "email": _user.email,
        "tenantId": _user.tenant_id,
    },
    default="id",
    key=_user.id,
)
GROUPS: Final = Sorting(
    name="groups",
    columns={"id": _group.id, "name": _group.name, "type": _group.type, "tenantId": _group.tenant_id},
    default="id",
    key=_group.id,
)
PRIVILEGES: Final = Sorting(
    name="privileges", columns={"id": _privilege.id, "name": _privilege.name}, default="id", key=_privilege.id
)
TENANTS: Final = Sorting(
    name="tenants",
    columns={"id": _tenant.id, "name": _tenant.name, "createTime": _tenant.created_at},
    default="id",
    key=_tenant.id,
)
API_TOKENS: Final = Sorting(
    name="api-tokens",
    columns={"id": _api.id, "name": _api.name, "createTime": _api.created_at, "expireTime": _api.expires_at},
    default="id",
    key=_api.id,
)


class SqlLists:
    """The `Lists` of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def users(self, wanted: UserFilter, scope: Scope, page: Page) -> Listed[User]:
        """A page of users."""
        where = self._conditions(_users_where, wanted) + _within(_user.tenant_id, scope)
        statement = select(*USER_COLUMNS).select_from(USER_FROM).where(*where)
        return await self._page(USERS, statement, (wanted, scope), page, user_of)

    async def groups(self, wanted: GroupFilter, scope: Scope, page: Page) -> Listed[Group]:
        """A page of groups; those of all tenants are everybody's."""
        where = self._conditions(_groups_where, wanted) + _within(_group.tenant_id, scope, also_common=True)
        return await self._page(GROUPS, select(tables.group).where(*where), (wanted, scope), page, _reader(Group))

    async def privileges(self, wanted: PrivilegeFilter, page: Page) -> Listed[Privilege]:
        """A page of privileges."""
        statement = select(tables.privilege).where(*self._conditions(_privileges_where, wanted))
        return await self._page(PRIVILEGES, statement, wanted, page, _reader(Privilege))

    async def tenants(self, wanted: TenantFilter, scope: Scope, page: Page) -> Listed[Tenant]:
        """A page of tenants."""
        where = self._conditions(_tenants_where, wanted) + _within(_tenant.id, scope)
        return await self._page(TENANTS, select(tables.tenant).where(*where), (wanted, scope), page, _reader(Tenant))

    async def api_tokens(self, wanted: ApiTokenFilter, now: datetime, page: Page) -> Listed[ApiToken]:
        """A page of one user's API tokens."""
        where: list[ColumnElement[bool]] = [_api.user_id == wanted.user_id]
        if wanted.active is not None:
            gone = or_(_api.revoked_at.is_not(None), and_(_api.expires_at.is_not(None), _api.expires_at <= now))
            where.append(~gone if wanted.active else gone)
        statement = select(*API_TOKEN_COLUMNS).where(*where)
        return await self._page(API_TOKENS, statement, wanted, page, _reader(ApiToken))

    def _conditions(self, fill: Callable[[Conditions, Any], None], wanted: object) -> list[ColumnElement[bool]]:
        conditions = Conditions(sqlite=self._database.is_sqlite)
        fill(conditions, wanted)
        return conditions.all

    async def _page(
        self, sorting: Sorting, statement: Select[Any], wanted: object, page: Page, read: Callable[[Any], T]
    ) -> Listed[T]:
        def work(connection: Connection) -> Listed[T]:
            return fetch(connection, sorting, statement, wanted, page).read(read)

        return await in_database(self._database, work)


class Conditions:
    """Collects what must hold; a filter field that was not given adds nothing."""

    def __init__(self, *, sqlite: bool) -> None:
        self.all: list[ColumnElement[bool]] = []
        self._sqlite = sqlite

    def equal(self, column: ColumnElement[Any], value: str | bool | None) -> None:
        if value is not None:
            self.all.append(column == value)

    def like(self, column: ColumnElement[Any], pattern: str | None) -> None:
        """% stands for any characters and _ for one; nothing else is special, and case counts."""
        if pattern is None:
            return
        if self._sqlite:
            # SQLite's LIKE is deaf to the case of ASCII letters; its GLOB is not, and uses indexes.
            self.all.append(column.op("GLOB", is_comparison=True)(pattern.translate(_GLOB)))
        else:
            self.all.append(column.like(pattern.replace("\\", "\\\\")))

    def one_of(self, column: ColumnElement[Any], values: Sequence[str], field: str) -> None:
        if len(values) > MAX_FILTER_VALUES:
            found = f"expected at most {MAX_FILTER_VALUES} values (limit: MAX_FILTER_VALUES), found {len(values)}"
            raise refuse(field, found)
        if values:
            self.all.append(column.in_(sorted(set(values))))

    def tenant(self, column: ColumnElement[Any], tenant_id: str | None, *, without: bool) -> None:
        self.equal(column, tenant_id)
        if without:
            self.all.append(column == "")


_GLOB: Final = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def _users_where(conditions: Conditions, wanted: UserFilter) -> None:
    conditions.equal(_user.id, wanted.id)
    conditions.one_of(_user.id, wanted.ids, "ids")
    conditions.equal(_user.first_name, wanted.first_name)
    conditions.like(_user.first_name, wanted.first_name_like)
    conditions.equal(_user.last_name, wanted.last_name)
    conditions.like(_user.last_name, wanted.last_name_like)
    conditions.equal(_user.display_name, wanted.display_name)
    conditions.like(_user.display_name, wanted.display_name_like)
    conditions.equal(_user.email, wanted.email)
    conditions.like(_user.email, wanted.email_like)
    conditions.tenant(_user.tenant_id, wanted.tenant_id, without=wanted.without_tenant_id)
    conditions.equal(_user.disabled, wanted.disabled)
    if wanted.member_of_group is not None:
        members = select(_member.user_id).where(_member.group_id == wanted.member_of_group)
        conditions.all.append(_user.id.in_(members))
    if wanted.member_of_groups:
        inside = Conditions(sqlite=False)
        inside.one_of(_member.group_id, wanted.member_of_groups, "member_of_groups")
        conditions.all.append(_user.id.in_(select(_member.user_id).where(*inside.all)))


def _groups_where(conditions: Conditions, wanted: GroupFilter) -> None:
    conditions.equal(_group.id, wanted.id)
    conditions.one_of(_group.id, wanted.ids, "ids")
    conditions.equal(_group.name, wanted.name)
    conditions.like(_group.name, wanted.name_like)
    conditions.equal(_group.type, wanted.type)
    conditions.tenant(_group.tenant_id, wanted.tenant_id, without=wanted.without_tenant_id)
    if wanted.member is not None:
        conditions.all.append(_group.id.in_(select(_member.group_id).where(_member.user_id == wanted.member)))


def _privileges_where(conditions: Conditions, wanted: PrivilegeFilter) -> None:
    conditions.equal(_privilege.id, wanted.id)
    conditions.equal(_privilege.name, wanted.name)
    for column, key, value in (
        (tables.user_privilege.c.privilege_id, tables.user_privilege.c.user_id, wanted.user_id),
        (tables.group_privilege.c.privilege_id, tables.group_privilege.c.group_id, wanted.group_id),
    ):
        if value is not None:
            conditions.all.append(_privilege.id.in_(select(column).where(key == value)))


def _tenants_where(conditions: Conditions, wanted: TenantFilter) -> None:
    conditions.equal(_tenant.id, wanted.id)
    conditions.equal(_tenant.name, wanted.name)
    conditions.like(_tenant.name, wanted.name_like)


def _within(column: ColumnElement[Any], scope: Scope, *, also_common: bool = False) -> list[ColumnElement[bool]]:
    if scope.tenant_id is None:
        return []
    if also_common:
        return [column.in_(sorted({scope.tenant_id, ""}))]
    if column is _tenant.id and not scope.tenant_id:
        return [false()]
    return [column == scope.tenant_id]


def _reader(kind: type[T]) -> Callable[[Any], T]:
    """Reads a row whose first columns are the fields of the record."""

    def read(row: Any) -> T:
        found = dict(row._mapping)
        return kind(**{name: found[name] for name in kind.__struct_fields__})  # type: ignore[attr-defined]

    return read
