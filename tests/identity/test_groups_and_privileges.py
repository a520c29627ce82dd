"""Groups, memberships and privileges through the contract, and that nobody gives what they do not have."""

from typing import Any

import pytest
from flowloom.identity.v1 import identity_service_pb2 as pb

from tests.identity.conftest import Refused
from tests.identity.worlds import World, as_user

DENIED = ("PERMISSION_DENIED", "privilege-not-yours")
LAST = ("FAILED_PRECONDITION", "last-administrator")


async def all_of(stream: Any) -> list[str]:
    return [each.id async for each in stream]


async def privilege_id(world: World, name: str) -> str:
    found = await world.identity.ListPrivileges(pb.ListPrivilegesRequest(name=name))
    return found.data[0].id


async def test_a_group_is_made_read_changed_and_deleted(world: World, refused: Refused) -> None:
    made = await world.group("clerks", name="Clerks", type="assignment")
    changed = await world.identity.UpdateGroup(pb.UpdateGroupRequest(group_id="clerks", name="All clerks"))
    read = await world.identity.GetGroup(pb.GetGroupRequest(group_id="clerks"))

    assert (made.name, made.type) == ("Clerks", "assignment")
    assert changed == read
    assert (read.name, read.type) == ("All clerks", "assignment")
    assert await refused(world.group("clerks")) == ("ALREADY_EXISTS", "group-exists")
    assert (await refused(world.group("")))[0] == "INVALID_ARGUMENT"
    await world.identity.DeleteGroup(pb.DeleteGroupRequest(group_id="clerks"))
    for call in (
        world.identity.GetGroup(pb.GetGroupRequest(group_id="clerks")),
        world.identity.UpdateGroup(pb.UpdateGroupRequest(group_id="clerks")),
        world.identity.DeleteGroup(pb.DeleteGroupRequest(group_id="clerks")),
        world.identity.ListGroupMembers(pb.ListGroupMembersRequest(group_id="clerks")),
    ):
        assert await refused(call) == ("NOT_FOUND", "group-not-found")


async def test_members_are_put_in_listed_with_their_addresses_and_taken_out(world: World, refused: Refused) -> None:
    await world.user("anna", email="anna@example.org")
    await world.user("berta")
    await world.group("clerks", "anna", "berta")

    listed = await world.identity.ListGroupMembers(pb.ListGroupMembersRequest(group_id="clerks", order="desc"))
    join = pb.CreateMembershipRequest(group_id="clerks", user_id="anna")
    leave = pb.DeleteMembershipRequest(group_id="clerks", user_id="anna")

    assert [each.id for each in listed.data] == ["berta", "anna"]
    assert listed.data[1].email == "anna@example.org"
    assert await refused(world.identity.CreateMembership(join)) == ("ALREADY_EXISTS", "membership-exists")
    await world.identity.DeleteMembership(leave)
    assert await refused(world.identity.DeleteMembership(leave)) == ("NOT_FOUND", "membership-not-found")
    for wrong in ({"group_id": "clerks", "user_id": "nobody"}, {"group_id": "none", "user_id": "anna"}):
        found = await refused(world.identity.CreateMembership(pb.CreateMembershipRequest(**wrong)))
        assert found[0] == "NOT_FOUND"


async def test_nobody_and_no_group_are_wrong_input_not_missing_ones(world: World, refused: Refused) -> None:
    await world.group("clerks")
    everything = await privilege_id(world, "*")

    for call in (
        world.identity.CreateMembership(pb.CreateMembershipRequest(group_id="clerks")),
        world.identity.AddPrivilegeUser(pb.AddPrivilegeUserRequest(privilege_id=everything)),
        world.identity.AddPrivilegeGroup(pb.AddPrivilegeGroupRequest(privilege_id=everything)),
    ):
        assert (await refused(call))[0] == "INVALID_ARGUMENT"


async def test_a_privilege_is_made_given_read_and_taken(world: World, refused: Refused) -> None:
    await world.user("anna")
    await world.group("clerks")
    made = await world.privilege("engine.*", users=["anna"], groups=["clerks"])
    identity = world.identity

    read = await identity.GetPrivilege(pb.GetPrivilegeRequest(privilege_id=made.id))
    users = await all_of(identity.ListPrivilegeUsers(pb.ListPrivilegeUsersRequest(privilege_id=made.id)))
    groups = await all_of(identity.ListPrivilegeGroups(pb.ListPrivilegeGroupsRequest(privilege_id=made.id)))

    assert ([each.id for each in read.users], [each.id for each in read.groups]) == (["anna"], ["clerks"])
    assert (users, groups, read.name) == (["anna"], ["clerks"], "engine.*")
    await identity.AddPrivilegeUser(pb.AddPrivilegeUserRequest(privilege_id=made.id, user_id="anna"))
    for verb, request in (
        (identity.RemovePrivilegeUser, pb.RemovePrivilegeUserRequest(privilege_id=made.id, user_id="anna")),
        (identity.RemovePrivilegeGroup, pb.RemovePrivilegeGroupRequest(privilege_id=made.id, group_id="clerks")),
    ):
        call: Any = verb
        await call(request)
        assert await refused(call(request)) == ("NOT_FOUND", "privilege-not-given")
    await identity.DeletePrivilege(pb.DeletePrivilegeRequest(privilege_id=made.id))
    gone = identity.GetPrivilege(pb.GetPrivilegeRequest(privilege_id=made.id))
    assert await refused(gone) == ("NOT_FOUND", "privilege-not-found")


async def test_wrong_privileges_are_refused(world: World, refused: Refused) -> None:
    await world.privilege("engine.*")

    assert await refused(world.privilege("engine.*")) == ("ALREADY_EXISTS", "privilege-exists")
    for name in ("", "engine.*.read", "a b", "x" * 300):
        assert (await refused(world.privilege(name)))[0] == "INVALID_ARGUMENT"


async def test_a_retry_of_a_membership_and_of_a_privilege_gets_the_first_answer(world: World) -> None:
    await world.user("anna")
    await world.group("clerks")
    join = pb.CreateMembershipRequest(group_id="clerks", user_id="anna", request_id="r-1")
    make = pb.CreatePrivilegeRequest(name="engine.*", request_id="r-2")

    assert await world.identity.CreateMembership(join) == await world.identity.CreateMembership(join)
    assert await world.identity.CreatePrivilege(make) == await world.identity.CreatePrivilege(make)


async def test_nobody_gives_or_takes_a_privilege_that_they_do_not_have(world: World, refused: Refused) -> None:
    await world.user("anna")
    engine = await world.privilege("engine.*")
    task = await world.privilege("engine.task.read")
    clerk = as_user("anna", "identity.*", "engine.task.*")
    identity = world.identity

    def give(id_: str, user_id: str = "anna") -> Any:
        return identity.AddPrivilegeUser(pb.AddPrivilegeUserRequest(privilege_id=id_, user_id=user_id), metadata=clerk)

    assert await refused(give(engine.id)) == DENIED
    assert await refused(give(await privilege_id(world, "*"))) == DENIED
    await give(task.id)
    delete = identity.DeletePrivilege(pb.DeletePrivilegeRequest(privilege_id=engine.id), metadata=clerk)
    assert await refused(delete) == DENIED


async def test_nobody_joins_a_group_that_gives_more_than_they_have(world: World, refused: Refused) -> None:
    await world.user("anna")
    await world.group("bosses")
    await world.group("clerks")
    await world.privilege("engine.*", groups=["bosses"])
    clerk = as_user("anna", "identity.*")

    def join(group_id: str) -> Any:
        request = pb.CreateMembershipRequest(group_id=group_id, user_id="anna")
        return world.identity.CreateMembership(request, metadata=clerk)

    assert await refused(join("bosses")) == DENIED
    assert (await join("clerks")).group_id == "clerks"


@pytest.mark.parametrize("disabled", [False, True])
async def test_nobody_takes_over_a_user_who_may_more(world: World, refused: Refused, disabled: bool) -> None:
    await world.user("boss")
    await world.privilege("engine.*", users=["boss"])
    await world.identity.UpdateUser(pb.UpdateUserRequest(user_id="boss", disabled=disabled))
    clerk = as_user("anna", "identity.*")
    identity = world.identity

    for change in (
        {"password": "my new password"},
        {"disabled": not disabled},
        {"issuer": "https://mine"},
        {"tenant_id": ""},
        {"must_change_password": True},
    ):
        update = identity.UpdateUser(pb.UpdateUserRequest(user_id="boss", **change), metadata=clerk)
        assert await refused(update) == DENIED
    assert await refused(identity.DeleteUser(pb.DeleteUserRequest(user_id="boss"), metadata=clerk)) == DENIED
    assert await refused(identity.EraseUser(pb.EraseUserRequest(user_id="boss"), metadata=clerk)) == DENIED
    named = await identity.UpdateUser(pb.UpdateUserRequest(user_id="boss", first_name="B"), metadata=clerk)
    assert named.first_name == "B"


async def test_somebody_always_keeps_all_privileges(world: World, refused: Refused) -> None:
    everything = await privilege_id(world, "*")
    identity = world.identity

    for call in (
        identity.DeleteUser(pb.DeleteUserRequest(user_id="admin")),
        identity.EraseUser(pb.EraseUserRequest(user_id="admin")),
        identity.UpdateUser(pb.UpdateUserRequest(user_id="admin", disabled=True)),
        identity.RemovePrivilegeUser(pb.RemovePrivilegeUserRequest(privilege_id=everything, user_id="admin")),
        identity.DeletePrivilege(pb.DeletePrivilegeRequest(privilege_id=everything)),
    ):
        assert await refused(call) == LAST
    await world.user("second")
    await world.group("admins", "second")
    await identity.AddPrivilegeGroup(pb.AddPrivilegeGroupRequest(privilege_id=everything, group_id="admins"))
    await identity.DeleteUser(pb.DeleteUserRequest(user_id="admin"))
    for call in (
        identity.DeleteGroup(pb.DeleteGroupRequest(group_id="admins")),
        identity.DeleteMembership(pb.DeleteMembershipRequest(group_id="admins", user_id="second")),
        identity.RemovePrivilegeGroup(pb.RemovePrivilegeGroupRequest(privilege_id=everything, group_id="admins")),
    ):
        assert await refused(call) == LAST
    assert (await world.permissions("second")).active
