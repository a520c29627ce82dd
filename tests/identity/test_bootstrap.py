"""The first start makes an administrator with a password that nobody could know, and only the first one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb

from identity.effects.console import show_one_time_password
from mesh.errors import InvalidArgument
from tests.identity.conftest import Refused
from tests.identity.worlds import ADMIN_PASSWORD, World

Worlds = Callable[..., Awaitable[World]]


async def test_a_one_time_password_is_announced_and_opens_nothing_but_its_change(
    url: str, worlds: Worlds, refused: Refused
) -> None:
    world = await worlds(url, admin_password=None)
    [(user_id, password)] = world.announced

    change = access_pb.ChangePasswordRequest(user_id="admin", password=password, new_password="of my own choice")
    before = await refused(world.login("admin", password))
    await world.access.ChangePassword(change)

    assert user_id == "admin"
    assert len(password) == 20
    assert before == ("FAILED_PRECONDITION", "password-change-required")
    assert (await world.login("admin", "of my own choice")).user_id == "admin"
    assert (await refused(world.login("admin", password)))[0] == "UNAUTHENTICATED"
    assert "*" in (await world.permissions("admin")).privileges


async def test_two_meshes_never_have_the_same_password(sqlite_url: str, worlds: Worlds, tmp_path: object) -> None:
    first = await worlds(sqlite_url, admin_password=None)
    second = await worlds(f"sqlite:///{tmp_path}/other.db", admin_password=None)

    assert first.announced[0][1] != second.announced[0][1]


async def test_the_environment_gives_the_password_of_the_first_start_only(
    url: str, worlds: Worlds, refused: Refused
) -> None:
    first = await worlds(url, admin_user="root")
    again = await worlds(url, admin_user="root", admin_password="another password")

    assert (await first.login("root", ADMIN_PASSWORD)).user_id == "root"
    assert (await refused(again.login("root", "another password")))[0] == "UNAUTHENTICATED"
    assert first.announced == again.announced == []


async def test_replicas_that_start_together_make_one_administrator(url: str, worlds: Worlds) -> None:
    found = await asyncio.gather(*(worlds(url, admin_password=None) for _ in range(3)))

    announced = [each for world in found for each in world.announced]
    assert len(announced) == 1
    users = await found[0].identity.ListUsers(pb.ListUsersRequest())
    assert [each.id for each in users.data] == ["admin"]
    change = access_pb.ChangePasswordRequest(user_id="admin", password=announced[0][1], new_password="my own choice")
    await found[2].access.ChangePassword(change)
    assert (await found[1].login("admin", "my own choice")).user_id == "admin"


async def test_a_password_that_is_too_short_is_refused_without_saying_it(sqlite_url: str) -> None:
    world = World(sqlite_url, admin_password="tiny!")

    with pytest.raises(InvalidArgument) as refused:
        await world.start()

    assert "tiny!" not in str(refused.value)
    await world.stop()


def test_the_password_is_shown_on_the_console_and_not_logged(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    show_one_time_password("admin", "one-time-secret")

    assert "one-time-secret" in capsys.readouterr().err
    assert caplog.text == ""
