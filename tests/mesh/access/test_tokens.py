"""Which tokens are believed."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mesh.access.keys import KeyRing
from mesh.access.service_tokens import ServiceTokens, service_issuer
from mesh.access.tokens import Issuer, TokenVerifier
from mesh.errors import Unauthenticated, Unavailable
from mesh.testing.access import AUDIENCE, ISSUER, SERVICE_KEY, IdentityForTests


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return self.at.timestamp()

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class World:
    def __init__(self, **options: object) -> None:
        self.clock = Clock()
        self.identity = IdentityForTests(self.clock.now)
        self.identity.allow("kermit", "*")
        ring = KeyRing(self.identity, algorithms=("ES256",), elapsed=self.clock.elapsed)
        self.verifier = TokenVerifier(
            [
                Issuer(name=ISSUER, audience=AUDIENCE, algorithms=("ES256",), find_key=ring.key),
                service_issuer(SERVICE_KEY, audience=AUDIENCE),
            ],
            now=self.clock.now,
            **options,  # type: ignore[arg-type]
        )

    async def reason(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            await self.verifier.verify(token)
        return refused.value.reason


@pytest.fixture
def world() -> World:
    return World()


async def test_a_genuine_token_says_whose_it_is(world: World) -> None:
    world.identity.allow("gonzo", tenant_id="acme")

    verified = await world.verifier.verify(world.identity.token("gonzo", jti="one"))

    assert (verified.subject, verified.tenant_id, verified.token_id) == ("gonzo", "acme", "one")
    assert not verified.is_service


async def test_a_token_expires_also_where_it_is_remembered(world: World) -> None:
    token = world.identity.token("kermit", lifetime_seconds=60)
    await world.verifier.verify(token)

    world.clock.wait(66)

    assert await world.reason(token) == "token-expired"


async def test_an_expired_token_still_says_whose_it_was_to_whoever_asks_for_that(world: World) -> None:
    token = world.identity.token("kermit", lifetime_seconds=60)
    world.clock.wait(3600)

    assert (await world.verifier.verify(token, or_expired=True)).subject == "kermit"
    assert await world.reason(token) == "token-expired"


async def test_a_token_that_expired_before_it_was_seen_is_refused(world: World) -> None:
    token = world.identity.token("kermit", lifetime_seconds=60)
    world.clock.wait(66)

    assert await world.reason(token) == "token-expired"


async def test_tokens_that_are_forged_are_refused_all_alike(world: World) -> None:
    identity = world.identity
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "kermit", "iat": 1893456000, "exp": 1993456000}
    mine = ec.generate_private_key(ec.SECP256R1())
    public = identity.keys_by_id["key-1"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    genuine = identity.token("kermit")
    head, body, signature = genuine.split(".")
    changed = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed["sub"] = "admin"
    other_body = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    forged = {
        "alg none": jwt.encode(claims, None, algorithm="none", headers={"kid": "key-1"}),
        "another key": jwt.encode(claims, mine, algorithm="ES256", headers={"kid": "key-1"}),
        "an unknown key id": jwt.encode(claims, mine, algorithm="ES256", headers={"kid": "key-9"}),
        "no key id": jwt.encode(claims, mine, algorithm="ES256"),
        "the public key as secret": _hs256(claims, pem),
        "a service's, with users' issuer": jwt.encode(claims, SERVICE_KEY, algorithm="HS256", headers={"kid": "key-1"}),
        "a service's, with a guessed key": jwt.encode(
            {**claims, "iss": "flowloom-service"}, "x" * 40, algorithm="HS256"
        ),
        "another body": f"{head}.{other_body}.{signature}",
        "without signature": f"{head}.{body}.",
        "another issuer": identity.token("kermit", iss="somebody"),
        "no issuer": identity.token("kermit", iss=None),
        "a foreign audience": identity.token("kermit", aud="another"),
        "no audience": identity.token("kermit", aud=None),
        "no expiry": identity.token("kermit", exp=None),
        "no user": identity.token("kermit", sub=None),
        "an empty user": identity.token("kermit", sub=""),
        "from the future": identity.token("kermit", iat=1993456000),
        "not yet": identity.token("kermit", nbf=1993456000),
        "an expiry that is no number": identity.token("kermit", exp=True),
        "too long": genuine + "x" * 9000,
        "no token": "kermit",
        "nothing": "",
        "dots": "..",
        "not even base64": "ä.ö.ü",
    }

    assert {name: await world.reason(token) for name, token in forged.items()} == dict.fromkeys(forged, "token-invalid")


def _hs256(claims: dict[str, object], secret: bytes) -> str:
    """PyJWT refuses to sign with a public key; an attacker does not."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "key-1"}).encode())
    signed = f"{head}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


async def test_a_new_key_is_found_and_an_unknown_one_asked_for_only_now_and_then(world: World) -> None:
    await world.verifier.verify(world.identity.token("kermit"))
    assert world.identity.looks == 1

    world.clock.wait(10)
    world.identity.rotate("key-2")
    await world.verifier.verify(world.identity.token("kermit"))
    assert world.identity.looks == 2

    forger = ec.generate_private_key(ec.SECP256R1())
    for number in range(20):
        token = jwt.encode({"iss": ISSUER}, forger, algorithm="ES256", headers={"kid": f"forged-{number}"})
        assert await world.reason(token) == "token-invalid"
    assert world.identity.looks == 2

    world.clock.wait(4)
    await world.reason(jwt.encode({"iss": ISSUER}, forger, algorithm="ES256", headers={"kid": "forged"}))
    assert world.identity.looks == 3


async def test_a_withdrawn_key_verifies_nothing_after_a_while(world: World) -> None:
    await world.verifier.verify(world.identity.token("kermit"))
    stolen = world.identity.token("kermit", jti="stolen", lifetime_seconds=3600)
    world.identity.rotate("key-2")
    del world.identity.keys_by_id["key-1"]

    world.clock.wait(301)

    assert await world.reason(stolen) == "token-invalid"


async def test_keys_at_hand_go_on_while_the_issuer_is_away_and_unknown_ones_are_not_believed(world: World) -> None:
    await world.verifier.verify(world.identity.token("kermit"))
    world.identity.away = True

    world.clock.wait(100)
    await world.verifier.verify(world.identity.token("kermit", jti="another"))
    world.identity.rotate("key-2")
    with pytest.raises(Unavailable):
        await world.verifier.verify(world.identity.token("kermit"))


async def test_a_remembered_token_is_not_verified_again(world: World) -> None:
    token = world.identity.token("kermit")
    first = await world.verifier.verify(token)

    assert await world.verifier.verify(token) is first


async def test_no_more_tokens_are_remembered_than_the_limit_says() -> None:
    world = World(kept=2)
    tokens = [world.identity.token("kermit", jti=str(number)) for number in range(3)]
    first = await world.verifier.verify(tokens[0])
    for token in tokens[1:]:
        await world.verifier.verify(token)

    assert await world.verifier.verify(tokens[0]) is not first


async def test_a_service_vouches_for_itself_with_one_token_for_many_calls(world: World) -> None:
    tokens = ServiceTokens("engine", SERVICE_KEY, audience=AUDIENCE, now=world.clock.now)

    token = tokens.token()
    verified = await world.verifier.verify(token)

    assert (verified.subject, verified.is_service) == ("service:engine", True)
    assert tokens.token() == token
    world.clock.wait(40)
    assert tokens.token() != token
    world.clock.wait(30)
    assert await world.reason(token) == "token-expired"


def test_a_short_service_key_is_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="at least 32") as refused:
        service_issuer("hunter2", audience=AUDIENCE)

    assert "hunter2" not in str(refused.value)


async def test_an_outside_issuer_is_believed_for_what_it_says_and_no_more() -> None:
    clock = Clock()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    class Outside:
        async def keys(self) -> list[dict[str, object]]:
            return [{**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "o", "alg": "RS256"}]

    ring = KeyRing(Outside(), algorithms=("RS256",), elapsed=clock.elapsed)
    issuer = Issuer(
        name="https://outside",
        audience="mesh",
        algorithms=("RS256",),
        find_key=ring.key,
        user_claim="email",
        tenant_claim="",
    )
    verifier = TokenVerifier([issuer], now=clock.now)
    now = int(clock.now().timestamp())
    claims = {"iss": "https://outside", "aud": ["mesh"], "sub": "1", "email": "k@x", "tenant": "t", "exp": now + 60}

    verified = await verifier.verify(jwt.encode(claims, key, algorithm="RS256", headers={"kid": "o"}))

    assert (verified.subject, verified.tenant_id, verified.is_service) == ("k@x", None, False)
    with pytest.raises(Unauthenticated):
        await verifier.verify(
            jwt.encode({**claims, "iss": "flowloom-service"}, key, algorithm="RS256", headers={"kid": "o"})
        )
