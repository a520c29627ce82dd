"""One service in a process of its own; its needs are addresses from the environment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from engine.service import EngineService, EngineSettings
from gateway.service import Endpoint, GatewaySettings, edge_snapshot, open_edge, read_contract
from host.embedded import descriptor_set
from mesh.clock import SystemClock
from mesh.observation_port import ObservationPort
from mesh.server import MeshServer, ServerSettings, until_signalled
from mesh.settings import load, setting
from mesh.telemetry import RpcMetrics

ENGINE_PORT: Final = 3001


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the edge finds the services, from FLOWLOOM_ADDRESS_…; an empty one is not routed."""

    engine: str = setting("127.0.0.1:3001", doc="IP address and port of the engine.")
    history: str = setting("", doc="IP address and port of history.")


async def serve(service: str, environment: Mapping[str, str]) -> None:
    """Run a service until SIGTERM, then drain it. Raises RuntimeError for one that cannot run alone yet."""
    if service == "engine":
        await _serve_engine(environment)
    elif service == "gateway":
        await _serve_gateway(environment)
    else:
        raise RuntimeError(
            f"expected a service that needs no broker, found {service}: it reads the engine's events from the embedded "
            "bus and runs with the engine in one process (flowloom up)"
        )


async def _serve_engine(environment: Mapping[str, str]) -> None:
    settings = load(ServerSettings, environment, "FLOWLOOM_SERVER_")
    settings = replace(settings, port=settings.port or ENGINE_PORT)
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    server = MeshServer(settings, observe=RpcMetrics(registry), descriptor_set=descriptor_set())
    engine = EngineService(
        load(EngineSettings, environment, "FLOWLOOM_ENGINE_"),
        clock=SystemClock(),
        registry=registry,
        draining=server.draining,
    )
    signalled = asyncio.ensure_future(until_signalled())
    observation = ObservationPort(registry, server.readiness)
    await engine.start()
    try:
        engine.add_to(server.registrar)
        server.readiness.add_probe("engine", engine.probe)
        await server.start()
        await observation.start(settings.host)
        await signalled
        await server.drain()
    finally:
        await observation.stop()
        await engine.stop()


async def _serve_gateway(environment: Mapping[str, str]) -> None:
    settings = load(GatewaySettings, environment, "FLOWLOOM_GATEWAY_")
    addresses = load(Addresses, environment, "FLOWLOOM_ADDRESS_")
    routed = {name: [_endpoint(name, at)] for name in ("engine", "history") if (at := getattr(addresses, name))}
    signalled = asyncio.ensure_future(until_signalled())
    edge = open_edge(settings, edge_snapshot(settings, read_contract(descriptor_set()), routed))
    await edge.start()
    await signalled
    await edge.drain_and_stop()


def _endpoint(service: str, address: str) -> Endpoint:
    host, found, port = address.rpartition(":")
    if not found or not port.isdigit():
        raise RuntimeError(f"expected an IP address and a port for {service}, found '{address}'")
    return Endpoint(address=host, port=int(port))
