"""Refreshing and logging out: a refresh token is good once, and one that comes twice ends its session."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

import grpc
import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb
from sqlalchemy import func, select

from identity.settings import TokenSettings
from identity.storage import tables
from mesh.rpc_errors import refusal_in
from tests.identity.conftest import Refused
from tests.identity.worlds import World, as_user

Worlds = Callable[..., Awaitable[World]]
BAD = ("UNAUTHENTICATED", "bad-credentials")
REUSED = ("UNAUTHENTICATED", "refresh-token-reused")


def refresh(world: World, token: str, request_id: str = "") -> Awaitable[access_pb.RefreshResponse]:
    return world.access.Refresh(access_pb.RefreshRequest(refresh_token=token, request_id=request_id))


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@pytest.fixture
async def anna(world: World) -> access_pb.LoginResponse:
    await world.user("anna")
    return await world.login("anna")


async def test_a_session_goes_on_with_new_tokens(world: World, anna: access_pb.LoginResponse) -> None:
    second = await refresh(world, anna.refresh_token)
    third = await refresh(world, second.refresh_token)

    assert len({anna.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert len({anna.access_token, second.access_token, third.access_token}) == 3
    sessions = {claims_of(each.access_token)["sid"] for each in (anna, second, third)}
    assert len(sessions) == 1
    assert third.user_id == "anna"


async def test_a_token_that_comes_again_ends_the_whole_session(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    other = await world.login("anna")
    second = await refresh(world, anna.refresh_token)
    world.told.clear()

    assert await refused(refresh(world, anna.refresh_token)) == REUSED

    assert await refused(refresh(world, second.refresh_token)) == BAD
    assert world.told == ["anna"]
    permissions = await world.permissions("anna")
    assert list(permissions.revoked_token_ids) == [claims_of(anna.access_token)["sid"]]
    assert (await refresh(world, other.refresh_token)).user_id == "anna", "another session is not meant"


async def test_of_two_at_once_one_wins_and_the_other_is_reuse(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    outcomes = await asyncio.gather(*(refresh(world, anna.refresh_token) for _ in range(2)), return_exceptions=True)

    won = [each for each in outcomes if isinstance(each, access_pb.RefreshResponse)]
    lost = [refusal_in(each) for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert [each.reason for each in lost if each is not None] == ["refresh-token-reused"]
    assert len(won) == 1
    assert await refused(refresh(world, won[0].refresh_token)) == BAD


async def test_the_retry_of_a_lost_answer_gets_the_same_token(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    first = await refresh(world, anna.refresh_token, "r-1")
    again = await refresh(world, anna.refresh_token, "r-1")
    going_on = await refresh(world, again.refresh_token, "r-2")

    assert again.refresh_token == first.refresh_token
    assert going_on.refresh_token != first.refresh_token
    # Once the session went on, nobody can have lost that answer.
    assert await refused(refresh(world, anna.refresh_token, "r-1")) == REUSED


async def test_a_retry_comes_too_late_or_with_another_request_id(world: World, refused: Refused) -> None:
    await world.user("anna")
    late, other = await world.login("anna"), await world.login("anna")
    for each in (late, other):
        await refresh(world, each.refresh_token, "r-1")

    assert await refused(refresh(world, other.refresh_token, "r-2")) == REUSED
    world.later(seconds=11)
    assert await refused(refresh(world, late.refresh_token, "r-1")) == REUSED


async def test_a_refresh_token_expires_unless_it_is_used(world: World, refused: Refused) -> None:
    await world.user("anna")
    used, unused = await world.login("anna"), await world.login("anna")

    world.later(days=6)
    used_again = await refresh(world, used.refresh_token)
    world.later(days=6)

    assert (await refresh(world, used_again.refresh_token)).user_id == "anna"
    assert await refused(refresh(world, unused.refresh_token)) == BAD


async def test_a_session_ends_however_often_it_is_refreshed(small_world: World, refused: Refused) -> None:
    await small_world.user("anna")
    token = (await small_world.login("anna")).refresh_token
    left = 0
    for _ in range(5):
        small_world.later(days=5.9)
        answer = await refresh(small_world, token)
        token, left = answer.refresh_token, answer.refresh_expires_in

    assert left == pytest.approx(0.5 * 86_400, abs=2)
    small_world.later(days=0.6)
    assert await refused(refresh(small_world, token)) == BAD


async def test_made_up_tokens_open_nothing_and_end_nothing(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    for token in ("", "flr_", "flr_" + "x" * 43, "x" * 5000, anna.access_token, anna.refresh_token + "x"):
        assert await refused(refresh(world, token)) == BAD

    assert (await refresh(world, anna.refresh_token)).user_id == "anna"


async def test_logging_out_ends_the_session_and_its_access_tokens(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    other = await world.login("anna")
    world.told.clear()

    for _ in range(2):
        await world.access.Logout(access_pb.LogoutRequest(refresh_token=anna.refresh_token))

    permissions = await world.permissions("anna")
    assert await refused(refresh(world, anna.refresh_token)) == BAD
    assert (await refresh(world, other.refresh_token)).user_id == "anna"
    assert list(permissions.revoked_token_ids) == [claims_of(anna.access_token)["sid"]]
    assert world.told == ["anna"]
    world.later(seconds=301)
    assert not (await world.permissions("anna")).revoked_token_ids, "what has expired need not be refused any more"


async def test_logging_out_with_the_access_token_ends_its_session_too(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    metadata = (("authorization", f"Bearer {anna.access_token}"),)
    await world.access.Logout(access_pb.LogoutRequest(), metadata=metadata)

    claims = claims_of(anna.access_token)
    revoked = set((await world.permissions("anna")).revoked_token_ids)
    assert revoked == {claims["sid"], claims["jti"]}
    assert await refused(refresh(world, anna.refresh_token)) == BAD
    assert (await refused(world.access.Logout(access_pb.LogoutRequest())))[0] == "INVALID_ARGUMENT"


async def test_a_forged_access_token_logs_nobody_out(world: World, anna: access_pb.LoginResponse) -> None:
    head, body, signature = anna.access_token.split(".")
    forged = ".".join((head, body, signature[::-1]))

    await world.access.Logout(access_pb.LogoutRequest(access_token=forged, all_sessions=True))

    assert (await refresh(world, anna.refresh_token)).user_id == "anna"


async def test_logging_out_everywhere_ends_every_session(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    other = await world.login("anna")
    before = (await world.permissions("anna")).token_generation

    await world.access.Logout(access_pb.LogoutRequest(refresh_token=anna.refresh_token, all_sessions=True))

    after = (await world.permissions("anna")).token_generation
    for each in (anna, other):
        assert await refused(refresh(world, each.refresh_token)) == BAD
        assert claims_of(each.access_token)["gen"] == before < after


async def test_an_administrator_ends_the_sessions_of_a_user(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    await world.access.RevokeSessions(access_pb.RevokeSessionsRequest(user_id="anna"))

    assert await refused(refresh(world, anna.refresh_token)) == BAD
    missing = world.access.RevokeSessions(access_pb.RevokeSessionsRequest(user_id="nobody"))
    assert await refused(missing) == ("NOT_FOUND", "user-not-found")
    admin = world.access.RevokeSessions(
        access_pb.RevokeSessionsRequest(user_id="admin"), metadata=as_user("x", "identity.session.revoke")
    )
    assert await refused(admin) == ("PERMISSION_DENIED", "privilege-not-yours")


async def test_deleting_a_user_ends_everything_also_for_who_gets_the_id_next(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    await world.identity.DeleteUser(pb.DeleteUserRequest(user_id="anna"))

    assert not (await world.permissions("anna")).active
    assert await refused(refresh(world, anna.refresh_token)) == BAD
    world.later(seconds=1)
    await world.user("anna")
    generation = claims_of(anna.access_token)["gen"]
    assert isinstance(generation, int)
    assert (await world.permissions("anna")).token_generation > generation
    assert await refused(refresh(world, anna.refresh_token)) == BAD


async def test_sweeping_deletes_what_is_over_and_nothing_else(url: str, worlds: Worlds) -> None:
    world = await worlds(url, tokens=TokenSettings(reuse_memory_seconds=60.0))
    await world.user("anna", request_id="r-1")
    kept = await world.login("anna")
    await world.access.Logout(access_pb.LogoutRequest(refresh_token=(await world.login("anna")).refresh_token))
    for _ in range(3):
        kept_answer = await refresh(world, kept.refresh_token)
        kept.refresh_token = kept_answer.refresh_token

    world.later(seconds=400)
    await world.service.sweeping.run()

    def count(work: object) -> dict[str, int]:
        connection = work._connection  # type: ignore[attr-defined]
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.session, tables.refresh_token, tables.revoked_token, tables.answer)
        }

    assert await world.service._store.read(count) == {
        "identity_session": 1,
        "identity_refresh_token": 1,
        "identity_revoked_token": 0,
        "identity_answer": 1,
    }
    assert (await refresh(world, kept.refresh_token)).user_id == "anna"
    world.later(days=31)
    await world.service.sweeping.run()
    assert set((await world.service._store.read(count)).values()) == {0}


async def test_the_oldest_session_ends_for_one_too_many(url: str, worlds: Worlds, refused: Refused) -> None:
    world = await worlds(url, tokens=TokenSettings(max_sessions=2))
    await world.user("anna")
    first, second, third = [await world.login("anna") for _ in range(3)]

    assert await refused(refresh(world, first.refresh_token)) == BAD
    for each in (second, third):
        assert (await refresh(world, each.refresh_token)).user_id == "anna"


async def test_too_many_revocations_become_one_of_everything(small_world: World) -> None:
    await small_world.user("anna")
    before = await small_world.permissions("anna")
    tokens = [await small_world.login("anna") for _ in range(100)]
    for each in tokens:
        await small_world.access.Logout(access_pb.LogoutRequest(access_token=each.access_token))
    many = await small_world.permissions("anna")
    one_more = await small_world.login("anna")

    await small_world.access.Logout(access_pb.LogoutRequest(access_token=one_more.access_token))

    after = await small_world.permissions("anna")
    assert (len(many.revoked_token_ids), many.token_generation) == (200, before.token_generation)
    assert len(after.revoked_token_ids) <= 1
    assert after.token_generation > before.token_generation


async def test_who_must_change_their_password_loses_their_sessions(
    world: World, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    await world.identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", must_change_password=True))

    assert await refused(refresh(world, anna.refresh_token)) == BAD
    assert await refused(world.login("anna")) == ("FAILED_PRECONDITION", "password-change-required")
