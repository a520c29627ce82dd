"""Logging in with a password: what opens a session, what does not, and how wrong ones slow down."""

import asyncio
import logging
import time

import grpc
import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb

from identity.settings import PasswordSettings, ThrottleSettings
from mesh.errors import ResourceExhausted
from mesh.rpc_errors import refusal_in
from mesh.testing.statements import note_statements
from tests.identity.conftest import Refused
from tests.identity.worlds import PASSWORD, World, as_user

BAD = ("UNAUTHENTICATED", "bad-credentials")
WAIT = ("RESOURCE_EXHAUSTED", "too-many-attempts")


@pytest.mark.parametrize(
    ("user_id", "password", "field"), [("anna", "", "password"), ("", "secret", "user_id"), ("", "", "user_id")]
)
async def test_a_login_without_one_of_its_two_parts_names_the_one_that_lacks(
    world: World, user_id: str, password: str, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await world.login(user_id, password)
    refusal = refusal_in(raised.value)

    assert refusal is not None
    assert refusal.message == f"expected a user id and a password, found '{field}' empty"
    assert [violation.field for violation in refusal.violations] == [field]


async def wait_seconds(world: World, user_id: str, password: str = "wrong", address: str = "") -> float:
    """How long a refused login has to wait; 0 if it was only wrong."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await world.login(user_id, password, address)
    refusal = refusal_in(raised.value)
    assert refusal is not None
    if not isinstance(refusal, ResourceExhausted):
        assert (refusal.status.value, refusal.reason) == BAD
        return 0.0
    assert refusal.retry_after_seconds is not None
    return refusal.retry_after_seconds


async def test_a_password_opens_a_session(world: World) -> None:
    await world.user("anna")

    opened = await world.login("anna")

    assert (opened.user_id, opened.tenant_id, opened.token_type) == ("anna", "", "Bearer")
    assert (opened.expires_in, opened.refresh_expires_in) == (300, 604_800)
    assert opened.access_token.count(".") == 2
    assert opened.refresh_token.startswith("flr_")


async def test_whatever_is_wrong_is_refused_alike(world: World, refused: Refused) -> None:
    await world.user("anna")
    await world.user("without", password=None)
    await world.user("outside", password=None, issuer="https://idp")
    await world.user("off", disabled=True)

    answers = [
        await refused(world.login("anna", "wrong")),
        await refused(world.login("nobody")),
        await refused(world.login("without")),
        await refused(world.login("outside")),
        await refused(world.login("off")),
        await refused(world.login("x" * 1000)),
        await refused(world.login("anna", "x" * 5000)),
    ]

    assert answers == [BAD] * 7
    assert await refused(world.login("anna", "")) == ("INVALID_ARGUMENT", "invalid-argument")


async def test_an_unknown_user_costs_as_many_hashes_and_statements_as_a_wrong_password(world: World) -> None:
    await world.user("anna")
    await world.user("off", disabled=True)
    passwords = world.service.passwords
    statements: list[str] = []
    note_statements(world.service._database, lambda text, _: statements.append(text))
    costs = []

    for user_id, password in (("anna", "wrong"), ("nobody", "wrong"), ("off", PASSWORD), ("anna", "x" * 5000)):
        before = passwords.verifications
        statements.clear()
        await wait_seconds(world, user_id, password)
        costs.append((passwords.verifications - before, list(statements)))

    hashes = [cost[0] for cost in costs]
    kinds = [[text.split()[0] for text in cost[1] if not text.startswith("BEGIN")] for cost in costs]
    assert hashes == [1, 1, 1, 1]
    # The first wrong password of a user makes the row of their attempts, as the only one of an unknown user does.
    assert kinds[0] == kinds[1] == kinds[2]


async def test_an_unknown_user_takes_as_long_as_a_wrong_password(small_world: World) -> None:
    """With a slow hash, a login without one would be many times as fast."""
    passwords = small_world.service.passwords
    passwords._hasher = type(passwords._hasher)(time_cost=20, memory_cost=8192, parallelism=1)
    passwords._nobody = None
    await small_world.user("anna")
    await passwords.prepare()
    took: dict[str, list[float]] = {"anna": [], "nobody": []}

    for _ in range(3):
        for user_id, seconds in took.items():
            began = time.perf_counter()
            await wait_seconds(small_world, user_id)
            seconds.append(time.perf_counter() - began)

    assert min(took["anna"]) < 3 * min(took["nobody"])
    assert min(took["nobody"]) < 3 * min(took["anna"])


async def test_wrong_passwords_of_a_user_double_the_wait(world: World) -> None:
    await world.user("anna")
    waits = [await wait_seconds(world, "anna") for _ in range(5)]
    for seconds in (1.0, 2.0, 4.0, 8.0):
        waits.append(await wait_seconds(world, "anna"))
        assert await wait_seconds(world, "anna") == waits[-1], "asking too soon costs nothing more"
        world.later(seconds=seconds)
        assert await wait_seconds(world, "anna") == 0.0

    assert waits == [0.0] * 5 + [1.0, 2.0, 4.0, 8.0]


async def test_the_right_password_has_to_wait_too_and_then_forgives(world: World) -> None:
    await world.user("anna")
    for _ in range(5):
        await wait_seconds(world, "anna")

    assert await wait_seconds(world, "anna", PASSWORD) == 1.0
    world.later(seconds=1)
    assert (await world.login("anna")).user_id == "anna"
    assert [await wait_seconds(world, "anna") for _ in range(6)] == [0.0] * 5 + [1.0]


async def test_an_unknown_user_is_slowed_down_like_a_known_one(world: World) -> None:
    assert [await wait_seconds(world, "nobody") for _ in range(6)] == [0.0] * 5 + [1.0]


async def test_the_wait_has_an_end_and_is_forgotten_after_a_while(small_world: World) -> None:
    for _ in range(5):
        await wait_seconds(small_world, "nobody")
    for _ in range(12):
        small_world.later(seconds=await wait_seconds(small_world, "nobody"))
        await wait_seconds(small_world, "nobody")

    assert await wait_seconds(small_world, "nobody") == 300.0
    small_world.later(seconds=3601)
    assert await wait_seconds(small_world, "nobody") == 0.0
    assert await wait_seconds(small_world, "nobody") == 0.0


async def test_an_address_is_slowed_down_over_all_users(world: World) -> None:
    await world.user("anna")
    for n in range(20):
        assert await wait_seconds(world, f"user-{n}", address="203.0.113.7") == 0.0

    assert await wait_seconds(world, "anna", PASSWORD, "203.0.113.7") == 1.0
    assert (await world.login("anna", address="203.0.113.8")).user_id == "anna"
    world.later(seconds=1)
    assert (await world.login("anna", address="203.0.113.7")).user_id == "anna"
    assert await wait_seconds(world, "user-x", address="203.0.113.7") == 0.0
    # A good password of one's own does not wash the wrong ones of others away.
    assert await wait_seconds(world, "user-y", address="203.0.113.7") == 2.0


async def test_ipv6_addresses_of_one_network_count_as_one(small_world: World) -> None:
    for n in range(20):
        assert await wait_seconds(small_world, f"user-{n}", address=f"2001:db8:1:2::{n:x}") == 0.0

    assert await wait_seconds(small_world, "user-x", address="2001:db8:1:2:ffff::1") == 1.0
    assert await wait_seconds(small_world, "user-x", address="2001:db8:1:3::1") == 0.0


async def test_only_the_entry_of_our_own_proxy_counts_as_the_address(small_world: World) -> None:
    for n in range(20):
        assert await wait_seconds(small_world, f"user-{n}", address=f"198.51.100.{n}, 203.0.113.7") == 0.0

    assert await wait_seconds(small_world, "user-x", address="1.2.3.4, 203.0.113.7") == 1.0


async def test_many_guesses_at_once_are_no_more_than_one_after_the_other(world: World) -> None:
    await world.user("anna")
    before = world.service.passwords.verifications

    waits = await asyncio.gather(*(wait_seconds(world, "anna", f"guess {n}") for n in range(40)))

    assert sum(wait == 0.0 for wait in waits) == 5
    assert world.service.passwords.verifications - before == 5


async def test_a_crowd_with_the_right_password_is_proven_once_and_slows_nobody_down(world: World) -> None:
    await world.user("anna")
    before = world.service.passwords.verifications

    opened = await asyncio.gather(*(world.login("anna") for _ in range(40)))

    assert len({each.refresh_token for each in opened}) == 40
    assert world.service.passwords.verifications - before < 40
    assert (await world.login("anna")).user_id == "anna"


async def test_more_waiting_hashes_than_the_limit_are_refused(
    sqlite_url: str, worlds: object, refused: Refused
) -> None:
    settings = PasswordSettings(memory_kib=8192, passes=20, threads=1, max_waiting=1)
    world: World = await worlds(sqlite_url, passwords=settings)  # type: ignore[operator]

    found = await asyncio.gather(*(world.login(f"user-{n}") for n in range(8)), return_exceptions=True)

    refusals = [refusal_in(each) for each in found if isinstance(each, grpc.aio.AioRpcError)]
    reasons = [each.reason for each in refusals if each is not None]
    assert set(reasons) == {"bad-credentials", "too-many-logins"}


async def test_a_hash_of_older_settings_is_renewed_at_the_next_login(sqlite_url: str, worlds: object) -> None:
    old: World = await worlds(sqlite_url)  # type: ignore[operator]
    await old.user("anna")
    new: World = await worlds(  # type: ignore[operator]
        sqlite_url, passwords=PasswordSettings(memory_kib=32, passes=2), clock=old.clock
    )

    await new.login("anna")

    kept = await new.service._store.read(lambda work: work.users.password("anna"))
    assert kept is not None
    assert "m=32,t=2" in kept.hash
    assert (await new.login("anna")).user_id == "anna"


async def test_a_password_that_must_be_changed_opens_nothing_else(world: World, refused: Refused) -> None:
    await world.user("anna", must_change_password=True)
    change = access_pb.ChangePasswordRequest(user_id="anna", password=PASSWORD, new_password="my own choice")
    wrong = access_pb.ChangePasswordRequest(user_id="anna", password="wrong", new_password="my own choice")

    assert await refused(world.login("anna")) == ("FAILED_PRECONDITION", "password-change-required")
    assert await refused(world.access.ChangePassword(wrong)) == BAD
    await world.access.ChangePassword(change)

    assert (await world.login("anna", "my own choice")).user_id == "anna"
    assert await refused(world.login("anna")) == BAD
    read = await world.identity.GetUser(pb.GetUserRequest(user_id="anna"))
    assert not read.must_change_password


async def test_changing_a_password_ends_sessions_and_refuses_a_poor_one(world: World, refused: Refused) -> None:
    await world.user("anna")
    session = await world.login("anna")

    def change(new: str) -> object:
        request = access_pb.ChangePasswordRequest(user_id="anna", password=PASSWORD, new_password=new)
        return world.access.ChangePassword(request)

    assert (await refused(change("short")))[0] == "INVALID_ARGUMENT"  # type: ignore[arg-type]
    assert (await refused(change(PASSWORD)))[0] == "INVALID_ARGUMENT"  # type: ignore[arg-type]
    await change("another horse")  # type: ignore[misc]

    refresh = access_pb.RefreshRequest(refresh_token=session.refresh_token)
    assert await refused(world.access.Refresh(refresh)) == BAD


async def test_changing_a_password_is_slowed_down_as_a_login_is(small_world: World, refused: Refused) -> None:
    await small_world.user("anna")
    wrong = access_pb.ChangePasswordRequest(user_id="anna", password="wrong", new_password="another horse")

    answers = [await refused(small_world.access.ChangePassword(wrong)) for _ in range(6)]

    assert answers == [BAD] * 5 + [WAIT]


async def test_no_secret_is_logged(small_world: World, caplog: pytest.LogCaptureFixture, refused: Refused) -> None:
    caplog.set_level(logging.DEBUG)
    await small_world.user("anna", password="a very secret text")
    opened = await small_world.login("anna", "a very secret text")
    await refused(small_world.login("anna", "a wrong secret text"))
    change = access_pb.ChangePasswordRequest(
        user_id="anna", password="a very secret text", new_password="next secret text"
    )
    await small_world.access.ChangePassword(change)
    await refused(small_world.access.Refresh(access_pb.RefreshRequest(refresh_token=opened.refresh_token)))
    made = await small_world.access.CreateApiToken(
        access_pb.CreateApiTokenRequest(name="ci"), metadata=as_user("anna", "identity.self.*")
    )

    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for secret in ("secret text", opened.access_token, opened.refresh_token, made.secret):
        assert secret not in logged


async def test_what_became_of_credentials_is_counted_and_logged_without_unknown_names(
    small_world: World, caplog: pytest.LogCaptureFixture, refused: Refused
) -> None:
    caplog.set_level(logging.INFO)
    await small_world.user("anna")
    session = await small_world.login("anna")
    refresh = access_pb.RefreshRequest(refresh_token=session.refresh_token)
    await small_world.access.Refresh(refresh)
    await refused(small_world.access.Refresh(refresh))
    for _ in range(6):
        await wait_seconds(small_world, "anna", address="203.0.113.7")
    await wait_seconds(small_world, "a password in the wrong field")
    await refused(small_world.access.ExchangeCredentials(access_pb.ExchangeCredentialsRequest(api_token="flt_x")))

    def counted(kind: str, outcome: str) -> float:
        labels = {"kind": kind, "outcome": outcome}
        return small_world.registry.get_sample_value("flowloom_identity_credentials_total", labels) or 0.0

    assert [counted("password", each) for each in ("good", "bad", "too-soon")] == [1, 6, 1]
    assert [counted("refresh-token", each) for each in ("good", "bad", "reused")] == [1, 0, 1]
    assert counted("api-token", "bad") == 1
    assert "refused a password of user anna from 203.0.113.7: too-soon" in caplog.text
    assert "refused a password of an unknown user from an unknown address: bad" in caplog.text
    assert "wrong field" not in caplog.text


async def test_a_real_hash_of_the_default_settings_verifies(sqlite_url: str, worlds: object, refused: Refused) -> None:
    world: World = await worlds(sqlite_url, passwords=PasswordSettings())  # type: ignore[operator]
    await world.user("anna")

    assert (await world.login("anna")).user_id == "anna"
    assert await refused(world.login("anna", "wrong")) == BAD
    kept = await world.service._store.read(lambda work: work.users.password("anna"))
    assert kept is not None
    assert kept.hash.startswith("$argon2id$v=19$m=47104,t=1,p=1$")


async def test_where_waiting_is_set_otherwise_it_is_so(sqlite_url: str, worlds: object) -> None:
    world: World = await worlds(  # type: ignore[operator]
        sqlite_url, throttle=ThrottleSettings(user_free=1, first_seconds=10.0, user_longest_seconds=15.0)
    )

    await wait_seconds(world, "anna")
    first = await wait_seconds(world, "anna")
    world.later(seconds=first)
    await wait_seconds(world, "anna")

    assert (first, await wait_seconds(world, "anna")) == (10.0, 15.0)
