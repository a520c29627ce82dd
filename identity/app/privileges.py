"""Privileges: making them, giving them, taking them away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from identity.app.authority import ADMINISTRATORS, Caller, group_to_change, keep_an_administrator, user_in_sight
from identity.app.ports import Store, Work
from identity.app.requests import check_id, once, refused, request_of
from identity.model.people import Group, Privilege, User
from identity.model.permissions import ALL, is_name
from mesh.clock import Clock
from mesh.errors import AlreadyExists, NotFound
from mesh.ids import IdSource


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A privilege and who has it."""

    privilege: Privilege
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


class Privileges:
    """The use cases of privileges. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock

    async def create(self, caller: Caller, name: str, request_id: str) -> Privilege:
        """Make a privilege. Raises AlreadyExists, InvalidArgument."""
        check_id("name", name)
        if not is_name(name):
            raise refused("name", f"expected words between dots with a wildcard at the end at most, found '{name}'")
        request = request_of(caller, f"CreatePrivilege {name}", request_id)
        now = self._clock.now()

        def make(work: Work) -> Privilege:
            if work.privileges.named(name) is not None:
                raise AlreadyExists("privilege-exists", f"expected a new privilege, found that '{name}' is there")
            privilege = Privilege(id=self._ids.root(), name=name)
            work.privileges.add(privilege)
            return privilege

        return await self._store.write(lambda work: once(work, request, now, Privilege, lambda: make(work)))

    async def get(self, caller: Caller, privilege_id: str) -> Held:
        """A privilege and who of those that the caller sees has it. Raises NotFound."""

        def look(work: Work) -> Held:
            privilege = _existing(work, privilege_id)
            return Held(
                privilege=privilege,
                users=tuple(_seen_users(work, caller, privilege_id)),
                groups=tuple(_seen_groups(work, caller, privilege_id)),
            )

        return await self._store.read(look)

    async def delete(self, caller: Caller, privilege_id: str, request_id: str) -> None:
        """Delete a privilege. Raises NotFound, PermissionDenied, FailedPrecondition."""

        def remove(work: Work, privilege: Privilege) -> None:
            work.changed(work.privileges.reached(privilege.id))
            work.privileges.drop(privilege.id)

        await self._change(caller, privilege_id, f"DeletePrivilege {privilege_id}", request_id, remove)

    async def give_user(self, caller: Caller, privilege_id: str, user_id: str, request_id: str) -> None:
        """Give it to a user. Raises InvalidArgument for no user, NotFound, PermissionDenied."""
        check_id("user_id", user_id)

        def give(work: Work, privilege: Privilege) -> None:
            user = user_in_sight(work, caller, user_id, lock=True)
            work.privileges.give_user(privilege.id, user.id)
            work.changed([user.id])

        await self._change(caller, privilege_id, f"AddPrivilegeUser {privilege_id} {user_id}", request_id, give)

    async def take_user(self, caller: Caller, privilege_id: str, user_id: str, request_id: str) -> None:
        """Take it from a user. Raises NotFound, PermissionDenied, FailedPrecondition."""

        def take(work: Work, privilege: Privilege) -> None:
            user = user_in_sight(work, caller, user_id)
            if not work.privileges.take_user(privilege.id, user.id):
                raise _not_given(privilege, f"user '{user_id}'")
            work.changed([user.id])

        await self._change(caller, privilege_id, f"RemovePrivilegeUser {privilege_id} {user_id}", request_id, take)

    async def give_group(self, caller: Caller, privilege_id: str, group_id: str, request_id: str) -> None:
        """Give it to a group. Raises InvalidArgument for no group, NotFound, PermissionDenied."""
        check_id("group_id", group_id)

        def give(work: Work, privilege: Privilege) -> None:
            group = group_to_change(work, caller, group_id)
            work.privileges.give_group(privilege.id, group.id)
            work.changed(work.groups.members(group.id))

        await self._change(caller, privilege_id, f"AddPrivilegeGroup {privilege_id} {group_id}", request_id, give)

    async def take_group(self, caller: Caller, privilege_id: str, group_id: str, request_id: str) -> None:
        """Take it from a group. Raises NotFound, PermissionDenied, FailedPrecondition."""

        def take(work: Work, privilege: Privilege) -> None:
            group = group_to_change(work, caller, group_id)
            if not work.privileges.take_group(privilege.id, group.id):
                raise _not_given(privilege, f"group '{group_id}'")
            work.changed(work.groups.members(group.id))

        await self._change(caller, privilege_id, f"RemovePrivilegeGroup {privilege_id} {group_id}", request_id, take)

    async def _change(
        self,
        caller: Caller,
        privilege_id: str,
        method: str,
        request_id: str,
        change: Callable[[Work, Privilege], None],
    ) -> None:
        request = request_of(caller, method, request_id)
        now = self._clock.now()

        def run(work: Work) -> None:
            work.lock(ADMINISTRATORS)
            privilege = _existing(work, privilege_id, lock=True)
            caller.must_have([privilege.name], "only who has it gives or takes it")
            change(work, privilege)
            if privilege.name == ALL:
                keep_an_administrator(work)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: run(work)))


def _existing(work: Work, privilege_id: str, *, lock: bool = False) -> Privilege:
    found = work.privileges.find(privilege_id, lock=lock)
    if found is None:
        raise NotFound("privilege-not-found", f"expected a privilege, found none with id '{privilege_id}'")
    return found


def _not_given(privilege: Privilege, whom: str) -> NotFound:
    return NotFound("privilege-not-given", f"expected {whom} to have {privilege.name}, found that they do not")


def _seen_users(work: Work, caller: Caller, privilege_id: str) -> Sequence[User]:
    scope = caller.scope.tenant_id
    return [user for user in work.privileges.users(privilege_id) if scope is None or user.tenant_id == scope]


def _seen_groups(work: Work, caller: Caller, privilege_id: str) -> Sequence[Group]:
    scope = caller.scope.tenant_id
    return [group for group in work.privileges.groups(privilege_id) if scope is None or group.tenant_id in ("", scope)]
