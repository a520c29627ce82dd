"""Asks names for their addresses, and processes for their health over gRPC."""

import asyncio
import socket
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.app.following import Health
from gateway.model.snapshot import Endpoint


async def look_up(host: str) -> Sequence[str]:
    """Return the IP addresses of a host. Raises OSError if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class HealthAsker:
    """Keeps a connection to each process that it asks (`grpc.health.v1`)."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._channels: dict[Endpoint, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, endpoint: Endpoint) -> Health:
        """Return what the process says of itself as a whole."""
        stub = health_pb2_grpc.HealthStub(self._channel(endpoint))
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=self._timeout_seconds)
        except grpc.aio.AioRpcError:
            return Health.SILENT
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        return Health.SERVING if serving else Health.LEAVING

    def forget(self, endpoints: Sequence[Endpoint]) -> None:
        """Close the connections to processes that are gone."""
        for endpoint in endpoints:
            channel = self._channels.pop(endpoint, None)
            if channel is not None:
                task = asyncio.ensure_future(channel.close(None))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections."""
        self.forget(tuple(self._channels))
        await asyncio.gather(*self._closing)

    def _channel(self, endpoint: Endpoint) -> grpc.aio.Channel:
        found = self._channels.get(endpoint)
        if found is None:
            host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
            options = (("grpc.max_reconnect_backoff_ms", 1000), ("grpc.initial_reconnect_backoff_ms", 200))
            found = grpc.aio.insecure_channel(f"{host}:{endpoint.port}", options=options)
            self._channels[endpoint] = found
        return found
