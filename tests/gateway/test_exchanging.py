"""What the exchange of credentials remembers, and for how long."""

import asyncio

import pytest

from gateway.app.exchanging import ExchangeCache
from gateway.model.credentials import Credentials, Exchanged, MalformedCredentials, read_credentials
from gateway.settings import ExchangeSettings
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.errors import Unauthenticated, Unavailable

KERMIT = Credentials(user_id="kermit", password="green")


class Identity:
    """Answers when it is let, and counts."""

    def __init__(self) -> None:
        self.asked = 0
        self.lives_seconds = 600.0
        self.refuses: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 1000.0

    async def exchange(self, credentials: Credentials) -> Exchanged:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.refuses is not None:
            raise self.refuses
        return Exchanged(token=f"token-{number}", user_id="kermit", expires_at=self.now + self.lives_seconds)


@pytest.fixture
def identity() -> Identity:
    return Identity()


def cache_of(identity: Identity, **settings: float) -> ExchangeCache:
    return ExchangeCache(identity, ExchangeSettings(**settings), lambda: identity.now)  # type: ignore[arg-type]


async def test_a_token_is_handed_out_again_for_a_while(identity: Identity) -> None:
    cache = cache_of(identity, kept_seconds=60)

    first = await cache.token(KERMIT)
    identity.now += 59
    second = await cache.token(KERMIT)
    identity.now += 1
    third = await cache.token(KERMIT)

    assert [each.token for each in (first, second, third)] == ["token-1", "token-1", "token-2"]
    assert (cache.hits, cache.misses) == (1, 2)


async def test_a_token_is_not_handed_out_shortly_before_its_end(identity: Identity) -> None:
    identity.lives_seconds = 40
    cache = cache_of(identity, kept_seconds=60, margin_seconds=30)

    await cache.token(KERMIT)
    identity.now += 10
    again = await cache.token(KERMIT)

    assert again.token == "token-2"


async def test_another_password_is_another_question(identity: Identity) -> None:
    cache = cache_of(identity)

    await cache.token(KERMIT)
    await cache.token(Credentials(user_id="kermit", password="blue"))
    await cache.token(Credentials(user_id="kermitg", password="reen"))
    await cache.token(Credentials(api_token="kermitgreen"))

    assert identity.asked == 4


async def test_equal_questions_that_come_together_are_one(identity: Identity) -> None:
    cache = cache_of(identity)
    identity.gate.clear()
    waiting = [asyncio.create_task(cache.token(KERMIT)) for _ in range(5)]
    await asyncio.sleep(0)

    waiting[0].cancel()
    identity.gate.set()
    tokens = await asyncio.gather(*waiting, return_exceptions=True)

    assert identity.asked == 1
    assert isinstance(tokens[0], asyncio.CancelledError)
    assert [each.token for each in tokens[1:] if isinstance(each, Exchanged)] == ["token-1"] * 4


async def test_a_refusal_is_remembered_for_a_moment_and_a_failure_is_not(identity: Identity) -> None:
    cache = cache_of(identity, refused_seconds=1)
    identity.refuses = Unauthenticated("bad-credentials", "no")
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await cache.token(KERMIT)
    refused = identity.asked

    identity.refuses = Unavailable("away", "no")
    identity.now += 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            await cache.token(KERMIT)

    assert (refused, identity.asked) == (1, 3)


async def test_what_changed_is_forgotten_also_while_it_is_asked_for(identity: Identity) -> None:
    cache = cache_of(identity)
    await cache.token(KERMIT)
    cache.forget("piggy")
    kept = await cache.token(KERMIT)
    cache.forget("kermit")
    identity.gate.clear()
    asking = asyncio.create_task(cache.token(KERMIT))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.forget(None)
    identity.gate.set()
    stale = await asking
    fresh = await cache.token(KERMIT)

    assert [each.token for each in (kept, stale, fresh)] == ["token-1", "token-2", "token-3"]


async def test_no_more_than_the_limit_is_remembered(identity: Identity) -> None:
    cache = cache_of(identity, max_kept=2)
    for number in range(3):
        await cache.token(Credentials(api_token=str(number)))

    await cache.token(Credentials(api_token="2"))
    await cache.token(Credentials(api_token="0"))

    assert identity.asked == 4


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Basic a2VybWl0OmdyZWVu"}, KERMIT),
        ({"authorization": "bASIC a2VybWl0OmE6Yg=="}, Credentials(user_id="kermit", password="a:b")),
        ({"authorization": "Bearer flt_x"}, Credentials(api_token="flt_x")),
        ({"x-api-key": "flt_y", "authorization": "Basic a2VybWl0OmdyZWVu"}, Credentials(api_token="flt_y")),
    ],
)
def test_credentials_are_read_from_either_header(headers: dict[str, str], expected: Credentials) -> None:
    assert read_credentials(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Digest 1234"},
        {"authorization": "Basic ?"},
        {"authorization": "Basic a2VybWl0"},
        {"authorization": "Basic OmE="},
        {"authorization": "Basic /////w=="},
        {"authorization": "Bearer eyJ"},
        {"x-api-key": "x" * 9000},
    ],
)
def test_what_is_no_credential_is_refused_without_repeating_it(headers: dict[str, str]) -> None:
    with pytest.raises(MalformedCredentials) as refused:
        read_credentials(headers)

    assert not any(value.partition(" ")[2] in str(refused.value) for value in headers.values() if " " in value)


def test_secrets_do_not_show() -> None:
    shown = repr(KERMIT) + repr(Exchanged(token="secret-token", user_id="kermit", expires_at=1))

    assert "green" not in shown
    assert "secret" not in shown


async def test_whom_the_caches_forget_is_forgotten_here_too(identity: Identity) -> None:
    """The caches hear of changes from every process (tests/mesh/cache); the exchange hears of them from the caches."""
    permissions = Caches(CacheSettings(), alone=True).open("permissions", str, seconds=60, entries=10)
    exchanges = cache_of(identity)
    permissions.hearers.append(exchanges.forget)

    tokens = [(await exchanges.token(KERMIT)).token]
    for forget in (lambda: permissions.forget("piggy"), lambda: permissions.forget("kermit"), permissions.forget_all):
        forget()
        tokens.append((await exchanges.token(KERMIT)).token)

    assert tokens == ["token-1", "token-1", "token-2", "token-3"]
