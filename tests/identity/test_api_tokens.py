"""API tokens: shown once, kept as a hash, good until they expire or are revoked."""

from typing import Any

import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import select

from identity.settings import TokenSettings
from identity.storage import tables
from tests.identity.conftest import Refused
from tests.identity.test_exchange import BAD, Worlds, exchange
from tests.identity.test_sessions import claims_of
from tests.identity.worlds import BEGINNING, World, as_user

SELF = as_user("anna", "identity.self.*")


def at(seconds: float) -> Timestamp:
    return Timestamp(seconds=int(BEGINNING.timestamp() + seconds))


async def make(world: World, name: str = "ci", metadata: Any = SELF, **fields: Any) -> access_pb.CreateApiTokenResponse:
    return await world.access.CreateApiToken(access_pb.CreateApiTokenRequest(name=name, **fields), metadata=metadata)


async def tokens(world: World, metadata: Any = SELF, **fields: Any) -> list[Any]:
    return [*(await world.access.ListApiTokens(access_pb.ListApiTokensRequest(**fields), metadata=metadata)).data]


@pytest.fixture
async def anna(world: World) -> World:
    await world.user("anna")
    return world


async def test_a_token_is_shown_once_and_kept_as_a_hash(anna: World) -> None:
    made = await make(anna)
    [listed] = await tokens(anna)

    def stored(work: Any) -> str:
        return str(work._connection.execute(select(tables.api_token)).all())

    assert made.secret.startswith("flt_")
    assert made.secret.startswith(made.api_token.prefix)
    assert len(made.api_token.prefix) == 12
    assert listed == made.api_token
    assert (listed.user_id, listed.name, listed.active) == ("anna", "ci", True)
    assert not listed.HasField("last_used_time")
    assert made.secret not in await anna.service._store.read(stored)


async def test_it_is_exchanged_for_an_access_token_and_its_use_is_noted(anna: World, refused: Refused) -> None:
    made = await make(anna)

    answer = await exchange(anna, api_token=made.secret)

    claims = claims_of(answer.access_token)
    assert (claims["sub"], claims["sid"]) == ("anna", made.api_token.id)
    [listed] = await tokens(anna)
    assert listed.last_used_time == at(0)
    anna.later(seconds=59)
    await exchange(anna, api_token=made.secret)
    assert (await tokens(anna))[0].last_used_time == at(0), "to the minute"
    anna.later(seconds=1)
    await exchange(anna, api_token=made.secret)
    assert (await tokens(anna))[0].last_used_time == at(60)
    for wrong in ("", "flt_", made.secret[:-1], made.secret + "x", "x" * 500):
        assert (await refused(exchange(anna, api_token=wrong))) == BAD


async def test_a_revoked_token_opens_nothing_nor_do_the_access_tokens_from_it(anna: World, refused: Refused) -> None:
    made = await make(anna)
    other = await make(anna, "other")
    anna.told.clear()

    await anna.access.RevokeApiToken(access_pb.RevokeApiTokenRequest(token_id=made.api_token.id), metadata=SELF)

    assert await refused(exchange(anna, api_token=made.secret)) == BAD
    assert (await exchange(anna, api_token=other.secret)).user_id == "anna"
    assert list((await anna.permissions("anna")).revoked_token_ids) == [made.api_token.id]
    assert anna.told == ["anna"]
    assert [each.name for each in await tokens(anna, active=True)] == ["other"]
    assert [each.name for each in await tokens(anna, active=False)] == ["ci"]


async def test_it_expires_and_no_access_token_outlives_it(anna: World, refused: Refused) -> None:
    made = await make(anna, expire_time=at(100))

    answer = await exchange(anna, api_token=made.secret)

    assert answer.expires_in == 100
    anna.later(seconds=100)
    assert await refused(exchange(anna, api_token=made.secret)) == BAD
    assert not (await tokens(anna))[0].active
    assert (await refused(make(anna, expire_time=at(50))))[0] == "INVALID_ARGUMENT"


async def test_the_longest_life_can_be_set(sqlite_url: str, worlds: Worlds, refused: Refused) -> None:
    world = await worlds(sqlite_url, tokens=TokenSettings(api_token_seconds=1000, max_api_tokens=2))
    await world.user("anna")

    assert (await make(world)).api_token.expire_time == at(1000)
    assert (await refused(make(world, expire_time=at(1001))))[0] == "INVALID_ARGUMENT"
    assert (await make(world, expire_time=at(999))).api_token.expire_time == at(999)
    assert await refused(make(world)) == ("RESOURCE_EXHAUSTED", "too-many-api-tokens")
    world.later(seconds=999)
    assert (await make(world)).api_token.active, "expired ones do not count"


async def test_a_retry_makes_no_second_token_and_shows_a_secret_that_works(anna: World, refused: Refused) -> None:
    first = await make(anna, request_id="r-1")
    again = await make(anna, request_id="r-1")

    assert again.api_token.id == first.api_token.id
    assert len(await tokens(anna)) == 1
    assert (await exchange(anna, api_token=again.secret)).user_id == "anna"
    assert await refused(exchange(anna, api_token=first.secret)) == BAD
    assert await refused(make(anna, request_id="r-1")) == ("ALREADY_EXISTS", "api-token-made")


async def test_tokens_of_others_need_a_privilege_and_no_fewer_privileges_than_theirs(
    anna: World, refused: Refused
) -> None:
    made = await make(anna)
    await anna.privilege("engine.*", users=["anna"])
    berta = as_user("berta", "identity.self.*")
    manager = as_user("berta", "identity.*")
    able = as_user("berta", "identity.*", "engine.*")
    denied = ("PERMISSION_DENIED", "privilege-not-yours")
    revoke = access_pb.RevokeApiTokenRequest(token_id=made.api_token.id)

    assert await refused(make(anna, metadata=berta, user_id="anna")) == denied
    assert await refused(make(anna, metadata=manager, user_id="anna")) == denied
    assert await refused(tokens(anna, metadata=berta, user_id="anna")) == denied
    assert await refused(anna.access.RevokeApiToken(revoke, metadata=berta)) == ("NOT_FOUND", "api-token-not-found")
    assert len(await tokens(anna, metadata=manager, user_id="anna")) == 1
    assert (await make(anna, metadata=able, user_id="anna")).api_token.user_id == "anna"
    await anna.access.RevokeApiToken(revoke, metadata=manager)


async def test_a_token_needs_a_name_and_a_user(anna: World, refused: Refused) -> None:
    assert (await refused(make(anna, "")))[0] == "INVALID_ARGUMENT"
    assert await refused(make(anna, metadata=as_user("gone", "identity.self.*"))) == ("NOT_FOUND", "user-not-found")


async def test_a_disabled_users_token_opens_nothing(anna: World, refused: Refused) -> None:
    made = await make(anna)
    await anna.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", disabled=True))

    assert await refused(exchange(anna, api_token=made.secret)) == BAD
    await anna.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", disabled=False))
    assert (await exchange(anna, api_token=made.secret)).user_id == "anna"
