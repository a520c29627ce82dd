"""Envoy's rate limit service (`envoy.service.ratelimit.v3.RateLimitService`): descriptors in, counts out."""

from collections.abc import Sequence
from typing import Any, Final

import grpc

from gateway.app.counting import CountRequests
from gateway.app.policies import CLASS_KEY
from gateway.model.counting import Count, Counted
from gateway.rpc.envoy_messages import LIMIT_OK, LIMIT_OVER, UNIT_MINUTE, EnvoyMessages

SERVICE: Final = "envoy.service.ratelimit.v3.RateLimitService"


class RateLimitServicer:
    """Answers Envoy's question whether a request is one too many."""

    def __init__(self, count: CountRequests) -> None:
        self._count = count
        self._messages = EnvoyMessages()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the service."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.should_rate_limit,
            request_deserializer=self._messages.rate_limit_request.FromString,
            response_serializer=self._messages.rate_limit_response.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ShouldRateLimit": handler}),))

    async def should_rate_limit(self, request: Any, context: Any) -> Any:  # noqa: ARG002 - a servicer's signature
        """Answer for one request, with one status for each of its descriptors."""
        asked = [_counted(descriptor) for descriptor in request.descriptors]
        return self._answer(await self._count(asked, request.hits_addend or 1))

    def _answer(self, counts: Sequence[Count | None]) -> Any:
        response = self._messages.rate_limit_response()
        over = [count for count in counts if count is not None and count.over]
        response.overall_code = LIMIT_OVER if over else LIMIT_OK
        for count in counts:
            status = response.statuses.add(code=LIMIT_OVER if count is not None and count.over else LIMIT_OK)
            if count is not None:
                status.current_limit.requests_per_unit = count.limit
                status.current_limit.unit = UNIT_MINUTE
                status.current_limit.name = count.name
                status.limit_remaining = count.remaining
                status.duration_until_reset.seconds = count.ends_in_seconds
        if over:
            seconds = max(count.ends_in_seconds for count in over)
            response.response_headers_to_add.add(key="retry-after", value=str(seconds))
        return response


def _counted(descriptor: Any) -> Counted:
    entries = {entry.key: entry.value for entry in descriptor.entries}
    route_class = entries.pop(CLASS_KEY, "")
    kind, value = next(iter(entries.items()), ("", ""))
    return Counted(route_class=route_class, kind=kind, value=value)
