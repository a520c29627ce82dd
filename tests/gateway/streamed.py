"""Edges that get their configuration over a stream: a control plane, an Envoy, and services whose number changes."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from gateway.app.control_plane import ControlPlane
from gateway.app.generator import Discovery
from gateway.effects.resource_encoder import ResourceEncoder
from gateway.effects.streamed_envoy import StreamedEnvoy
from gateway.model.snapshot import Snapshot
from gateway.rpc.discovery import DiscoveryServicer
from mesh.testing.ports import free_port
from tests.gateway.edges import client_of, sample_snapshot, status_of_get, until
from tests.gateway.sample_service import SampleServer


class PlaneServer:
    """A control plane on a port of its own; it can be ended and begun anew."""

    def __init__(self, access_log_path: str | None = None) -> None:
        self.port = free_port()
        self._access_log_path = access_log_path
        self.plane = self._new_plane()
        self._server: Any = None

    def _new_plane(self) -> ControlPlane:
        return ControlPlane(ResourceEncoder(), access_log_path=self._access_log_path)

    async def start(self, snapshot: Snapshot) -> None:
        self.plane = self._new_plane()
        await self.plane.apply(snapshot)
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        DiscoveryServicer(self.plane).add_to(self._server)
        assert self._server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedEdge:
    """What a test needs."""

    plane_server: PlaneServer
    envoy: StreamedEnvoy
    server: SampleServer
    client: httpx.AsyncClient
    port: int

    @property
    def plane(self) -> ControlPlane:
        return self.plane_server.plane

    @property
    def snapshot(self) -> Snapshot:
        assert self.plane.snapshot is not None
        return self.plane.snapshot


@contextlib.asynccontextmanager
async def streamed(
    directory: Path, *, delta: bool, port: int = 0, answers: bool = True, **changes: Any
) -> AsyncIterator[StreamedEdge]:
    """Start a sample service, a control plane and an Envoy that listens to it; end them, whatever happens."""
    server = SampleServer(free_port())
    await server.start()
    port = port or free_port()
    planes = PlaneServer(str(directory / "access.log"))
    envoy = StreamedEnvoy(directory, Discovery(host="127.0.0.1", port=planes.port, delta=delta), max_connections=1000)
    try:
        await planes.start(sample_snapshot(port, server.port, **changes))
        await envoy.start()
        async with client_of(port) as client:
            edge = StreamedEdge(plane_server=planes, envoy=envoy, server=server, client=client, port=port)
            if answers:
                await until(lambda: _answers(client))
            yield edge
    finally:
        await envoy.drain_and_stop()
        await planes.stop()
        await server.stop()


async def _answers(client: httpx.AsyncClient) -> bool:
    return await status_of_get(client, "/process-api/items/7") == 200
