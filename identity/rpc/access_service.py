# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.identity.v1.AccessService`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import grpc
from flowloom.identity.v1 import access_service_pb2 as pb
from flowloom.identity.v1 import access_service_pb2_grpc as services

from identity.app.access import Access
from identity.app.api_tokens import ApiTokens
from identity.app.exchange import Exchange
from identity.app.key_ring import KeyRing
from identity.app.lists import ApiTokenFilter
from identity.app.logins import Logins
from identity.app.requests import refused
from identity.app.sessions import Sessions
from identity.rpc import mapping
from identity.rpc.callers import address_of, bearer_of, caller

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the servicer calls. `forwarded_hops`: proxies before us, as `callers.address_of` counts them."""

    access: Access
    logins: Logins
    sessions: Sessions
    exchange: Exchange
    api_tokens: ApiTokens
    ring: KeyRing
    now: Callable[[], datetime]
    forwarded_hops: int
    jwks_cache_seconds: int


class AccessServicer(services.AccessServiceServicer):
    """Logins, tokens, and what users may do."""

    def __init__(self, cases: UseCases) -> None:
        self._cases = cases

    async def Login(self, request: pb.LoginRequest, context: RpcContext) -> pb.LoginResponse:
        address = address_of(context, self._cases.forwarded_hops)
        user = await self._cases.logins.prove(request.user_id, request.password, address)
        return pb.LoginResponse(**mapping.opened_session(await self._cases.sessions.open(user)))

    async def Refresh(self, request: pb.RefreshRequest, _: RpcContext) -> pb.RefreshResponse:
        opened = await self._cases.sessions.refresh(request.refresh_token, request.request_id)
        return pb.RefreshResponse(**mapping.opened_session(opened))

    async def Logout(self, request: pb.LogoutRequest, context: RpcContext) -> pb.LogoutResponse:
        access_token = request.access_token
        if not access_token and not request.refresh_token:
            access_token = bearer_of(context)
        await self._cases.sessions.log_out(request.refresh_token, access_token, all_sessions=request.all_sessions)
        return pb.LogoutResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: RpcContext) -> pb.ChangePasswordResponse:
        address = address_of(context, self._cases.forwarded_hops)
        await self._cases.logins.change_password(request.user_id, request.password, request.new_password, address)
        return pb.ChangePasswordResponse()

    async def GetJwks(self, request: pb.GetJwksRequest, context: RpcContext) -> pb.GetJwksResponse:  # noqa: ARG002
        cached = f"public, max-age={self._cases.jwks_cache_seconds}"
        await context.send_initial_metadata((("cache-control", cached),))
        return pb.GetJwksResponse(keys=map(mapping.json_web_key, self._cases.ring.keys))

    async def GetCurrentUser(
        self,
        request: pb.GetCurrentUserRequest,  # noqa: ARG002
        _: RpcContext,
    ) -> pb.GetCurrentUserResponse:
        found = await self._cases.access.permissions(caller().user_id)
        return pb.GetCurrentUserResponse(
            user_id=found.user_id, tenant_id=found.tenant_id, groups=found.groups, privileges=found.privileges
        )

    async def CheckAccess(self, request: pb.CheckAccessRequest, _: RpcContext) -> pb.CheckAccessResponse:
        verdict = await self._cases.access.check(request.user_id, request.privilege, request.tenant_id)
        return pb.CheckAccessResponse(allowed=verdict.allowed, reason=verdict.reason)

    async def GetPermissions(self, request: pb.GetPermissionsRequest, _: RpcContext) -> pb.GetPermissionsResponse:
        return mapping.permissions(await self._cases.access.permissions(request.user_id))

    async def ExchangeCredentials(
        self, request: pb.ExchangeCredentialsRequest, _: RpcContext
    ) -> pb.ExchangeCredentialsResponse:
        exchange, kind = self._cases.exchange, request.WhichOneof("credentials")
        if kind == "basic":
            opened = await exchange.basic(request.basic.user_id, request.basic.password, request.address)
        elif kind == "api_token":
            opened = await exchange.api_token(request.api_token, request.address)
        elif kind == "outside_token":
            opened = await exchange.outside_token(request.outside_token, request.address)
        else:
            raise refused("credentials", "expected basic, api_token or outside_token, found none")
        return pb.ExchangeCredentialsResponse(**mapping.opened(opened))

    async def CreateApiToken(self, request: pb.CreateApiTokenRequest, _: RpcContext) -> pb.CreateApiTokenResponse:
        until = mapping.moment(request, "expire_time")
        shown = await self._cases.api_tokens.create(caller(), request.user_id, request.name, until, request.request_id)
        token = mapping.api_token(shown.token, self._cases.now())
        return pb.CreateApiTokenResponse(api_token=token, secret=shown.secret)

    async def ListApiTokens(self, request: pb.ListApiTokensRequest, _: RpcContext) -> pb.ListApiTokensResponse:
        wanted = mapping.read_filter(ApiTokenFilter, request)
        page = await self._cases.api_tokens.list(caller(), wanted, mapping.read_page(request))
        now = self._cases.now()
        data = [mapping.api_token(each, now) for each in page.rows]
        return pb.ListApiTokensResponse(data=data, **mapping.envelope(page))

    async def RevokeApiToken(self, request: pb.RevokeApiTokenRequest, _: RpcContext) -> pb.RevokeApiTokenResponse:
        await self._cases.api_tokens.revoke(caller(), request.token_id, request.request_id)
        return pb.RevokeApiTokenResponse()

    async def RevokeSessions(self, request: pb.RevokeSessionsRequest, _: RpcContext) -> pb.RevokeSessionsResponse:
        await self._cases.sessions.revoke_all(caller(), request.user_id, request.request_id)
        return pb.RevokeSessionsResponse()
