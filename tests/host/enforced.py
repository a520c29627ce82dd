"""A mesh in this process that checks access, with its own identity, and people who log in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from flowloom.engine.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from flowloom.engine.v1.task_service_pb2_grpc import TaskServiceStub
from flowloom.identity.v1 import access_service_pb2 as ac
from flowloom.identity.v1 import identity_service_pb2 as idm
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub
from flowloom.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

from host.embedded import EmbeddedMesh, MeshOptions
from mesh.access.calling import carrying

PASSWORD = "the administrator's own"
QUICK = {
    "FLOWLOOM_ACCESS_MODE": "enforced",
    "FLOWLOOM_IDENTITY_ADMIN_PASSWORD": PASSWORD,
    "FLOWLOOM_IDENTITY_PASSWORDS_MEMORY_KIB": "64",
}
"""Passwords are hashed with so little memory for the tests' sake only."""


@dataclass(slots=True)
class Person:
    """Somebody with a session: the stubs carry their token."""

    user_id: str
    session: ac.LoginResponse
    channel: grpc.aio.Channel

    @property
    def tasks(self) -> TaskServiceStub:
        return TaskServiceStub(self.channel)

    @property
    def runtime(self) -> RuntimeServiceStub:
        return RuntimeServiceStub(self.channel)

    @property
    def identity(self) -> IdentityServiceStub:
        return IdentityServiceStub(self.channel)

    @property
    def access(self) -> AccessServiceStub:
        return AccessServiceStub(self.channel)

    async def make_user(self, user_id: str, *privileges: str, tenant_id: str = "") -> str:
        """Create a user with privileges; returns the password."""
        password = f"password of {user_id}"
        if tenant_id:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self.identity.CreateTenant(idm.CreateTenantRequest(id=tenant_id, name=tenant_id))
        await self.identity.CreateUser(
            idm.CreateUserRequest(id=user_id, first_name=user_id, password=password, tenant_id=tenant_id)
        )
        for name in privileges:
            await self.grant(user_id, name)
        return password

    async def grant(self, user_id: str, name: str) -> None:
        await self.identity.AddPrivilegeUser(
            idm.AddPrivilegeUserRequest(privilege_id=await self._privilege(name), user_id=user_id)
        )

    async def take(self, user_id: str, name: str) -> None:
        await self.identity.RemovePrivilegeUser(
            idm.RemovePrivilegeUserRequest(privilege_id=await self._privilege(name), user_id=user_id)
        )

    async def _privilege(self, name: str) -> str:
        found = await self.identity.ListPrivileges(idm.ListPrivilegesRequest(name=name))
        if found.data:
            return str(found.data[0].id)
        return str((await self.identity.CreatePrivilege(idm.CreatePrivilegeRequest(name=name))).id)


@dataclass(slots=True)
class Mesh:
    """A running mesh."""

    embedded: EmbeddedMesh
    stack: contextlib.AsyncExitStack

    def open(self, token: str = "") -> grpc.aio.Channel:
        """A channel whose calls carry the token."""
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return grpc.aio.insecure_channel(self.embedded.grpc_address, interceptors=carrying(lambda: metadata))

    async def channel(self, token: str = "") -> grpc.aio.Channel:
        return await self.stack.enter_async_context(self.open(token))

    async def log_in(self, user_id: str = "admin", password: str = PASSWORD) -> Person:
        access = AccessServiceStub(await self.channel())
        session = await access.Login(ac.LoginRequest(user_id=user_id, password=password))
        return Person(user_id=user_id, session=session, channel=await self.channel(session.access_token))


@contextlib.asynccontextmanager
async def enforced_mesh(folder: Path, **options: Any) -> AsyncIterator[Mesh]:
    """Start one on a folder's data."""
    edge = options.pop("edge", False)
    embedded = EmbeddedMesh(MeshOptions(data_directory=folder, port=0, edge=edge), {**QUICK, **options})
    async with contextlib.AsyncExitStack() as stack:
        try:
            await embedded.start()
            yield Mesh(embedded=embedded, stack=stack)
        finally:
            await embedded.stop()
