"""An identity service with a real database, asked through its contract by callers of any kind."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import access_service_pb2_grpc, group_pb2, identity_service_pb2_grpc, privilege_pb2, user_pb2
from flowloom.identity.v1 import identity_service_pb2 as pb
from prometheus_client import CollectorRegistry

from identity.service import IdentityService, IdentitySettings
from identity.settings import IdentityDatabase, PasswordSettings
from mesh.access import Principal
from mesh.access.contract import Rule
from mesh.clock import ManualClock
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer

BEGINNING = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHEAP = PasswordSettings(memory_kib=16, passes=1, lanes=1)
"""Real argon2id, at a price that tests can pay."""
PASSWORD = "correct horse"
ADMIN_PASSWORD = "a password of the administrator"
SECONDS = 30.0

Metadata = tuple[tuple[str, str], ...]


class ToldAccess:
    """Believes what the metadata say of the caller; without any word it is somebody who may do everything."""

    stream_seconds: float | None = None

    def rule(self, method: str) -> Rule:
        return Rule(method=method, public=True)

    async def admit(self, rule: Rule, metadata: Any) -> Principal:
        told = {key: value for key, value in metadata if isinstance(value, str)}
        privileges = told.get("x-privileges", "*")
        return Principal(
            user_id=told.get("x-user", ""),
            tenant_id=told.get("x-tenant", ""),
            privileges=frozenset(filter(None, privileges.split(","))),
        )


def as_user(user_id: str, *privileges: str, tenant_id: str = "", address: str = "") -> Metadata:
    found = [("x-user", user_id), ("x-tenant", tenant_id), ("x-privileges", ",".join(privileges))]
    return (*found, ("x-forwarded-for", address)) if address else tuple(found)


def from_address(address: str) -> Metadata:
    return (("x-forwarded-for", address),)


class World:
    """One replica. Several of them share a database by its URL."""

    def __init__(
        self,
        url: str,
        *,
        clock: ManualClock | None = None,
        access: Any = None,
        transport: httpx.AsyncBaseTransport | None = None,
        invalidate: Any = None,
        **settings: Any,
    ) -> None:
        self.url = url
        self.clock = clock or ManualClock(BEGINNING)
        self.told: list[str] = []
        self.announced: list[tuple[str, str]] = []
        self.registry = CollectorRegistry()
        database = IdentityDatabase(url=url, lock_wait_seconds=SECONDS, busy_seconds=SECONDS)
        settings = {"passwords": CHEAP, "admin_password": ADMIN_PASSWORD, **settings}
        self.settings = replace(IdentitySettings(database=database), **settings)

        async def note(*user_ids: str) -> None:
            self.told += user_ids

        self.service = IdentityService(
            self.settings,
            clock=self.clock,
            invalidate=invalidate or note,
            registry=self.registry,
            announce=lambda user_id, password: self.announced.append((user_id, password)),
            transport=transport,
        )
        self.server = LocalServer()
        self.service.add_to(GuardedServer((self.server,), access=access or ToldAccess()))
        channel: Any = LocalChannel(self.server)
        self.identity: identity_service_pb2_grpc.IdentityServiceAsyncStub = (
            identity_service_pb2_grpc.IdentityServiceStub(channel)  # type: ignore[assignment]
        )
        self.access: access_service_pb2_grpc.AccessServiceAsyncStub = (
            access_service_pb2_grpc.AccessServiceStub(channel)  # type: ignore[assignment]
        )

    async def start(self) -> "World":
        await self.server.start()
        await self.service.start()
        return self

    async def stop(self) -> None:
        await self.service.stop()
        await self.server.stop(None)

    def later(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    async def user(self, user_id: str, password: str | None = PASSWORD, **fields: Any) -> user_pb2.User:
        return await self.identity.CreateUser(pb.CreateUserRequest(id=user_id, password=password, **fields))

    async def group(self, group_id: str, *members: str, **fields: Any) -> group_pb2.Group:
        made = await self.identity.CreateGroup(pb.CreateGroupRequest(id=group_id, **fields))
        for user_id in members:
            await self.join(user_id, group_id)
        return made

    async def join(self, user_id: str, group_id: str) -> None:
        await self.identity.CreateMembership(pb.CreateMembershipRequest(group_id=group_id, user_id=user_id))

    async def privilege(
        self, name: str, *, users: Sequence[str] = (), groups: Sequence[str] = ()
    ) -> privilege_pb2.Privilege:
        made = await self.identity.CreatePrivilege(pb.CreatePrivilegeRequest(name=name))
        for user_id in users:
            await self.identity.AddPrivilegeUser(pb.AddPrivilegeUserRequest(privilege_id=made.id, user_id=user_id))
        for group_id in groups:
            await self.identity.AddPrivilegeGroup(pb.AddPrivilegeGroupRequest(privilege_id=made.id, group_id=group_id))
        return made

    async def login(self, user_id: str, password: str = PASSWORD, address: str = "") -> access_pb.LoginResponse:
        request = access_pb.LoginRequest(user_id=user_id, password=password)
        return await self.access.Login(request, metadata=from_address(address) if address else ())

    async def permissions(self, user_id: str) -> access_pb.GetPermissionsResponse:
        return await self.access.GetPermissions(access_pb.GetPermissionsRequest(user_id=user_id))
