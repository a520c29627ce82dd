"""Two replicas at once: one of them wins, the other one sees it, and nothing is half done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb

from mesh.rpc_errors import refusal_in
from tests.identity.test_logins import wait_seconds
from tests.identity.worlds import PASSWORD, World

Worlds = Callable[..., Awaitable[World]]


@pytest.fixture
async def replicas(url: str, worlds: Worlds) -> tuple[World, World]:
    first = await worlds(url)
    return first, await worlds(url, clock=first.clock)


async def outcomes(*calls: Awaitable[Any]) -> list[str]:
    """`ok` or the reason of the refusal, in order of the words."""
    found = []
    for each in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(each, grpc.aio.AioRpcError):
            refusal = refusal_in(each)
            found.append(str(each) if refusal is None else refusal.reason)
        else:
            found.append("ok" if not isinstance(each, BaseException) else repr(each))
    return sorted(found)


async def test_the_same_user_is_made_once(replicas: tuple[World, World]) -> None:
    for n in range(5):
        found = await outcomes(*(world.user(f"user-{n}", first_name=str(m)) for m, world in enumerate(replicas)))
        assert found == ["ok", "user-exists"]


async def test_the_same_request_is_done_once_and_both_get_its_answer(replicas: tuple[World, World]) -> None:
    for n in range(5):
        request = pb.CreateUserRequest(id=f"user-{n}", password=PASSWORD, request_id=f"r-{n}")
        answers = await asyncio.gather(*(world.identity.CreateUser(request) for world in replicas))
        assert answers[0] == answers[1]


async def test_the_same_membership_and_privilege_are_made_once(replicas: tuple[World, World]) -> None:
    first = replicas[0]
    await first.user("anna")
    await first.group("clerks")
    join = pb.CreateMembershipRequest(group_id="clerks", user_id="anna")
    make = pb.CreatePrivilegeRequest(name="engine.*")

    joined = await outcomes(*(world.identity.CreateMembership(join) for world in replicas))
    made = await outcomes(*(world.identity.CreatePrivilege(make) for world in replicas))
    [privilege] = (await first.identity.ListPrivileges(pb.ListPrivilegesRequest(name="engine.*"))).data
    give = pb.AddPrivilegeUserRequest(privilege_id=privilege.id, user_id="anna")
    given = await outcomes(*(world.identity.AddPrivilegeUser(give) for world in replicas))

    assert joined == ["membership-exists", "ok"]
    assert made == ["ok", "privilege-exists"]
    assert given == ["ok", "ok"], "who has it keeps it"


async def test_a_refresh_token_is_good_for_one_of_two_replicas(replicas: tuple[World, World]) -> None:
    await replicas[0].user("anna")
    for _ in range(5):
        token = (await replicas[0].login("anna")).refresh_token
        request = access_pb.RefreshRequest(refresh_token=token)
        assert await outcomes(*(world.access.Refresh(request) for world in replicas)) == ["ok", "refresh-token-reused"]


async def test_the_last_two_administrators_do_not_delete_each_other(replicas: tuple[World, World]) -> None:
    first = replicas[0]
    [everything] = (await first.identity.ListPrivileges(pb.ListPrivilegesRequest(name="*"))).data
    for n in range(3):
        await first.user(f"second-{n}")
        give = pb.AddPrivilegeUserRequest(privilege_id=everything.id, user_id=f"second-{n}")
        await first.identity.AddPrivilegeUser(give)
        held = await first.identity.GetPrivilege(pb.GetPrivilegeRequest(privilege_id=everything.id))
        admin = next(each.id for each in held.users if each.id != f"second-{n}")

        found = await outcomes(
            replicas[0].identity.DeleteUser(pb.DeleteUserRequest(user_id=admin)),
            replicas[1].identity.DeleteUser(pb.DeleteUserRequest(user_id=f"second-{n}")),
        )

        assert found == ["last-administrator", "ok"]


async def test_a_login_and_a_new_password_at_once_leave_no_session_of_the_old_one(
    replicas: tuple[World, World],
) -> None:
    await replicas[0].user("anna")
    for n in range(5):
        old, new = (PASSWORD if n == 0 else f"password {n}"), f"password {n + 1}"
        login, changed = await asyncio.gather(
            replicas[0].login("anna", old),
            replicas[1].identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", password=new)),
            return_exceptions=True,
        )
        assert not isinstance(changed, BaseException)
        if isinstance(login, access_pb.LoginResponse):
            again = access_pb.RefreshRequest(refresh_token=login.refresh_token)
            assert await outcomes(replicas[0].access.Refresh(again)) == ["bad-credentials"]


async def test_guesses_at_two_replicas_are_counted_together(replicas: tuple[World, World]) -> None:
    await replicas[0].user("anna")

    waits = await asyncio.gather(*(wait_seconds(replicas[n % 2], "anna", f"guess {n}") for n in range(20)))

    assert sum(wait == 0.0 for wait in waits) == 5


async def test_a_user_who_is_deleted_while_joining_is_not_left_in_the_group(replicas: tuple[World, World]) -> None:
    first, second = replicas
    await first.group("clerks")
    for n in range(5):
        await first.user(f"user-{n}")
        await outcomes(
            first.identity.DeleteUser(pb.DeleteUserRequest(user_id=f"user-{n}")),
            second.identity.CreateMembership(pb.CreateMembershipRequest(group_id="clerks", user_id=f"user-{n}")),
        )

    members = await first.service._store.read(lambda work: work.groups.members("clerks"))
    assert members == []


async def test_a_password_that_was_replaced_meanwhile_changes_nothing(replicas: tuple[World, World]) -> None:
    first, second = replicas
    for n in range(5):
        await first.user(f"user-{n}")
        change = access_pb.ChangePasswordRequest(user_id=f"user-{n}", password=PASSWORD, new_password="by the user")
        reset = pb.UpdateUserRequest(user_id=f"user-{n}", password="by the administrator")
        changed, _ = await asyncio.gather(
            first.access.ChangePassword(change), second.identity.UpdateUser(reset), return_exceptions=True
        )
        # Either the user was first and the administrator's came after it, or the user's proof was no longer one.
        found = await outcomes(second.login(f"user-{n}", "by the administrator"))
        assert found == ["ok"], changed
