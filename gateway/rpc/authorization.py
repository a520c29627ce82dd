"""Envoy's external authorization (`envoy.service.auth.v3.Authorization`): credentials in, a token in their place."""

import logging
import math
from typing import Any, Final

import grpc

from gateway.app.exchanging import ExchangeCache
from gateway.model.credentials import CHALLENGE, MalformedCredentials, read_credentials
from gateway.model.policies import API_KEY_HEADER
from gateway.rpc.envoy_messages import OVERWRITE_IF_EXISTS_OR_ADD, EnvoyMessages
from mesh.errors import DomainError, FailedPrecondition, PermissionDenied, ResourceExhausted, Unauthenticated

SERVICE: Final = "envoy.service.auth.v3.Authorization"

_log: Final = logging.getLogger(__name__)

_UNAVAILABLE: Final = (503, grpc.StatusCode.UNAVAILABLE)


class AuthorizationServicer:
    """Answers Envoy's checks. Envoy asks only for requests that bring credentials, and fails closed if we are away."""

    def __init__(self, cache: ExchangeCache, *, retry_after_seconds: int) -> None:
        """`retry_after_seconds` is what callers are told who tried too often, unless identity says it."""
        self._cache = cache
        self._retry_after_seconds = retry_after_seconds
        self._messages = EnvoyMessages()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=self._messages.check_request.FromString,
            response_serializer=self._messages.check_response.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),))

    async def check(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - a servicer's signature
        """Answer one check: go on with this token, or refuse with a status."""
        try:
            exchanged = await self._cache.token(read_credentials(_headers(request), _address(request)))
        except (MalformedCredentials, Unauthenticated) as refused:
            return self._denied(401, grpc.StatusCode.UNAUTHENTICATED, str(refused), ("www-authenticate", CHALLENGE))
        except ResourceExhausted as too_often:
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            seconds = math.ceil(too_often.retry_after_seconds or self._retry_after_seconds)
            return self._denied(429, code, str(too_often), ("retry-after", str(seconds)))
        except (FailedPrecondition, PermissionDenied) as unready:
            # A one-time password, or somebody whom only the outside issuer knows.
            return self._denied(403, grpc.StatusCode.PERMISSION_DENIED, str(unready))
        except DomainError as failed:
            _log.warning("credentials cannot be exchanged now: %s", failed.reason)
            return self._denied(*_UNAVAILABLE, "credentials cannot be verified now")
        return self._allowed(exchanged.token)

    def _allowed(self, token: str) -> Any:
        response = self._messages.check_response()
        option = response.ok_response.headers.add(append_action=OVERWRITE_IF_EXISTS_OR_ADD)
        option.header.key, option.header.value = "authorization", f"Bearer {token}"
        response.ok_response.headers_to_remove.append(API_KEY_HEADER)
        return response

    def _denied(self, status: int, code: grpc.StatusCode, text: str, *headers: tuple[str, str]) -> Any:
        response = self._messages.check_response()
        response.status.code = code.value[0]
        response.denied_response.status.code = status
        # Plain text: Envoy puts it into the frame that all errors have.
        response.denied_response.body = text
        for name, value in headers:
            option = response.denied_response.headers.add(append_action=OVERWRITE_IF_EXISTS_OR_ADD)
            option.header.key, option.header.value = name, value
        return response


def _address(request: Any) -> str:
    return str(request.attributes.source.address.socket_address.address)


def _headers(request: Any) -> dict[str, str]:
    http = request.attributes.request.http
    found = {entry.key: entry.value for entry in http.headers}
    found.update((each.key, each.value or each.raw_value.decode(errors="replace")) for each in http.header_map.headers)
    return found
