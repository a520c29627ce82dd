"""Tenants are apart: what belongs to another one is not there."""

from typing import Any

import pytest
from flowloom.identity.v1 import identity_service_pb2 as pb

from tests.identity.conftest import Refused
from tests.identity.worlds import World, as_user

FOREIGN = ("PERMISSION_DENIED", "foreign-tenant")
ACME = as_user("acme-admin", "identity.*", "tenants.all", tenant_id="acme")
"""Who has a tenant has that one, whatever else was given to them."""
NOWHERE = as_user("somebody", "identity.*")
AGENT = as_user("agent", "identity.*", "tenants.all")


@pytest.fixture
async def two(world: World) -> World:
    for tenant_id in ("acme", "other"):
        await world.identity.CreateTenant(pb.CreateTenantRequest(id=tenant_id, name=tenant_id.title()))
        await world.user(f"{tenant_id}-anna", tenant_id=tenant_id)
        await world.group(f"{tenant_id}-clerks", f"{tenant_id}-anna", tenant_id=tenant_id)
    await world.user("free")
    await world.group("common", "acme-anna", "other-anna")
    return world


def ids(page: Any) -> list[str]:
    return [each.id for each in page.data]


async def test_a_tenant_is_made_read_changed_and_deleted_when_nobody_is_left(two: World, refused: Refused) -> None:
    identity = two.identity
    changed = await identity.UpdateTenant(pb.UpdateTenantRequest(tenant_id="acme", name="ACME Inc."))
    read = await identity.GetTenant(pb.GetTenantRequest(tenant_id="acme"))
    delete = pb.DeleteTenantRequest(tenant_id="acme")

    assert (changed, read.name) == (read, "ACME Inc.")
    again = identity.CreateTenant(pb.CreateTenantRequest(id="acme"))
    assert await refused(again) == ("ALREADY_EXISTS", "tenant-exists")
    assert await refused(identity.DeleteTenant(delete)) == ("FAILED_PRECONDITION", "tenant-in-use")
    await identity.DeleteUser(pb.DeleteUserRequest(user_id="acme-anna"))
    assert await refused(identity.DeleteTenant(delete)) == ("FAILED_PRECONDITION", "tenant-in-use")
    await identity.DeleteGroup(pb.DeleteGroupRequest(group_id="acme-clerks"))
    await identity.DeleteTenant(delete)
    assert await refused(identity.GetTenant(pb.GetTenantRequest(tenant_id="acme"))) == ("NOT_FOUND", "tenant-not-found")


async def test_only_who_acts_for_all_makes_and_deletes_tenants(two: World, refused: Refused) -> None:
    for caller in (ACME, NOWHERE):
        make = two.identity.CreateTenant(pb.CreateTenantRequest(id="new"), metadata=caller)
        drop = two.identity.DeleteTenant(pb.DeleteTenantRequest(tenant_id="acme"), metadata=caller)
        assert await refused(make) == FOREIGN
        assert await refused(drop) == FOREIGN
    assert (await two.identity.CreateTenant(pb.CreateTenantRequest(id="new"), metadata=AGENT)).id == "new"


async def test_lists_show_what_is_the_callers(two: World) -> None:
    async def seen(caller: Any) -> tuple[list[str], list[str], list[str], list[str]]:
        identity = two.identity
        return (
            ids(await identity.ListUsers(pb.ListUsersRequest(), metadata=caller)),
            ids(await identity.ListGroups(pb.ListGroupsRequest(), metadata=caller)),
            ids(await identity.ListTenants(pb.ListTenantsRequest(), metadata=caller)),
            ids(await identity.ListGroupMembers(pb.ListGroupMembersRequest(group_id="common"), metadata=caller)),
        )

    assert await seen(ACME) == (["acme-anna"], ["acme-clerks", "common"], ["acme"], ["acme-anna"])
    assert await seen(NOWHERE) == (["admin", "free"], ["common"], [], [])
    assert await seen(AGENT) == (
        ["acme-anna", "admin", "free", "other-anna"],
        ["acme-clerks", "common", "other-clerks"],
        ["acme", "other"],
        ["acme-anna", "other-anna"],
    )


async def test_what_is_foreign_is_not_found(two: World, refused: Refused) -> None:
    identity = two.identity
    users: list[Any] = [
        identity.GetUser(pb.GetUserRequest(user_id="other-anna"), metadata=ACME),
        identity.UpdateUser(pb.UpdateUserRequest(user_id="other-anna", first_name="x"), metadata=ACME),
        identity.DeleteUser(pb.DeleteUserRequest(user_id="other-anna"), metadata=ACME),
        identity.EraseUser(pb.EraseUserRequest(user_id="other-anna"), metadata=ACME),
        identity.GetUserInfo(pb.GetUserInfoRequest(user_id="other-anna", key="x"), metadata=ACME),
        identity.GetUserPicture(pb.GetUserPictureRequest(user_id="other-anna"), metadata=ACME),
        identity.CreateMembership(pb.CreateMembershipRequest(group_id="common", user_id="other-anna"), metadata=ACME),
    ]
    groups: list[Any] = [
        identity.GetGroup(pb.GetGroupRequest(group_id="other-clerks"), metadata=ACME),
        identity.DeleteGroup(pb.DeleteGroupRequest(group_id="other-clerks"), metadata=ACME),
    ]

    assert {await refused(call) for call in users} == {("NOT_FOUND", "user-not-found")}
    assert {await refused(call) for call in groups} == {("NOT_FOUND", "group-not-found")}
    tenant = identity.GetTenant(pb.GetTenantRequest(tenant_id="other"), metadata=ACME)
    assert await refused(tenant) == ("NOT_FOUND", "tenant-not-found")


async def test_what_a_tenants_caller_makes_is_the_tenants(two: World, refused: Refused) -> None:
    identity = two.identity

    user = await identity.CreateUser(pb.CreateUserRequest(id="acme-berta"), metadata=ACME)
    group = await identity.CreateGroup(pb.CreateGroupRequest(id="acme-bosses"), metadata=ACME)

    assert (user.tenant_id, group.tenant_id) == ("acme", "acme")
    for foreign in ("other", ""):
        call = identity.CreateUser(pb.CreateUserRequest(id="x", tenant_id=foreign), metadata=ACME)
        move = identity.UpdateUser(pb.UpdateUserRequest(user_id="acme-anna", tenant_id=foreign), metadata=ACME)
        assert await refused(call) == FOREIGN
        assert await refused(move) == FOREIGN


async def test_groups_of_all_tenants_are_changed_by_who_acts_for_all(two: World, refused: Refused) -> None:
    identity = two.identity
    rename = pb.UpdateGroupRequest(group_id="common", name="Common")

    assert await refused(identity.UpdateGroup(rename, metadata=ACME)) == FOREIGN
    assert await refused(identity.DeleteGroup(pb.DeleteGroupRequest(group_id="common"), metadata=ACME)) == FOREIGN
    assert (await identity.UpdateGroup(rename, metadata=AGENT)).name == "Common"


async def test_a_group_of_a_tenant_takes_only_its_users(two: World, refused: Refused) -> None:
    mixed = pb.CreateMembershipRequest(group_id="acme-clerks", user_id="other-anna")

    assert await refused(two.identity.CreateMembership(mixed)) == FOREIGN


async def test_a_user_moves_to_a_tenant_that_is_there(two: World, refused: Refused) -> None:
    identity = two.identity

    moved = await identity.UpdateUser(pb.UpdateUserRequest(user_id="free", tenant_id="acme"))
    missing = identity.UpdateUser(pb.UpdateUserRequest(user_id="free", tenant_id="nowhere"))

    assert moved.tenant_id == "acme"
    assert await refused(missing) == ("NOT_FOUND", "tenant-not-found")
    assert (await two.permissions("free")).tenant_id == "acme"
