"""Groups and who is in them."""

from __future__ import annotations

import msgspec

from identity.app.authority import (
    ADMINISTRATORS,
    Caller,
    existing_tenant,
    group_in_sight,
    group_to_change,
    keep_an_administrator,
    user_in_sight,
)
from identity.app.lists import Lists, UserFilter
from identity.app.ports import Store, Work
from identity.app.requests import check_id, check_texts, once, request_of
from identity.model.people import Group, Membership, User
from identity.model.permissions import ALL, has
from mesh.clock import Clock
from mesh.errors import AlreadyExists, NotFound, PermissionDenied
from mesh.paging import Listed, Page


class GroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a group; None stays as it is."""

    group_id: str
    name: str | None = None
    type: str | None = None


class Groups:
    """The use cases of groups. Raises Unavailable while the database is away."""

    def __init__(self, store: Store, lists: Lists, clock: Clock) -> None:
        self._store = store
        self._lists = lists
        self._clock = clock

    async def create(self, caller: Caller, wanted: Group, tenant_id: str | None, request_id: str) -> Group:
        """Make a group. Raises AlreadyExists, InvalidArgument, NotFound (tenant), PermissionDenied."""
        check_id("id", wanted.id)
        check_texts(name=wanted.name, type=wanted.type)
        group = msgspec.structs.replace(wanted, tenant_id=caller.tenant_of_new(tenant_id))
        request = request_of(caller, f"CreateGroup {wanted.id}", request_id)
        now = self._clock.now()

        def make(work: Work) -> Group:
            if work.groups.find(group.id) is not None:
                raise AlreadyExists("group-exists", f"expected a new group id, found that '{group.id}' is taken")
            existing_tenant(work, group.tenant_id)
            work.groups.add(group)
            return group

        return await self._store.write(lambda work: once(work, request, now, Group, lambda: make(work)))

    async def get(self, caller: Caller, group_id: str) -> Group:
        """One group. Raises NotFound."""
        return await self._store.read(lambda work: group_in_sight(work, caller, group_id))

    async def update(self, caller: Caller, ask: GroupChange, request_id: str) -> Group:
        """Change a group. Raises NotFound, InvalidArgument, PermissionDenied."""
        check_texts(name=ask.name, type=ask.type)
        request = request_of(caller, f"UpdateGroup {ask.group_id}", request_id)
        now = self._clock.now()

        def change(work: Work) -> Group:
            present = group_to_change(work, caller, ask.group_id)
            group = Group(
                id=present.id,
                name=present.name if ask.name is None else ask.name,
                type=present.type if ask.type is None else ask.type,
                tenant_id=present.tenant_id,
            )
            work.groups.put(group)
            return group

        return await self._store.write(lambda work: once(work, request, now, Group, lambda: change(work)))

    async def delete(self, caller: Caller, group_id: str, request_id: str) -> None:
        """Delete a group; its members lose what it gave. Raises NotFound, PermissionDenied, FailedPrecondition."""
        request = request_of(caller, f"DeleteGroup {group_id}", request_id)
        now = self._clock.now()

        def remove(work: Work) -> None:
            work.lock(ADMINISTRATORS)
            group = group_to_change(work, caller, group_id)
            given = work.privileges.of_group(group.id)
            caller.must_have(given, f"group '{group.id}' gives it")
            work.changed(work.groups.members(group.id))
            work.groups.drop(group.id)
            if has(given, ALL):
                keep_an_administrator(work)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: remove(work)))

    async def add_member(self, caller: Caller, wanted: Membership, request_id: str) -> Membership:
        """Put a user into a group. Raises InvalidArgument for no user, NotFound, AlreadyExists, PermissionDenied."""
        check_id("user_id", wanted.user_id)
        request = request_of(caller, f"CreateMembership {wanted.group_id} {wanted.user_id}", request_id)
        now = self._clock.now()

        def add(work: Work) -> Membership:
            group = group_in_sight(work, caller, wanted.group_id, lock=True)
            user = user_in_sight(work, caller, wanted.user_id, lock=True)
            if group.tenant_id not in ("", user.tenant_id):
                raise PermissionDenied(
                    "foreign-tenant", f"expected a user of the group's tenant, found '{user.id}' in another one"
                )
            caller.must_have(work.privileges.of_group(group.id), f"group '{group.id}' gives it")
            if work.groups.is_member(wanted):
                raise AlreadyExists(
                    "membership-exists", f"expected user '{user.id}' not to be in group '{group.id}', found them there"
                )
            work.groups.add_member(wanted)
            work.changed([user.id])
            return wanted

        return await self._store.write(
            lambda work: once(work, request, now, Membership, lambda: add(work), wanted.user_id)
        )

    async def drop_member(self, caller: Caller, wanted: Membership, request_id: str) -> None:
        """Take a user out of a group. Raises NotFound, PermissionDenied, FailedPrecondition."""
        request = request_of(caller, f"DeleteMembership {wanted.group_id} {wanted.user_id}", request_id)
        now = self._clock.now()

        def drop(work: Work) -> None:
            work.lock(ADMINISTRATORS)
            group = group_in_sight(work, caller, wanted.group_id, lock=True)
            user_in_sight(work, caller, wanted.user_id)
            given = work.privileges.of_group(group.id)
            caller.must_have(given, f"group '{group.id}' gives it")
            if not work.groups.drop_member(wanted):
                raise NotFound(
                    "membership-not-found",
                    f"expected user '{wanted.user_id}' in group '{group.id}', found them not there",
                )
            work.changed([wanted.user_id])
            if has(given, ALL):
                keep_an_administrator(work)

        await self._store.write(lambda work: once(work, request, now, type(None), lambda: drop(work)))

    async def members(self, caller: Caller, group_id: str, page: Page) -> Listed[User]:
        """A page of the group's users that the caller may see. Raises NotFound, InvalidArgument."""
        await self.get(caller, group_id)
        return await self._lists.users(UserFilter(member_of_group=group_id), caller.scope, page)
