"""Other credentials for a short token of ours: name and password, API tokens, an outside issuer's tokens."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb

from identity.settings import OutsideIssuerSettings
from tests.identity.conftest import Refused
from tests.identity.issuers import OutsideIssuer
from tests.identity.test_keys import jwks, verified
from tests.identity.worlds import BEGINNING, PASSWORD, World

Worlds = Callable[..., Awaitable[World]]
BAD = ("UNAUTHENTICATED", "bad-credentials")


def exchange(world: World, **credentials: Any) -> Awaitable[access_pb.ExchangeCredentialsResponse]:
    return world.access.ExchangeCredentials(access_pb.ExchangeCredentialsRequest(**credentials))


def basic(user_id: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"basic": access_pb.BasicCredentials(user_id=user_id, password=password)}


async def test_name_and_password_give_a_short_token(world: World, refused: Refused) -> None:
    await world.user("anna")
    await world.user("berta", must_change_password=True)

    answer = await exchange(world, **basic("anna"))

    claims = verified(await jwks(world), answer.access_token)
    assert (answer.user_id, answer.expires_in, answer.token_type) == ("anna", 300, "Bearer")
    assert claims["sub"] == "anna"
    assert "sid" not in claims
    assert await refused(exchange(world, **basic("anna", "wrong"))) == BAD
    assert await refused(exchange(world, **basic("nobody"))) == BAD
    assert await refused(exchange(world, **basic("berta"))) == ("FAILED_PRECONDITION", "password-change-required")
    assert (await refused(exchange(world)))[0] == "INVALID_ARGUMENT"
    assert await refused(exchange(world, outside_token="a.b.c")) == BAD, "no issuer is trusted here"


async def test_wrong_credentials_of_an_address_slow_it_down_whatever_their_kind(world: World, refused: Refused) -> None:
    await world.user("anna")
    address = {"address": "203.0.113.9"}
    for n in range(10):
        assert await refused(exchange(world, **basic(f"user-{n}"), **address)) == BAD
        assert await refused(exchange(world, api_token=f"flt_{n}", **address)) == BAD

    too_many = ("RESOURCE_EXHAUSTED", "too-many-attempts")
    assert await refused(exchange(world, api_token="flt_x", **address)) == too_many
    assert await refused(exchange(world, **basic("anna"), **address)) == too_many
    assert (await exchange(world, **basic("anna"), address="203.0.113.10")).user_id == "anna"


@pytest.fixture
def issuer() -> Iterator[OutsideIssuer]:
    found = OutsideIssuer()
    yield found
    found.stop()


def trusting(issuer: OutsideIssuer, **more: Any) -> OutsideIssuerSettings:
    return OutsideIssuerSettings(url=issuer.url, audience="flowloom-client", refetch_seconds=0.0, **more)


async def test_an_outside_token_of_a_known_user_is_exchanged(
    url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    world = await worlds(url, outside=trusting(issuer))
    await world.user("anna", password=None, issuer=issuer.url)
    await world.user("admin2")

    answer = await exchange(world, outside_token=issuer.token("anna", BEGINNING))
    again = await exchange(world, outside_token=issuer.token("anna", BEGINNING))

    assert verified(await jwks(world), answer.access_token)["sub"] == "anna"
    assert again.user_id == "anna"
    assert issuer.fetched == ["/.well-known/openid-configuration", "/keys"]
    not_linked = ("PERMISSION_DENIED", "user-not-linked")
    assert await refused(exchange(world, outside_token=issuer.token("nobody", BEGINNING))) == not_linked
    # Whoever may choose their name at the issuer must not become somebody here.
    assert await refused(exchange(world, outside_token=issuer.token("admin2", BEGINNING))) == not_linked
    assert await refused(exchange(world, outside_token=issuer.token("admin", BEGINNING))) == not_linked


async def test_outside_tokens_that_are_not_good_are_refused_alike(
    sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    world = await worlds(sqlite_url, outside=trusting(issuer))
    await world.user("anna", password=None, issuer=issuer.url)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = issuer.token("anna", BEGINNING)
    head, body, signature = good.split(".")
    public = issuer.keys["rsa-1"].public_key()
    shared = jwt.encode({"sub": "anna"}, "x" * 64, algorithm="HS256", headers={"kid": "rsa-1"})

    bad = {
        "expired": issuer.token("anna", BEGINNING, seconds=-31),
        "not yet": issuer.token("anna", BEGINNING, nbf=int(BEGINNING.timestamp()) + 31),
        "another issuer": issuer.token("anna", BEGINNING, iss="https://elsewhere"),
        "another audience": issuer.token("anna", BEGINNING, aud="somebody-else"),
        "no audience": issuer.token("anna", BEGINNING, aud=None),
        "no expiry": issuer.token("anna", BEGINNING, exp=None),
        "no user": issuer.token("", BEGINNING),
        "a number for a user": issuer.token("anna", BEGINNING, sub=None),
        "signed by a stranger": issuer.token("anna", BEGINNING, key=stranger),
        "an unknown key": issuer.token("anna", BEGINNING, kid="other", key=stranger),
        "changed": f"{head}.{body[:-2]}xx.{signature}",
        "unsigned": jwt.encode(
            jwt.decode(
                good,
                public,
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
            ),
            "",
            algorithm="none",
        ),
        "signed with a shared secret": shared,
        "no token": "x",
        "too long": "x" * 20_000,
        "one of ours": (await world.login("admin", "a password of the administrator")).access_token,
    }

    assert {why: await refused(exchange(world, outside_token=token)) for why, token in bad.items()} == dict.fromkeys(
        bad, BAD
    )
    assert (await exchange(world, outside_token=issuer.token("anna", BEGINNING, seconds=-29))).user_id == "anna"


async def test_a_user_is_made_when_first_seen_and_kept_in_step_with_the_issuer(
    url: str, worlds: Worlds, issuer: OutsideIssuer
) -> None:
    world = await worlds(url, outside=trusting(issuer, provision=True, tenant_claim="org"))
    await world.identity.CreateTenant(pb.CreateTenantRequest(id="acme"))
    await world.group("clerks")
    await world.group("bosses")
    await world.group("of-others", tenant_id="acme")
    await world.privilege("engine.*", groups=["bosses"])
    who = {"given_name": "Anna", "family_name": "Berg", "email": "anna@example.org", "org": ""}

    await exchange(
        world, outside_token=issuer.token("anna", BEGINNING, groups=["clerks", "unknown", "of-others"], **who)
    )
    made = await world.identity.GetUser(pb.GetUserRequest(user_id="anna"))
    first = await world.permissions("anna")
    await world.group("local", "anna")
    world.told.clear()
    await exchange(world, outside_token=issuer.token("anna", BEGINNING, groups=["clerks", "unknown"], **who))
    unchanged = list(world.told)
    await exchange(world, outside_token=issuer.token("anna", BEGINNING, groups=["bosses"], **who))
    second = await world.permissions("anna")
    await exchange(world, outside_token=issuer.token("anna", BEGINNING, groups=["bosses"], **who | {"org": "acme"}))
    third = await world.permissions("anna")

    assert (made.first_name, made.last_name, made.email, made.issuer) == (
        "Anna",
        "Berg",
        "anna@example.org",
        issuer.url,
    )
    assert list(first.groups) == ["clerks"]
    assert unchanged == [], "nothing is written while nothing is new"
    assert world.told == ["anna", "anna"]
    assert list(second.groups) == ["bosses", "local"], "what was managed here stays"
    assert "engine.*" in second.privileges
    assert third.tenant_id == "acme"


async def test_an_unknown_tenant_and_an_id_that_does_not_fit_make_nobody(
    sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    world = await worlds(sqlite_url, outside=trusting(issuer, provision=True, tenant_claim="org"))

    foreign = issuer.token("anna", BEGINNING, org="nowhere")
    unfit = issuer.token("x" * 300, BEGINNING)

    assert await refused(exchange(world, outside_token=foreign)) == ("PERMISSION_DENIED", "unknown-tenant")
    assert await refused(exchange(world, outside_token=unfit)) == ("PERMISSION_DENIED", "outside-user-unfit")
    assert [each.id for each in (await world.identity.ListUsers(pb.ListUsersRequest())).data] == ["admin"]


async def test_the_issuer_changes_its_keys(
    sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    world = await worlds(sqlite_url, outside=trusting(issuer, provision=True))
    old = issuer.token("anna", BEGINNING)
    await exchange(world, outside_token=old)

    issuer.add_ec_key("ec-2")
    await exchange(world, outside_token=issuer.token("berta", BEGINNING, kid="ec-2"))
    del issuer.keys["rsa-1"]
    issuer.add_ec_key("ec-3")
    await exchange(world, outside_token=issuer.token("carla", BEGINNING, kid="ec-3"))

    assert await refused(exchange(world, outside_token=old)) == BAD, "its key is withdrawn"


async def test_made_up_key_ids_do_not_flood_the_issuer(
    sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    settings = OutsideIssuerSettings(url=issuer.url, audience="flowloom-client", refetch_seconds=60.0)
    world = await worlds(sqlite_url, outside=settings)
    await world.user("anna", password=None, issuer=issuer.url)
    await exchange(world, outside_token=issuer.token("anna", BEGINNING))
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    for n in range(10):
        token = issuer.token("anna", BEGINNING, kid=f"made-up-{n}", key=stranger)
        assert await refused(exchange(world, outside_token=token)) == BAD

    assert issuer.fetched.count("/keys") == 1


async def test_an_issuer_that_is_away_makes_it_unavailable_only_while_its_keys_are_not_known(
    sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    known = await worlds(sqlite_url, outside=trusting(issuer, provision=True))
    await exchange(known, outside_token=issuer.token("anna", BEGINNING))
    issuer.broken = True
    fresh = await worlds(sqlite_url, outside=trusting(issuer))

    assert await refused(exchange(fresh, outside_token=issuer.token("anna", BEGINNING))) == (
        "UNAVAILABLE",
        "outside-issuer-away",
    )
    assert (await exchange(known, outside_token=issuer.token("anna", BEGINNING))).user_id == "anna"
    issuer.broken, issuer.named = False, "https://somebody-else"
    other = await worlds(sqlite_url, outside=trusting(issuer))
    assert (await refused(exchange(other, outside_token=issuer.token("anna", BEGINNING))))[0] == "UNAVAILABLE"


async def test_keys_can_be_at_a_url_of_the_settings(sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer) -> None:
    settings = trusting(
        issuer, jwks_url=f"{issuer.url}/keys", user_claim="preferred_username", groups_claim="", provision=True
    )
    world = await worlds(sqlite_url, outside=settings)

    answer = await exchange(
        world, outside_token=issuer.token("1234", BEGINNING, preferred_username="anna", groups=["x"])
    )

    assert answer.user_id == "anna"
    assert issuer.fetched == ["/keys"]


async def test_a_disabled_user_gets_nothing_for_an_outside_token(
    sqlite_url: str, worlds: Worlds, issuer: OutsideIssuer, refused: Refused
) -> None:
    world = await worlds(sqlite_url, outside=trusting(issuer))
    await world.user("anna", password=None, issuer=issuer.url, disabled=True)

    assert await refused(exchange(world, outside_token=issuer.token("anna", BEGINNING))) == BAD


async def test_an_issuer_without_an_audience_is_refused_at_the_start(sqlite_url: str) -> None:
    with pytest.raises(ValueError, match="outside_audience"):
        World(sqlite_url, outside=OutsideIssuerSettings(url="https://idp"))
