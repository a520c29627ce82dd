"""Users and tenants in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, exists, func, insert, or_, select, update

from identity.model.people import Password, Picture, Tenant, User, UserInfo
from identity.storage import rows, tables

_user: Final = tables.user.c
USER_COLUMNS: Final = (
    *tables.user.columns,
    func.coalesce(tables.password.c.must_change, False).label("must_change_password"),
    tables.picture.c.user_id.is_not(None).label("has_picture"),
)
USER_FROM: Final = tables.user.outerjoin(tables.password, tables.password.c.user_id == _user.id).outerjoin(
    tables.picture, tables.picture.c.user_id == _user.id
)


def user_of(row: Any) -> User:
    """The user in a row of `USER_COLUMNS`, which may be followed by others."""
    found = dict(row._mapping)
    values = {name: found[name] for name in User.__struct_fields__}
    for flag in ("disabled", "must_change_password", "has_picture"):
        values[flag] = bool(values[flag])
    return User(**values)


class SqlUsers:
    """The `Users` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, user_id: str, *, lock: bool = False) -> User | None:
        if lock and rows.one(self._connection, select(_user.id).where(_user.id == user_id), lock=True) is None:
            return None
        row = rows.one(self._connection, select(*USER_COLUMNS).select_from(USER_FROM).where(_user.id == user_id))
        return None if row is None else user_of(row)

    def any_exists(self) -> bool:
        return self._connection.execute(select(_user.id).limit(1)).first() is not None

    def add(self, user: User) -> None:
        self._connection.execute(insert(tables.user).values(rows.fields_of(user, tables.user)))

    def put(self, user: User) -> None:
        self._connection.execute(
            update(tables.user).where(_user.id == user.id).values(rows.fields_of(user, tables.user))
        )

    def drop(self, user_id: str) -> dict[str, int]:
        found = {
            name: self._delete(table, user_id)
            for name, table in (
                ("password", tables.password),
                ("picture", tables.picture),
                ("user-info", tables.info),
                ("membership", tables.membership),
                ("user-privilege", tables.user_privilege),
            )
        }
        found["user"] = self._connection.execute(delete(tables.user).where(_user.id == user_id)).rowcount
        return found

    def password(self, user_id: str) -> Password | None:
        found = tables.password.c
        row = rows.one(self._connection, select(found.hash, found.must_change).where(found.user_id == user_id))
        return rows.record_of(Password, row)

    def put_password(self, user_id: str, password: Password, now: datetime) -> None:
        values = {"user_id": user_id, "hash": password.hash, "must_change": password.must_change, "changed_at": now}
        rows.put(self._connection, tables.password, values)

    def drop_password(self, user_id: str) -> None:
        self._delete(tables.password, user_id)

    def picture(self, user_id: str) -> Picture | None:
        found = tables.picture.c
        row = rows.one(self._connection, select(found.content_type, found.data).where(found.user_id == user_id))
        return rows.record_of(Picture, row)

    def put_picture(self, user_id: str, picture: Picture) -> None:
        values = {"user_id": user_id, "content_type": picture.content_type, "data": picture.data}
        rows.put(self._connection, tables.picture, values)

    def infos(self, user_id: str) -> Sequence[UserInfo]:
        found = tables.info.c
        statement = select(found.info_key.label("key"), found.value).where(found.user_id == user_id)
        return rows.records_of(UserInfo, self._connection.execute(statement.order_by(found.info_key)).all())

    def put_info(self, user_id: str, info: UserInfo) -> None:
        rows.put(self._connection, tables.info, {"user_id": user_id, "info_key": info.key, "value": info.value})

    def drop_info(self, user_id: str, key: str) -> bool:
        found = tables.info.c
        statement = delete(tables.info).where(found.user_id == user_id, found.info_key == key)
        return self._connection.execute(statement).rowcount > 0

    def _delete(self, table: Table, user_id: str) -> int:
        return self._connection.execute(delete(table).where(table.c.user_id == user_id)).rowcount


class SqlTenants:
    """The `Tenants` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, tenant_id: str, *, lock: bool = False) -> Tenant | None:
        statement = select(tables.tenant).where(tables.tenant.c.id == tenant_id)
        return rows.record_of(Tenant, rows.one(self._connection, statement, lock=lock))

    def add(self, tenant: Tenant) -> None:
        self._connection.execute(insert(tables.tenant).values(rows.fields_of(tenant, tables.tenant)))

    def put(self, tenant: Tenant) -> None:
        rows.put(self._connection, tables.tenant, rows.fields_of(tenant, tables.tenant))

    def drop(self, tenant_id: str) -> None:
        self._connection.execute(delete(tables.tenant).where(tables.tenant.c.id == tenant_id))

    def is_used(self, tenant_id: str) -> bool:
        users = exists().where(_user.tenant_id == tenant_id)
        groups = exists().where(tables.group.c.tenant_id == tenant_id)
        return bool(self._connection.execute(select(or_(users, groups))).scalar_one())
