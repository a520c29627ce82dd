"""Access enforced with what identity publishes: its keys verify, its permissions decide, its changes are seen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import grpc
import pytest
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as pb

from identity.settings import KeySettings
from mesh.access.contract import read_rules
from mesh.access.control import AccessControl
from mesh.access.keys import KeyRing
from mesh.access.permissions import Permissions
from mesh.access.service_tokens import ServiceTokens, service_issuer
from mesh.access.tokens import Issuer, TokenVerifier
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.clock import ManualClock
from mesh.rpc_errors import refusal_in
from mesh.testing.redis import Redis, running_redis
from tests.contract.described import DESCRIPTORS
from tests.identity.conftest import Refused
from tests.identity.worlds import ADMIN_PASSWORD, BEGINNING, PASSWORD, SECONDS, Metadata, World

KEY: Final = "a key that the services of this test share"
LACKS = ("PERMISSION_DENIED", "privilege-missing")
INVALID = ("UNAUTHENTICATED", "token-invalid")
ACCESS_SECONDS: Final = 300


def bearing(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


class Replica:
    """An identity that checks its own callers, with a cache of its own as every process has one."""

    def __init__(self, url: str, redis: Redis, clock: ManualClock, **settings: Any) -> None:
        self.caches = Caches(CacheSettings(url=redis.url), alone=False)
        cache = self.caches.open("permissions", Permissions, seconds=7200.0, entries=1000)
        self._tokens = ServiceTokens("identity", KEY, audience="flowloom", now=clock.now)
        ring = KeyRing(self, algorithms=("ES256",), pause_seconds=0.0)
        ours = Issuer(name="flowloom", audience="flowloom", algorithms=("ES256",), find_key=ring.key)
        verifier = TokenVerifier([ours, service_issuer(KEY, audience="flowloom")], now=clock.now)
        rules = read_rules(DESCRIPTORS.read_bytes())
        control = AccessControl(rules, verifier, self, cache, refusal_seconds=0.0)
        self.asked = 0
        self.world = World(url, clock=clock, access=control, invalidate=control.forget, **settings)

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        found = await self.world.access.GetJwks(access_pb.GetJwksRequest())
        return [{name.name: value for name, value in key.ListFields()} for key in found.keys]

    async def permissions(self, user_id: str) -> Permissions:
        self.asked += 1
        request = access_pb.GetPermissionsRequest(user_id=user_id)
        found = await self.world.access.GetPermissions(request, metadata=bearing(self._tokens.token()))
        return Permissions(
            user_id=user_id,
            active=found.active,
            tenant_id=found.tenant_id,
            groups=tuple(found.groups),
            privileges=frozenset(found.privileges),
            version=found.version,
            generation=found.token_generation,
            revoked=frozenset(found.revoked_token_ids),
        )

    async def start(self) -> "Replica":
        await self.caches.start()
        async with asyncio.timeout(SECONDS):
            while not self.caches.attached:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        await self.world.start()
        return self

    async def stop(self) -> None:
        await self.world.stop()
        await self.caches.stop()

    async def list_users(self, token: str) -> list[str]:
        found = await self.world.identity.ListUsers(pb.ListUsersRequest(), metadata=bearing(token))
        return [each.id for each in found.data]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Redis]:
    with running_redis() as running:
        yield running


@pytest.fixture
async def replicas(sqlite_url: str, redis_server: Redis) -> AsyncIterator[tuple[Replica, Replica]]:
    redis_server.restart()  # empty
    clock = ManualClock(BEGINNING)
    keys = KeySettings(poll_seconds=1000.0)
    first = await Replica(sqlite_url, redis_server, clock, keys=keys).start()
    second = await Replica(sqlite_url, redis_server, clock, keys=keys).start()
    yield first, second
    await first.stop()
    await second.stop()


@pytest.fixture
async def admin(replicas: tuple[Replica, Replica]) -> Metadata:
    opened = await replicas[0].world.login("admin", ADMIN_PASSWORD)
    return bearing(opened.access_token)


@pytest.fixture
async def anna(replicas: tuple[Replica, Replica], admin: Metadata) -> access_pb.LoginResponse:
    world = replicas[0].world
    await world.identity.CreateUser(pb.CreateUserRequest(id="anna", password=PASSWORD), metadata=admin)
    return await world.login("anna")


async def grant(world: World, admin: Metadata, name: str, user_id: str) -> str:
    made = await world.identity.CreatePrivilege(pb.CreatePrivilegeRequest(name=name), metadata=admin)
    give = pb.AddPrivilegeUserRequest(privilege_id=made.id, user_id=user_id)
    await world.identity.AddPrivilegeUser(give, metadata=admin)
    return made.id


async def soon(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is so: a message to another process takes a moment."""
    async with asyncio.timeout(SECONDS):
        while not await look():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


async def may_list(replica: Replica, token: str) -> bool:
    try:
        await replica.list_users(token)
    except grpc.aio.AioRpcError as failed:
        refusal = refusal_in(failed)
        assert refusal is not None, failed
        assert (refusal.status.value, refusal.reason) in (LACKS, INVALID)
        return False
    return True


async def test_nobody_calls_without_a_token_that_verifies(
    replicas: tuple[Replica, Replica], anna: access_pb.LoginResponse, refused: Refused
) -> None:
    world = replicas[0].world
    head, body, _ = anna.access_token.split(".")
    elsewhere = ServiceTokens("x", "another key that nobody here shares", audience="flowloom", now=world.clock.now)

    missing = world.identity.ListUsers(pb.ListUsersRequest())
    assert await refused(missing) == ("UNAUTHENTICATED", "token-missing")
    for token in ("x", f"{head}.{body}.", f"{head}.{body}.AAAA", elsewhere.token()):
        assert await refused(replicas[0].list_users(token)) == INVALID
    world.later(seconds=ACCESS_SECONDS + 10)
    assert await refused(replicas[0].list_users(anna.access_token)) == ("UNAUTHENTICATED", "token-expired")


async def test_everybody_reads_themselves_and_makes_tokens_of_their_own_and_nothing_else(
    replicas: tuple[Replica, Replica], anna: access_pb.LoginResponse, refused: Refused
) -> None:
    world, metadata = replicas[1].world, bearing(anna.access_token)

    me = await world.access.GetCurrentUser(access_pb.GetCurrentUserRequest(), metadata=metadata)
    made = await world.access.CreateApiToken(access_pb.CreateApiTokenRequest(name="ci"), metadata=metadata)

    assert me.user_id == made.api_token.user_id == "anna"
    assert await refused(replicas[1].list_users(anna.access_token)) == LACKS
    exchange = access_pb.ExchangeCredentialsRequest(api_token=made.secret)
    assert await refused(world.access.ExchangeCredentials(exchange, metadata=metadata)) == LACKS


async def test_a_privilege_counts_on_the_next_call_and_on_every_replica(
    replicas: tuple[Replica, Replica], admin: Metadata, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    first, second = replicas
    token = anna.access_token
    assert not await may_list(first, token)
    assert not await may_list(second, token)

    privilege_id = await grant(first.world, admin, "identity.user.read", "anna")
    assert await may_list(first, token)
    await soon(lambda: may_list(second, token))

    take = pb.RemovePrivilegeUserRequest(privilege_id=privilege_id, user_id="anna")
    await first.world.identity.RemovePrivilegeUser(take, metadata=admin)
    assert not await may_list(first, token)

    async def lost() -> bool:
        return not await may_list(second, token)

    await soon(lost)


async def test_permissions_are_kept_while_nothing_changes(
    replicas: tuple[Replica, Replica], admin: Metadata, anna: access_pb.LoginResponse
) -> None:
    first = replicas[0]
    await grant(first.world, admin, "identity.user.read", "anna")
    await first.list_users(anna.access_token)
    before = first.asked

    for _ in range(20):
        await first.list_users(anna.access_token)

    assert first.asked == before


@pytest.mark.parametrize("how", ["logout", "delete", "disable", "password", "revoke"])
async def test_an_access_token_that_is_still_young_opens_nothing_after(
    replicas: tuple[Replica, Replica], admin: Metadata, anna: access_pb.LoginResponse, refused: Refused, how: str
) -> None:
    first, second = replicas
    identity, access = first.world.identity, first.world.access
    await grant(first.world, admin, "identity.user.read", "anna")
    assert await may_list(first, anna.access_token)
    await soon(lambda: may_list(second, anna.access_token))

    if how == "logout":
        await access.Logout(access_pb.LogoutRequest(refresh_token=anna.refresh_token))
    elif how == "delete":
        await identity.DeleteUser(pb.DeleteUserRequest(user_id="anna"), metadata=admin)
    elif how == "disable":
        await identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", disabled=True), metadata=admin)
    elif how == "password":
        await identity.UpdateUser(pb.UpdateUserRequest(user_id="anna", password="another horse"), metadata=admin)
    else:
        await access.RevokeSessions(access_pb.RevokeSessionsRequest(user_id="anna"), metadata=admin)

    assert await refused(first.list_users(anna.access_token)) == INVALID

    async def refused_there() -> bool:
        return not await may_list(second, anna.access_token)

    await soon(refused_there)


async def test_revoking_an_api_token_ends_the_access_token_from_it(
    replicas: tuple[Replica, Replica], admin: Metadata, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    first = replicas[0]
    await grant(first.world, admin, "identity.user.read", "anna")
    mine = bearing(anna.access_token)
    made = await first.world.access.CreateApiToken(access_pb.CreateApiTokenRequest(name="ci"), metadata=mine)
    exchanged = await first.world.access.ExchangeCredentials(
        access_pb.ExchangeCredentialsRequest(api_token=made.secret), metadata=admin
    )
    assert await may_list(first, exchanged.access_token)

    revoke = access_pb.RevokeApiTokenRequest(token_id=made.api_token.id)
    await first.world.access.RevokeApiToken(revoke, metadata=mine)

    assert await refused(first.list_users(exchanged.access_token)) == INVALID
    assert await may_list(first, anna.access_token), "the session of its owner goes on"


async def test_a_replica_verifies_tokens_of_a_key_that_came_after_its_start(
    replicas: tuple[Replica, Replica], admin: Metadata, anna: access_pb.LoginResponse, refused: Refused
) -> None:
    first, second = replicas
    await grant(first.world, admin, "identity.user.read", "anna")
    await soon(lambda: may_list(second, anna.access_token))
    first.world.later(days=31)
    for replica in replicas:
        await replica.world.service.ring.rotate()
    first.world.later(seconds=3601)

    fresh = await first.world.login("anna")

    assert await may_list(second, fresh.access_token)
