"""How a service's need of another service becomes a channel: in process if it is co-hosted, else to an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import grpc

from mesh.access.calling import Credentials
from mesh.local_channel import LocalChannel, LocalServer
from mesh.server import MAX_RECEIVE_MESSAGE_BYTES, MAX_SEND_MESSAGE_BYTES

_OPTIONS: Final = (
    # A server may send what it is allowed to send, and take what it is allowed to take.
    ("grpc.max_receive_message_length", MAX_SEND_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_RECEIVE_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.lb_policy_name", "round_robin"),
)


class Channels:
    """The channels of one process, one for each service that it needs, opened when first asked for."""

    def __init__(
        self,
        *,
        local: Mapping[str, LocalServer] | None = None,
        addresses: Mapping[str, str] | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        credentials: Credentials | None = None,
    ) -> None:
        """Both mappings go by service name, such as `engine`; an address is `host:port` or any gRPC target.

        `credentials` say who calls; without them calls carry on who is being served, and nothing of their own.
        """
        self._local = dict(local or {})
        self._addresses = dict(addresses or {})
        self._interceptors = tuple(interceptors)
        self._credentials = credentials or Credentials(None)
        self._open: dict[tuple[str, bool], grpc.aio.Channel] = {}

    def to(self, service: str, *, as_service: bool = False) -> grpc.aio.Channel:
        """Return the channel to a service. Its calls are those of whoever is being served, or of this service itself.

        Raises LookupError if the service is neither co-hosted nor given an address.
        """
        channel = self._open.get((service, as_service))
        if channel is None:
            channel = self._open[service, as_service] = self._channel(service, as_service)
        return channel

    async def close(self, grace_seconds: float | None = None) -> None:
        """Close every channel, giving calls under way so long to end."""
        channels, self._open = self._open, {}
        for channel in channels.values():
            await channel.close(grace_seconds)

    def _channel(self, service: str, as_service: bool) -> grpc.aio.Channel:
        interceptors = (*self._interceptors, *self._credentials.interceptors(as_service=as_service))
        server = self._local.get(service)
        if server is not None:
            return LocalChannel(server, interceptors, MAX_SEND_MESSAGE_BYTES)
        address = self._addresses.get(service)
        if address is None:
            known = ", ".join(sorted({*self._local, *self._addresses})) or "none"
            raise LookupError(f"expected {service} to be co-hosted or to have an address, found only: {known}")
        return grpc.aio.insecure_channel(address, options=_OPTIONS, interceptors=interceptors)
