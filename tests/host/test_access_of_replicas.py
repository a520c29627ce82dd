"""Two engines' worth of access, one identity, a real Redis between them: a change is effective on every replica."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest
from flowloom.identity.v1 import access_service_pb2 as ac

from host.access import MeshAccess
from host.process import descriptor_set
from mesh.access.settings import AccessSettings
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.channels import Channels
from mesh.errors import Unauthenticated, Unavailable
from mesh.testing.redis import Redis, running_redis
from tests.host.enforced import Mesh, enforced_mesh

KEY = "the key that all services of this mesh share"
READ = "engine.task.read"


@dataclass(slots=True)
class Replica:
    """What a process of its own has of access."""

    access: MeshAccess
    caches: Caches
    channels: Channels

    async def may(self, token: str) -> bool:
        who = await self.access.check.identify(token)  # type: ignore[attr-defined]
        return bool(who.may(READ))


@contextlib.asynccontextmanager
async def replica(identity: str, redis: str) -> AsyncIterator[Replica]:
    caches = Caches(CacheSettings(url=redis), alone=False)
    access = MeshAccess(
        AccessSettings(service_key=KEY), service="engine", descriptor_set=descriptor_set(), caches=caches
    )
    channels = Channels(addresses={"identity": identity}, credentials=access.credentials)
    access.connect(channels)
    await caches.start()
    async with asyncio.timeout(20):
        while not caches.attached:  # noqa: ASYNC110 - Redis is waited for, nobody announces
            await asyncio.sleep(0.01)
    try:
        yield Replica(access=access, caches=caches, channels=channels)
    finally:
        await channels.close()
        await caches.stop()


@pytest.fixture
def redis() -> Iterator[Redis]:
    with running_redis() as found:
        yield found


@pytest.fixture
async def mesh(tmp_path: Path, redis: Redis) -> AsyncIterator[Mesh]:
    """An identity whose permissions are cached in Redis."""
    async with enforced_mesh(tmp_path, FLOWLOOM_ACCESS_SERVICE_KEY=KEY, FLOWLOOM_CACHE_URL=redis.url) as found:
        yield found


async def test_a_change_of_rights_is_effective_on_the_next_call_at_every_replica(mesh: Mesh, redis: Redis) -> None:
    admin = await mesh.log_in()
    kermit = await mesh.log_in("kermit", await admin.make_user("kermit"))
    token = kermit.session.access_token
    address = mesh.embedded.grpc_address
    async with replica(address, redis.url) as one, replica(address, redis.url) as other:
        delays = []
        for wanted in (True, False) * 5:
            assert [await each.may(token) for each in (one, other)] == [not wanted] * 2
            await (admin.grant if wanted else admin.take)("kermit", READ)
            began = perf_counter()
            for each in (one, other):
                async with asyncio.timeout(5):
                    while await each.may(token) is not wanted:  # noqa: ASYNC110 - the message of Redis is under way
                        await asyncio.sleep(0)
            delays.append(perf_counter() - began)

        assert median(delays) < 0.1, f"expected replicas to know within 100 ms, found {delays}"


async def test_a_logout_is_effective_at_every_replica(mesh: Mesh, redis: Redis) -> None:
    admin = await mesh.log_in()
    kermit = await mesh.log_in("kermit", await admin.make_user("kermit", READ))
    token = kermit.session.access_token
    address = mesh.embedded.grpc_address
    async with replica(address, redis.url) as one, replica(address, redis.url) as other:
        assert [await each.may(token) for each in (one, other)] == [True, True]

        await kermit.access.Logout(ac.LogoutRequest())

        for each in (one, other):
            with pytest.raises(Unauthenticated):
                async with asyncio.timeout(5):
                    while await each.may(token):  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0)


async def test_identity_away_lets_known_users_go_on_at_a_replica(tmp_path: Path, redis: Redis) -> None:
    async with (
        enforced_mesh(tmp_path, FLOWLOOM_ACCESS_SERVICE_KEY=KEY, FLOWLOOM_CACHE_URL=redis.url) as mesh,
        replica(mesh.embedded.grpc_address, redis.url) as one,
    ):
        admin = await mesh.log_in()
        known = (await mesh.log_in("kermit", await admin.make_user("kermit", READ))).session.access_token
        unknown = (await mesh.log_in("gonzo", await admin.make_user("gonzo", READ))).session.access_token
        assert await one.may(known)

        assert mesh.embedded._server is not None
        await mesh.embedded._server.drain()

        assert await one.may(known)
        with pytest.raises(Unavailable):
            await one.may(unknown)
