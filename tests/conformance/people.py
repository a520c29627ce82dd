"""Whoever calls the mesh: an administrator who logs in, and users who are made when a case names them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from flowloom.identity.v1 import access_service_pb2 as access_pb
from flowloom.identity.v1 import identity_service_pb2 as identity_pb
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub
from flowloom.identity.v1.identity_service_pb2_grpc import IdentityServiceStub

ADMIN: Final = "admin"
LONGEST_CASE_SECONDS: Final = 60.0
CALL_SECONDS: Final = 20.0
STARTER_PRIVILEGES: Final = ("engine.process-instance.start", "engine.process.manage")
"""What somebody needs who starts, also what is offered to others: Flowable asks no more of them."""

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str
    until: float

    @property
    def lasts(self) -> bool:
        """Tell whether it outlives the next case."""
        return self.until - LONGEST_CASE_SECONDS - CALL_SECONDS > time.monotonic()


class People:
    """Tokens of one mesh. `environment` is what the mesh must be started with."""

    def __init__(self) -> None:
        self._password = secrets.token_urlsafe(16)
        self._passwords = {ADMIN: self._password}
        self._tokens: dict[str, _Token] = {}
        self._channel: grpc.aio.Channel | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """Access is checked, and we know the administrator."""
        return {
            "FLOWLOOM_ACCESS_MODE": "enforced",
            "FLOWLOOM_IDENTITY_ADMIN_USER": ADMIN,
            "FLOWLOOM_IDENTITY_ADMIN_PASSWORD": self._password,
        }

    async def meet(self, target: str) -> None:
        """Log the administrator in, at this address from now on."""
        self._channel = grpc.aio.insecure_channel(target)
        await self.stay()

    async def stay(self) -> None:
        """Have a token that outlives the next case."""
        await self._log_in(ADMIN)

    async def leave(self) -> None:
        """Hang up."""
        if self._channel is not None:
            await self._channel.close()

    def metadata(self) -> Metadata:
        """The administrator's credentials."""
        return _bearer(self._tokens[ADMIN])

    async def metadata_of(self, user_id: str) -> Metadata:
        """A user's credentials; made, with what they need to start something, if they are not there yet."""
        if user_id not in self._passwords:
            await self._make(user_id)
        await self._log_in(user_id)
        return _bearer(self._tokens[user_id])

    async def _log_in(self, user_id: str) -> None:
        known = self._tokens.get(user_id)
        if known is not None and known.lasts:
            return
        request = access_pb.LoginRequest(user_id=user_id, password=self._passwords[user_id])
        answer = await AccessServiceStub(self._connected).Login(request, timeout=CALL_SECONDS)
        self._tokens[user_id] = _Token(text=answer.access_token, until=time.monotonic() + answer.expires_in)

    async def _make(self, user_id: str) -> None:
        identity, by = IdentityServiceStub(self._connected), self.metadata()
        password = secrets.token_urlsafe(16)
        await identity.CreateUser(
            identity_pb.CreateUserRequest(id=user_id, password=password), metadata=by, timeout=CALL_SECONDS
        )
        for name in STARTER_PRIVILEGES:
            privilege_id = await self._privilege(identity, name)
            await identity.AddPrivilegeUser(
                identity_pb.AddPrivilegeUserRequest(privilege_id=privilege_id, user_id=user_id),
                metadata=by,
                timeout=CALL_SECONDS,
            )
        self._passwords[user_id] = password

    async def _privilege(self, identity: IdentityServiceStub, name: str) -> str:
        by = self.metadata()
        found = await identity.ListPrivileges(identity_pb.ListPrivilegesRequest(name=name), metadata=by)
        if found.data:
            return found.data[0].id
        return (await identity.CreatePrivilege(identity_pb.CreatePrivilegeRequest(name=name), metadata=by)).id

    @property
    def _connected(self) -> grpc.aio.Channel:
        assert self._channel is not None, "nobody can be met before the mesh is there"
        return self._channel


def _bearer(token: _Token) -> Metadata:
    return (("authorization", f"Bearer {token.text}"),)
