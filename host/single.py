"""One service in a process of its own; its needs are addresses from the environment."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from host.access import MeshAccess, shared_settings
from host.addresses import addresses_in, channel_target
from host.needs import check_needs, database_variable
from host.process import descriptor_set, process_registry
from host.services import SERVICES, Hosted, Service, Surroundings
from host.waiting import until_database
from mesh.bus.settings import BusSettings, open_bus
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.channels import Channels
from mesh.clock import SystemClock
from mesh.observation_port import ObservationPort
from mesh.server import MeshServer, ServerSettings, until_signalled
from mesh.settings import load
from mesh.telemetry import RpcMetrics


async def serve(service: str, environment: Mapping[str, str]) -> None:
    """Run a service until SIGTERM, then drain it.

    Raises SettingsError for wrong settings and for needs that nobody told, RuntimeError if a part does not start.
    """
    check_needs(service, environment)
    if service == "gateway":
        # Only the gateway needs what it knows of Envoy.
        from host.edge import serve_gateway

        await serve_gateway(environment, addresses_in(environment), descriptor_set(), process_registry())
    else:
        await _serve(service, SERVICES[service], environment)


async def _serve(name: str, hosted: Hosted, environment: Mapping[str, str]) -> None:
    settings = load(ServerSettings, environment, "FLOWLOOM_SERVER_")
    settings = replace(settings, port=settings.port or hosted.port)
    registry = process_registry()
    caches = Caches(load(CacheSettings, environment, "FLOWLOOM_CACHE_"), registry, alone=False)
    access = MeshAccess(shared_settings(environment), service=name, descriptor_set=descriptor_set(), caches=caches)
    server = MeshServer(settings, observe=RpcMetrics(registry), descriptor_set=descriptor_set(), access=access.check)
    channels = Channels(
        local={name: server.local},
        addresses={at: channel_target(at, address) for at, address in addresses_in(environment).items() if at != name},
        credentials=access.credentials,
    )
    access.connect(channels)
    broker = open_bus(load(BusSettings, environment, "FLOWLOOM_BUS_"), registry=registry)
    service = hosted.build(
        Surroundings(
            environment=environment,
            clock=SystemClock(),
            registry=registry,
            draining=server.draining,
            channels=channels,
            caches=caches,
            access=access,
            broker=broker,
        )
    )
    signalled = asyncio.ensure_future(until_signalled())
    observation = ObservationPort(registry, server.readiness)
    # Whoever keeps the process running can see from the beginning that it lives and is not ready.
    await observation.start(settings.host, settings.observation_port)
    try:
        if await until_database(environment[database_variable(name)], signalled):
            await caches.start()
            await _until_signalled(name, service, server, signalled)
    finally:
        await observation.stop()
        if broker is not None:
            await broker.stop()
        await channels.close()
        await caches.stop()


async def _until_signalled(name: str, service: Service, server: MeshServer, signalled: asyncio.Future[Any]) -> None:
    await service.start()
    try:
        service.add_to(server.registrar)
        server.readiness.add_probe(name, service.probe)
        await server.start()
        await signalled
        await server.drain()
    finally:
        await service.stop()
