"""Signing keys: rotated under everybody's eyes, shared by replicas, verified by a library of others."""

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

import jwt
import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from google.protobuf.json_format import MessageToDict
from sqlalchemy import select

from identity.model.keys import Rotation, SigningKey, plan, signing
from identity.settings import KeySettings
from identity.storage import tables
from mesh.errors import FailedPrecondition
from tests.identity.worlds import BEGINNING, World

Worlds = Callable[..., Awaitable[World]]
DAY = 86_400.0
QUIET = KeySettings(rotation_seconds=30 * DAY, lead_seconds=3600.0, poll_seconds=1000.0)
"""The clock stands still; rotation happens when the test says so."""


async def jwks(world: World) -> dict[str, list[dict[str, str]]]:
    """What is published, as JSON, as a client would fetch it."""
    answer = await world.access.GetJwks(access_pb.GetJwksRequest())
    found: dict[str, list[dict[str, str]]] = json.loads(json.dumps(MessageToDict(answer)))
    return found


def verified(published: dict[str, list[dict[str, str]]], token: str) -> dict[str, object]:
    """PyJWT with nothing but the JWKS and the token. The test's clock is not its own, so expiry is not asked."""
    key_set = jwt.PyJWKSet.from_dict(published)
    key = key_set[jwt.get_unverified_header(token)["kid"]]
    found: dict[str, object] = jwt.decode(
        token,
        key,
        algorithms=["ES256"],
        audience="flowloom",
        issuer="flowloom",
        options={"verify_exp": False, "verify_iat": False},
    )
    return found


async def test_a_token_is_verified_by_the_published_keys_alone(world: World) -> None:
    await world.user("anna")
    token = (await world.login("anna")).access_token

    published = await jwks(world)
    claims = verified(published, token)

    assert jwt.get_unverified_header(token)["alg"] == "ES256"
    assert set(claims) == {"iss", "aud", "sub", "jti", "sid", "gen", "iat", "exp"}
    assert (claims["sub"], claims["iat"]) == ("anna", int(BEGINNING.timestamp()))
    assert claims["exp"] == int(BEGINNING.timestamp()) + 300
    [key] = published["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "nothing private"


async def test_a_changed_token_is_not_verified(small_world: World) -> None:
    await small_world.user("anna")
    head, body, signature = (await small_world.login("anna")).access_token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "admin"
    forged_body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    unsigned = jwt.encode(
        claims, "", algorithm="none", headers={"kid": jwt.get_unverified_header(f"{head}.{body}.{signature}")["kid"]}
    )

    with pytest.raises(jwt.InvalidSignatureError):
        verified(await jwks(small_world), f"{head}.{forged_body}.{signature}")
    with pytest.raises(jwt.InvalidAlgorithmError):
        verified(await jwks(small_world), unsigned)
    assert await small_world.service.ring.read(f"{head}.{forged_body}.{signature}") is None
    assert await small_world.service.ring.read(unsigned) is None


async def test_the_keys_may_be_kept_for_a_while(small_world: World) -> None:
    call = small_world.access.GetJwks(access_pb.GetJwksRequest())
    metadata = dict(await call.initial_metadata())

    assert metadata["cache-control"] == "public, max-age=300"


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_stays_for_its_tokens(
    url: str, worlds: Worlds
) -> None:
    world = await worlds(url, keys=QUIET)
    await world.user("anna")
    [first] = [key["kid"] for key in (await jwks(world))["keys"]]

    async def signs_with() -> str:
        kid: str = jwt.get_unverified_header((await world.login("anna")).access_token)["kid"]
        return kid

    world.later(days=30, seconds=-3601)
    await world.service.ring.rotate()
    assert [key["kid"] for key in (await jwks(world))["keys"]] == [first]

    world.later(seconds=2)
    await world.service.ring.rotate()
    kids = [key["kid"] for key in (await jwks(world))["keys"]]
    assert (len(kids), kids[0]) == (2, first)
    assert await signs_with() == first, "published, and not used yet"

    world.later(seconds=3600)
    last_of_first = (await world.login("anna")).access_token
    assert await signs_with() == kids[1], "its time has come, without another rotation"
    await world.service.ring.rotate()
    assert len((await jwks(world))["keys"]) == 2, "tokens of the first one are still good"
    assert verified(await jwks(world), last_of_first)["sub"] == "anna"

    world.later(seconds=361)
    await world.service.ring.rotate()
    assert [key["kid"] for key in (await jwks(world))["keys"]] == [kids[1]]


async def test_every_token_is_verifiable_at_any_time_by_keys_that_were_fetched_within_their_cache_time(
    sqlite_url: str, worlds: Worlds
) -> None:
    """Walks over several rotations in small steps, with a client that fetches as seldom as it may."""
    keys = KeySettings(rotation_seconds=4000.0, lead_seconds=1300.0, poll_seconds=1000.0, jwks_cache_seconds=300)
    world = await worlds(sqlite_url, keys=keys)
    await world.user("anna")
    living: list[tuple[float, str]] = []
    published, fetched_at = await jwks(world), 0.0
    used: set[str] = set()

    for step in range(120):
        now = step * 100.0
        await world.service.ring.rotate()
        if now - fetched_at >= 300:
            published, fetched_at = await jwks(world), now
        living = [(until, token) for until, token in living if until > now]
        living.append(
            (
                now + 300,
                (await world.service._store.read(lambda work: world.service.ring.sign(work.users.find("anna"))))[0],
            )
        )  # type: ignore[arg-type]
        for _, token in living:
            assert verified(published, token)["sub"] == "anna"
        used.add(jwt.get_unverified_header(living[-1][1])["kid"])
        world.later(seconds=100)

    assert len(used) >= 3


async def test_replicas_that_start_together_share_one_key_and_know_each_others_tokens(url: str, worlds: Worlds) -> None:
    first, second = await asyncio.gather(worlds(url, keys=QUIET), worlds(url, keys=QUIET))
    await first.user("anna")
    token = (await first.login("anna")).access_token

    published = await jwks(second)

    assert published == await jwks(first)
    assert len(published["keys"]) == 1
    assert verified(published, token)["sub"] == "anna"


async def test_replicas_that_rotate_together_make_one_new_key(url: str, worlds: Worlds) -> None:
    first = await worlds(url, keys=QUIET)
    second = await worlds(url, keys=QUIET, clock=first.clock)
    first.later(days=30)

    await asyncio.gather(first.service.ring.rotate(), second.service.ring.rotate())
    await asyncio.gather(first.service.ring.rotate(), second.service.ring.rotate())

    assert len((await jwks(first))["keys"]) == 2
    assert await jwks(first) == await jwks(second)


async def test_a_token_of_a_key_that_this_replica_has_not_seen_is_read(url: str, worlds: Worlds) -> None:
    first = await worlds(url, keys=QUIET)
    second = await worlds(url, keys=QUIET, clock=first.clock)
    await first.user("anna")
    first.later(days=31)
    await first.service.ring.rotate()
    first.later(seconds=3601)
    session = await first.login("anna")

    await second.access.Logout(access_pb.LogoutRequest(access_token=session.access_token))

    assert len((await second.permissions("anna")).revoked_token_ids) == 2


async def kept_keys(world: World) -> list[SigningKey]:
    return list(await world.service._store.read(lambda work: work.keys.all()))


async def test_private_keys_are_encrypted_where_a_key_is_set_also_those_from_before(url: str, worlds: Worlds) -> None:
    old_key, new_key = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    plain = await worlds(url)
    await plain.user("anna")
    token = (await plain.login("anna")).access_token
    assert b"PRIVATE KEY" in (await kept_keys(plain))[0].private

    sealed = await worlds(url, keys=KeySettings(encryption_keys=(old_key,)))
    first = await kept_keys(sealed)
    moved = await worlds(url, keys=KeySettings(encryption_keys=(new_key, old_key)))
    second = await kept_keys(moved)
    last = await worlds(url, keys=KeySettings(encryption_keys=(new_key,)))

    assert b"PRIVATE KEY" not in first[0].private
    assert first[0].private != second[0].private
    assert jwt.get_unverified_header((await last.login("anna")).access_token)["kid"] == first[0].kid
    assert verified(await jwks(last), token)["sub"] == "anna"


async def test_without_the_key_that_sealed_them_identity_does_not_start(sqlite_url: str, worlds: Worlds) -> None:
    right, wrong = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    await worlds(sqlite_url, keys=KeySettings(encryption_keys=(right,)))

    for keys in (KeySettings(), KeySettings(encryption_keys=(wrong,))):
        world = World(sqlite_url, keys=keys)
        with pytest.raises(FailedPrecondition) as refused:
            await world.start()
        assert refused.value.reason == "signing-key-sealed"
        assert right not in str(refused.value)
        await world.stop()


async def test_settings_under_which_a_key_would_sign_before_it_is_known_are_refused(sqlite_url: str) -> None:
    with pytest.raises(ValueError, match="lead_seconds"):
        World(sqlite_url, keys=KeySettings(lead_seconds=329.0))
    with pytest.raises(ValueError, match="32 bytes in base64"):
        World(sqlite_url, keys=KeySettings(encryption_keys=("c2hvcnQ=",)))


async def test_the_key_in_the_database_is_no_key_of_a_client(small_world: World) -> None:
    def private(work: object) -> list[str]:
        connection = work._connection  # type: ignore[attr-defined]
        return list(connection.execute(select(tables.signing_key.c.x)).scalars())

    assert await small_world.service._store.read(private) == [key["x"] for key in (await jwks(small_world))["keys"]]


def a_key(kid: str, signs_from_days: float) -> SigningKey:
    at = BEGINNING + timedelta(days=signs_from_days)
    return SigningKey(kid=kid, x="", y="", private=b"", sealed=False, created_at=at, signs_from=at, token_seconds=600)


def test_a_plan_makes_the_next_key_in_time_and_drops_what_nobody_needs() -> None:
    rotation = Rotation(rotation_seconds=30 * DAY, lead_seconds=3600.0, token_seconds=300)
    now = BEGINNING + timedelta(days=30)
    keys = [a_key("old", -30), a_key("now", 0)]

    late = plan(keys, rotation, now + timedelta(days=5))
    early = plan(keys, rotation, BEGINNING + timedelta(seconds=659))

    assert plan([], rotation, now).make_from == now
    assert plan(keys, rotation, now - timedelta(seconds=3600)).make_from == now
    assert plan(keys, rotation, now - timedelta(seconds=3601)).make_from is None
    assert late.make_from == now + timedelta(days=5, seconds=3600), "the lead is kept also when it is late"
    assert early.drop == (), "tokens of its own time lived longer than today's"
    assert plan(keys, rotation, BEGINNING + timedelta(seconds=661)).drop == ("old",)


def test_the_last_key_whose_time_has_come_signs() -> None:
    keys = [a_key("old", -30), a_key("now", 0), a_key("next", 1)]

    found = [signing(keys, BEGINNING + timedelta(days=days)) for days in (-31, -1, 0, 0.9, 1)]

    assert [each and each.kid for each in found] == [None, "old", "now", "now", "next"]
