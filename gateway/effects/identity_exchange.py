"""Exchanges credentials at identity, over its contract."""

import time

import grpc
from flowloom.identity.v1 import access_service_pb2 as pb
from flowloom.identity.v1.access_service_pb2_grpc import AccessServiceStub

from gateway.model.credentials import Credentials, Exchanged
from mesh.errors import Unavailable
from mesh.rpc_errors import refusal_in


class IdentityExchange:
    """The client of identity's `ExchangeCredentials`."""

    def __init__(self, channel: grpc.aio.Channel, timeout_seconds: float) -> None:
        """Calls on the channel must carry credentials of the gateway itself: people may not exchange."""
        self._stub = AccessServiceStub(channel)
        self._timeout_seconds = timeout_seconds

    async def exchange(self, credentials: Credentials) -> Exchanged:
        """Return a token. Raises what identity refuses with, or Unavailable."""
        request = pb.ExchangeCredentialsRequest(address=credentials.address)
        if credentials.api_token:
            request.api_token = credentials.api_token
        elif credentials.outside_token:
            request.outside_token = credentials.outside_token
        else:
            request.basic.user_id, request.basic.password = credentials.user_id, credentials.password
        began = time.time()  # noqa: TID251 - a token's end is told by the computer's clock, whatever clock processes have
        try:
            answer = await self._stub.ExchangeCredentials(request, timeout=self._timeout_seconds)
        except grpc.aio.AioRpcError as failed:
            refusal = refusal_in(failed)
            raise refusal or Unavailable("identity-away", "expected an answer of identity") from failed
        return Exchanged(token=answer.access_token, user_id=answer.user_id, expires_at=began + answer.expires_in)
