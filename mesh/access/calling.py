"""What a call to another service says of its caller: the token of whoever is being served, or the service's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc

from mesh.access.control import AUTHORIZATION_KEY, USER_KEY
from mesh.access.service_tokens import ServiceTokens
from mesh.telemetry import call_context, outgoing_metadata

Metadatum = tuple[str, str]
_CREDENTIALS: Final = (AUTHORIZATION_KEY, USER_KEY)


def passed_on() -> tuple[Metadatum, ...] | None:
    """Return the credentials of the call that is being served, as they came; None outside of a call."""
    context = call_context.get()
    if context is None:
        return None
    given: Any = context.invocation_metadata() or ()
    return tuple((key, value) for key, value in given if key in _CREDENTIALS)


class Credentials:
    """Says who calls another service. `tokens` is None where access is off: nobody asks then."""

    def __init__(self, tokens: ServiceTokens | None) -> None:
        """`tokens` mints those of this service."""
        self._tokens = tokens

    def of_caller(self) -> tuple[Metadatum, ...]:
        """Return the credentials of whoever is being served; the service's own for work that nobody asked for.

        Whoever calls a public method without credentials has none to pass on: they are not lent the service's.
        """
        of_call = passed_on()
        return self.of_service() if of_call is None else of_call

    def of_service(self) -> tuple[Metadatum, ...]:
        """Return the service's own credentials, whoever is being served."""
        return () if self._tokens is None else ((AUTHORIZATION_KEY, f"Bearer {self._tokens.token()}"),)

    def interceptors(self, *, as_service: bool = False) -> tuple[grpc.aio.ClientInterceptor, ...]:
        """Return what adds these credentials, and the ids of the request, to every call of a channel."""
        return carrying(self.of_service if as_service else self.of_caller)


def carrying(credentials: Callable[[], tuple[Metadatum, ...]]) -> tuple[grpc.aio.ClientInterceptor, ...]:
    """Return what adds credentials, asked for at each call, to every call of a channel that does not bring its own."""
    return tuple(kind(credentials) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream))


class _Adding:
    def __init__(self, credentials: Callable[[], tuple[Metadatum, ...]]) -> None:
        self._credentials = credentials

    def _added(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """Add what the call does not say itself."""
        given: Any = details.metadata or ()
        metadata = grpc.aio.Metadata(*given)
        present = {key for key, _ in given}
        for key, value in (*outgoing_metadata(), *self._credentials()):
            if key not in present:
                metadata.add(key, value)
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=details.timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _UnaryUnary(_Adding, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._added(client_call_details), request)


class _UnaryStream(_Adding, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._added(client_call_details), request)


class _StreamUnary(_Adding, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self._added(client_call_details), request_iterator)


class _StreamStream(_Adding, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self._added(client_call_details), request_iterator)
