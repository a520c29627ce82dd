"""Groups and privileges in a transaction: who is in which, who has what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, insert, select, union, update

from identity.model.people import Group, Membership, Privilege, User
from identity.model.permissions import ALL, Permissions
from identity.storage import rows, tables
from identity.storage.people import USER_COLUMNS, USER_FROM, user_of

_user: Final = tables.user.c
_group: Final = tables.group.c
_member: Final = tables.membership.c
_privilege: Final = tables.privilege.c
_of_user: Final = tables.user_privilege.c
_of_group: Final = tables.group_privilege.c


class SqlGroups:
    """The `Groups` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, group_id: str, *, lock: bool = False) -> Group | None:
        statement = select(tables.group).where(_group.id == group_id)
        return rows.record_of(Group, rows.one(self._connection, statement, lock=lock))

    def add(self, group: Group) -> None:
        self._connection.execute(insert(tables.group).values(rows.fields_of(group, tables.group)))

    def put(self, group: Group) -> None:
        values = rows.fields_of(group, tables.group)
        self._connection.execute(update(tables.group).where(_group.id == group.id).values(values))

    def drop(self, group_id: str) -> None:
        self._connection.execute(delete(tables.membership).where(_member.group_id == group_id))
        self._connection.execute(delete(tables.group_privilege).where(_of_group.group_id == group_id))
        self._connection.execute(delete(tables.group).where(_group.id == group_id))

    def existing(self, group_ids: Iterable[str]) -> Sequence[Group]:
        statement = select(tables.group).where(_group.id.in_(sorted(set(group_ids)))).order_by(_group.id)
        return rows.records_of(Group, self._connection.execute(statement).all())

    def members(self, group_id: str) -> Sequence[str]:
        return self._ids(select(_member.user_id).where(_member.group_id == group_id).order_by(_member.user_id))

    def is_member(self, membership: Membership) -> bool:
        return self._connection.execute(select(_member.user_id).where(*_same(membership))).first() is not None

    def add_member(self, membership: Membership, *, from_issuer: bool = False) -> None:
        values = {"user_id": membership.user_id, "group_id": membership.group_id, "from_issuer": from_issuer}
        self._connection.execute(insert(tables.membership).values(values))

    def drop_member(self, membership: Membership) -> bool:
        return self._connection.execute(delete(tables.membership).where(*_same(membership))).rowcount > 0

    def of_issuer(self, user_id: str) -> Sequence[str]:
        told = _member.from_issuer.is_(True)
        return self._ids(select(_member.group_id).where(_member.user_id == user_id, told).order_by(_member.group_id))

    def of_user(self, user_id: str) -> Sequence[str]:
        return self._ids(select(_member.group_id).where(_member.user_id == user_id).order_by(_member.group_id))

    def _ids(self, statement: Select[Any]) -> Sequence[str]:
        return list(self._connection.execute(statement).scalars())


class SqlPrivileges:
    """The `Privileges` of a connection's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, privilege_id: str, *, lock: bool = False) -> Privilege | None:
        statement = select(tables.privilege).where(_privilege.id == privilege_id)
        return rows.record_of(Privilege, rows.one(self._connection, statement, lock=lock))

    def named(self, name: str) -> Privilege | None:
        return rows.record_of(
            Privilege, rows.one(self._connection, select(tables.privilege).where(_privilege.name == name))
        )

    def add(self, privilege: Privilege) -> None:
        self._connection.execute(insert(tables.privilege).values(rows.fields_of(privilege, tables.privilege)))

    def drop(self, privilege_id: str) -> None:
        self._connection.execute(delete(tables.user_privilege).where(_of_user.privilege_id == privilege_id))
        self._connection.execute(delete(tables.group_privilege).where(_of_group.privilege_id == privilege_id))
        self._connection.execute(delete(tables.privilege).where(_privilege.id == privilege_id))

    def users(self, privilege_id: str) -> Sequence[User]:
        having = select(_of_user.user_id).where(_of_user.privilege_id == privilege_id)
        statement = select(*USER_COLUMNS).select_from(USER_FROM).where(_user.id.in_(having)).order_by(_user.id)
        return [user_of(row) for row in self._connection.execute(statement).all()]

    def groups(self, privilege_id: str) -> Sequence[Group]:
        having = select(_of_group.group_id).where(_of_group.privilege_id == privilege_id)
        statement = select(tables.group).where(_group.id.in_(having)).order_by(_group.id)
        return rows.records_of(Group, self._connection.execute(statement).all())

    def reached(self, privilege_id: str) -> Sequence[str]:
        by_themselves = select(_of_user.user_id).where(_of_user.privilege_id == privilege_id)
        by_group = (
            select(_member.user_id)
            .join(tables.group_privilege, _of_group.group_id == _member.group_id)
            .where(_of_group.privilege_id == privilege_id)
        )
        return self._connection.execute(union(by_themselves, by_group)).scalars().all()

    def give_user(self, privilege_id: str, user_id: str) -> None:
        rows.put(
            self._connection,
            tables.user_privilege,
            {"user_id": user_id, "privilege_id": privilege_id},
        )

    def take_user(self, privilege_id: str, user_id: str) -> bool:
        having = (_of_user.user_id == user_id, _of_user.privilege_id == privilege_id)
        return self._connection.execute(delete(tables.user_privilege).where(*having)).rowcount > 0

    def give_group(self, privilege_id: str, group_id: str) -> None:
        rows.put(
            self._connection,
            tables.group_privilege,
            {"group_id": group_id, "privilege_id": privilege_id},
        )

    def take_group(self, privilege_id: str, group_id: str) -> bool:
        having = (_of_group.group_id == group_id, _of_group.privilege_id == privilege_id)
        return self._connection.execute(delete(tables.group_privilege).where(*having)).rowcount > 0

    def of_group(self, group_id: str) -> Sequence[str]:
        statement = (
            select(_privilege.name)
            .join(tables.group_privilege, _of_group.privilege_id == _privilege.id)
            .where(_of_group.group_id == group_id)
        )
        return self._connection.execute(statement.order_by(_privilege.name)).scalars().all()

    def of_user(self, user_id: str, now: datetime) -> Permissions:
        user = self._connection.execute(
            select(_user.tenant_id, _user.disabled, _user.token_generation).where(_user.id == user_id)
        ).first()
        if user is None:
            return Permissions(user_id=user_id)
        revoked = tables.revoked_token.c
        gone = select(revoked.token_id).where(revoked.user_id == user_id, revoked.until > now)
        told = Permissions(
            user_id=user_id,
            active=not user.disabled,
            tenant_id=user.tenant_id,
            token_generation=user.token_generation,
            revoked_token_ids=tuple(sorted(self._connection.execute(gone).scalars())),
        )
        if user.disabled:
            return told
        groups = self._connection.execute(select(_member.group_id).where(_member.user_id == user_id)).scalars().all()
        return Permissions(
            user_id=user_id,
            active=True,
            tenant_id=told.tenant_id,
            groups=tuple(sorted(groups)),
            privileges=tuple(self.names_of(user_id)),
            token_generation=told.token_generation,
            revoked_token_ids=told.revoked_token_ids,
        )

    def names_of(self, user_id: str) -> Sequence[str]:
        return sorted(self._connection.execute(_names_of(user_id)).scalars())

    def administrators(self) -> int:
        of_all = select(_privilege.id).where(_privilege.name == ALL).scalar_subquery()
        by_themselves = select(_of_user.user_id).where(_of_user.privilege_id == of_all)
        by_group = (
            select(_member.user_id)
            .join(tables.group_privilege, _of_group.group_id == _member.group_id)
            .where(_of_group.privilege_id == of_all)
        )
        holders = union(by_themselves, by_group).subquery()
        statement = (
            select(func.count())
            .select_from(holders)
            .join(tables.user, _user.id == holders.c.user_id)
            .where(_user.disabled.is_(False))
        )
        return int(self._connection.execute(statement).scalar_one())


def _names_of(user_id: str) -> Select[Any]:
    by_themselves = (
        select(_privilege.name)
        .join(tables.user_privilege, _of_user.privilege_id == _privilege.id)
        .where(_of_user.user_id == user_id)
    )
    by_group = (
        select(_privilege.name)
        .join(tables.group_privilege, _of_group.privilege_id == _privilege.id)
        .join(tables.membership, _member.group_id == _of_group.group_id)
        .where(_member.user_id == user_id)
    )
    return select(union(by_themselves, by_group).subquery().c.name)


def _same(membership: Membership) -> tuple[Any, ...]:
    return (_member.user_id == membership.user_id, _member.group_id == membership.group_id)
