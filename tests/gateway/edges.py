"""Edges for tests: a sample service, an Envoy in front of it, and a client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.effects.envoy_process import EnvoyProcess
from gateway.model.snapshot import Cluster, Endpoint, Listener, Snapshot
from gateway.settings import Limits
from mesh.testing.ports import free_port
from tests.gateway.sample_service import SERVICE, SampleServer, sample_contract

MAX_BODY_BYTES = 64 * 1024


def sample_snapshot(port: int, *server_ports: int, **changes: Any) -> Snapshot:
    """A sound snapshot: the sample's service on the given ports, health and reflection with it."""
    cluster = Cluster(
        name="items",
        endpoints=tuple(Endpoint(address="127.0.0.1", port=server_port) for server_port in server_ports),
    )
    settings: dict[str, Any] = {
        "contract": sample_contract(),
        "listener": Listener(port=port),
        "clusters": (cluster,),
        "services": {SERVICE: "items"},
        "reflection_cluster": "items",
        "health_cluster": "items",
        "cors_origins": ("https://console.example",),
        # A loaded machine may take long to answer; one that is dead refuses at once.
        "limits": Limits(
            max_body_bytes=MAX_BODY_BYTES, call_seconds=5.0, health_interval_seconds=0.2, health_timeout_seconds=5.0
        ),
    }
    return Snapshot(**{**settings, **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What a test needs of a running edge."""

    envoy: EnvoyProcess
    server: SampleServer
    client: httpx.AsyncClient
    port: int

    @property
    def target(self) -> str:
        """Where gRPC clients connect."""
        return f"127.0.0.1:{self.port}"


def client_of(port: int) -> httpx.AsyncClient:
    """An HTTP client that talks to the edge and to nothing else."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30.0, trust_env=False)


@contextlib.asynccontextmanager
async def opened(directory: Path, port: int = 0, **changes: Any) -> AsyncIterator[Edge]:
    """Start a sample service and an Envoy in front of it; end both, whatever happens."""
    server = SampleServer(free_port())
    await server.start()
    port = port or free_port()
    envoy = EnvoyProcess(directory, sample_snapshot(port, server.port, **changes))
    try:
        await envoy.start()
        async with client_of(port) as client:
            yield Edge(envoy=envoy, server=server, client=client, port=port)
    finally:
        await envoy.drain_and_stop()
        await server.stop()


async def until(probe: Callable[[], Awaitable[bool]], within_seconds: float = 30.0) -> None:
    """Ask until the answer is yes: what other processes do can only be asked for."""
    async with asyncio.timeout(within_seconds):
        while not await probe():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.02)


async def status_of_get(client: httpx.AsyncClient, path: str) -> int:
    """The status of a GET, or 0 if the connection fails."""
    try:
        return (await client.get(path)).status_code
    except httpx.TransportError:
        return 0
