"""Pictures and info of users."""

from typing import Any

import pytest
from flowloom.identity.v1 import identity_service_pb2 as pb
from google.api import httpbody_pb2

from identity.settings import LimitSettings
from tests.identity.conftest import Refused
from tests.identity.test_exchange import Worlds
from tests.identity.worlds import World

PNG = b"\x89PNG\r\n\x1a\n and so on \x00\xff"
INVALID = ("INVALID_ARGUMENT", "invalid-argument")


def part(data: bytes, name: str = "file", file_name: str = "me.png", kind: str = "image/png") -> bytes:
    file = f'; filename="{file_name}"' if file_name else ""
    head = f'--frontier\r\ncontent-disposition: form-data; name="{name}"{file}\r\ncontent-type: {kind}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def multipart(*parts: bytes) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(
        content_type="multipart/form-data; boundary=frontier", data=b"".join(parts) + b"--frontier--\r\n"
    )


def image(data: bytes = PNG, content_type: str = "image/png") -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type=content_type, data=data)


@pytest.fixture
async def anna(world: World) -> World:
    await world.user("anna")
    return world


async def upload(world: World, body: httpbody_pb2.HttpBody, user_id: str = "anna") -> None:
    await world.identity.UpdateUserPicture(pb.UpdateUserPictureRequest(user_id=user_id, picture=body))


async def download(world: World, user_id: str = "anna") -> tuple[str, bytes]:
    found = await world.identity.GetUserPicture(pb.GetUserPictureRequest(user_id=user_id))
    return found.content_type, found.data


async def test_a_picture_comes_back_as_it_came(anna: World, refused: Refused) -> None:
    before = await refused(download(anna))
    await upload(anna, image())
    raw = await download(anna)
    await upload(anna, multipart(part(b"about me", "text", ""), part(PNG * 2, kind="image/JPEG")))
    read = await anna.identity.GetUser(pb.GetUserRequest(user_id="anna"))

    assert before == ("NOT_FOUND", "picture-not-found")
    assert raw == ("image/png", PNG)
    assert await download(anna) == ("image/jpeg", PNG * 2)
    assert read.picture_url == "/process-api/identity/users/anna/picture"
    assert await refused(upload(anna, image(), "nobody")) == ("NOT_FOUND", "user-not-found")


async def test_what_is_no_picture_is_refused(sqlite_url: str, worlds: Worlds, refused: Refused) -> None:
    world = await worlds(sqlite_url, limits=LimitSettings(max_picture_bytes=100))
    await world.user("anna")
    cut_off = multipart(part(PNG))
    cut_off.data = cut_off.data[:-15]

    for body in (
        image(b""),
        image(content_type=""),
        image(content_type="text/html"),
        image(content_type="image/svg+xml"),
        multipart(),
        multipart(part(PNG, file_name="")),
        multipart(part(PNG), part(PNG)),
        multipart(*(part(b"x", file_name="") for _ in range(17))),
        cut_off,
        httpbody_pb2.HttpBody(content_type="multipart/form-data", data=PNG),
    ):
        assert await refused(upload(world, body)) == INVALID
    assert await refused(upload(world, image(b"x" * 101))) == ("RESOURCE_EXHAUSTED", "picture-too-large")
    await upload(world, image(b"x" * 100))


async def info(world: World, key: str, value: str | None, user_id: str = "anna") -> Any:
    return await world.identity.CreateUserInfo(pb.CreateUserInfoRequest(user_id=user_id, key=key, value=value))


async def test_info_is_added_listed_changed_and_removed(anna: World, refused: Refused) -> None:
    identity = anna.identity
    await info(anna, "phone", "123")
    await info(anna, "desk", "Ö 7")
    changed = await identity.UpdateUserInfo(pb.UpdateUserInfoRequest(user_id="anna", key="phone", value="456"))
    read = await identity.GetUserInfo(pb.GetUserInfoRequest(user_id="anna", key="phone"))
    listed = [(each.key, each.value) async for each in identity.ListUserInfo(pb.ListUserInfoRequest(user_id="anna"))]

    assert (changed, read.value) == (read, "456")
    assert listed == [("desk", "Ö 7"), ("phone", "456")]
    assert await refused(info(anna, "phone", "1")) == ("ALREADY_EXISTS", "user-info-exists")
    await identity.DeleteUserInfo(pb.DeleteUserInfoRequest(user_id="anna", key="phone"))
    for call in (
        identity.GetUserInfo(pb.GetUserInfoRequest(user_id="anna", key="phone")),
        identity.UpdateUserInfo(pb.UpdateUserInfoRequest(user_id="anna", key="phone", value="1")),
        identity.DeleteUserInfo(pb.DeleteUserInfoRequest(user_id="anna", key="phone")),
    ):
        assert await refused(call) == ("NOT_FOUND", "user-info-not-found")
    assert await refused(info(anna, "x", "1", "nobody")) == ("NOT_FOUND", "user-not-found")


async def test_info_has_limits(sqlite_url: str, worlds: Worlds, refused: Refused) -> None:
    world = await worlds(sqlite_url, limits=LimitSettings(max_infos=2, max_info_characters=10))
    await world.user("anna")

    assert await refused(info(world, "", "1")) == INVALID
    assert await refused(info(world, "a", None)) == INVALID
    assert await refused(info(world, "a", "x" * 11)) == INVALID
    await info(world, "a", "x" * 10)
    await info(world, "b", "1")
    assert await refused(info(world, "c", "1")) == ("RESOURCE_EXHAUSTED", "too-much-info")
