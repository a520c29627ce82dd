"""Erasing a user leaves nothing of theirs in any table."""

from typing import Any

from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb
from google.api import httpbody_pb2
from sqlalchemy import select

from identity.storage import tables
from tests.identity.conftest import Refused
from tests.identity.worlds import World, as_user


async def everything(world: World) -> dict[str, str]:
    """What every table holds, as text; without what caches still have to hear."""

    def read(work: Any) -> dict[str, str]:
        return {
            table.name: str(work._connection.execute(select(table)).all())
            for table in tables.metadata.sorted_tables
            if table is not tables.invalidation
        }

    return await world.service._store.read(read)


async def test_nothing_of_an_erased_user_is_left(world: World, refused: Refused) -> None:
    identity = world.identity
    await world.user("anna-berg", first_name="Annabell", email="annabell@example.org", request_id="r-1")
    await world.group("clerks", "anna-berg")
    await world.privilege("engine.*", users=["anna-berg"])
    info = pb.CreateUserInfoRequest(user_id="anna-berg", key="phone", value="Annabell 123", request_id="r-2")
    await identity.CreateUserInfo(info)
    picture = httpbody_pb2.HttpBody(content_type="image/png", data=b"Annabell")
    await identity.UpdateUserPicture(pb.UpdateUserPictureRequest(user_id="anna-berg", picture=picture))
    session = await world.login("anna-berg")
    await world.access.Logout(access_pb.LogoutRequest(access_token=session.access_token))
    await world.login("anna-berg")
    await refused(world.login("anna-berg", "wrong"))
    await world.access.CreateApiToken(
        access_pb.CreateApiTokenRequest(name="Annabell's", request_id="r-3"), metadata=as_user("anna-berg", "*")
    )
    before = await everything(world)

    erased = await identity.EraseUser(pb.EraseUserRequest(user_id="anna-berg", request_id="r-4"))
    again = await identity.EraseUser(pb.EraseUserRequest(user_id="anna-berg"))
    retried = await identity.EraseUser(pb.EraseUserRequest(user_id="anna-berg", request_id="r-4"))

    after = await everything(world)
    assert any("nnabell" in text for text in before.values())
    assert {name: text for name, text in after.items() if "anna-berg" in text or "nnabell" in text} == {}
    assert dict(erased.removed) == {
        "user": 1,
        "password": 1,
        "picture": 1,
        "user-info": 1,
        "membership": 1,
        "user-privilege": 1,
        "session": 1,
        "api-token": 1,
        "revoked-token": 2,
        "answer": 3,
        "attempts": 1,
    }
    assert set(again.removed.values()) == {0}
    assert retried == erased
    assert not (await world.permissions("anna-berg")).active


async def test_deleting_takes_all_that_opens_anything(world: World) -> None:
    await world.user("anna-berg")
    await world.login("anna-berg")
    await world.access.CreateApiToken(
        access_pb.CreateApiTokenRequest(name="ci"), metadata=as_user("anna-berg", "identity.self.*")
    )

    await world.identity.DeleteUser(pb.DeleteUserRequest(user_id="anna-berg"))

    assert {name: text for name, text in (await everything(world)).items() if "anna-berg" in text} == {}
