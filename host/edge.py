"""The gateway in a process: beside all services, or alone with its control plane and the Envoy that it supervises."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry

from gateway.service import (
    PUBLIC_SERVICES,
    Endpoint,
    GatewayService,
    GatewaySettings,
    StandaloneEdge,
    Target,
    edge_snapshot,
    read_contract,
    read_targets,
)
from host.access import MeshAccess, shared_settings
from host.addresses import channel_target
from mesh.access.settings import AccessMode, AccessSettings
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.channels import Channels
from mesh.observation_port import ObservationPort
from mesh.server import MeshServer, ServerSettings, until_signalled
from mesh.settings import SettingsError, load
from mesh.telemetry import RpcMetrics

GATEWAY: Final = "gateway"
CALLED: Final = ("identity",)
"""Whom the gateway calls itself: for the others it only tells Envoy where they are."""
PORT: Final = 3006
"""Where the gateway's own services listen when it runs alone."""


def issuer_of(access: AccessSettings) -> dict[str, str]:
    """Return whose tokens the edge asks for, as `edge_snapshot` takes it: nobody's where access is off."""
    if access.mode is AccessMode.OFF:
        return {}
    return {"issuer": access.issuer, "audience": access.audience}


def gateway_beside(
    channels: Channels, settings: GatewaySettings, descriptors: bytes, registry: CollectorRegistry
) -> GatewayService:
    """Return the gateway's services in a process that hosts identity or knows its address."""
    try:
        identity = channels.to("identity", as_service=True)
    except LookupError:
        # Nobody issues tokens here, so there is nothing to exchange credentials for.
        return GatewayService(settings, descriptors=descriptors, registry=registry)
    return GatewayService(settings, descriptors=descriptors, identity=identity, registry=registry)


async def serve_gateway(
    environment: Mapping[str, str], addresses: Mapping[str, str], descriptors: bytes, registry: CollectorRegistry
) -> None:
    """Run the gateway alone until SIGTERM: its services for Envoy, the control plane, and an Envoy unless told not to.

    `addresses` of the services are `host:port`, several with commas between; a host may be a name for many processes.
    Raises SettingsError for wrong ones, EnvoyError if Envoy does not get ready.
    """
    settings = load(GatewaySettings, environment, "FLOWLOOM_GATEWAY_")
    access_settings = shared_settings(environment)
    server_settings = load(ServerSettings, environment, "FLOWLOOM_SERVER_")
    server_settings = replace(server_settings, port=server_settings.port or PORT)
    targets = {name: _targets(name, at) for name, at in addresses.items()}
    caches = Caches(load(CacheSettings, environment, "FLOWLOOM_CACHE_"), registry, alone=False)
    access = MeshAccess(
        access_settings,
        service=GATEWAY,
        descriptor_set=descriptors,
        caches=caches,
        public_services=PUBLIC_SERVICES,
    )
    server = MeshServer(server_settings, observe=RpcMetrics(registry), descriptor_set=descriptors, access=access.check)
    channels = Channels(
        addresses={name: channel_target(name, addresses[name]) for name in CALLED if name in addresses},
        credentials=access.credentials,
    )
    access.connect(channels)
    gateway = gateway_beside(channels, settings, descriptors, registry)
    if gateway.exchanges is not None:
        access.hearers.append(gateway.exchanges.forget)
    here = _reachable(settings, server_settings)
    # Nothing is looked up before the first look at the services: their clusters are empty until then.
    empty: dict[str, tuple[Endpoint, ...]] = dict.fromkeys(targets, ())
    snapshot = edge_snapshot(
        settings,
        read_contract(descriptors),
        {**empty, GATEWAY: (here,)},
        reflection_at=GATEWAY,
        health_at=GATEWAY,
        **issuer_of(access_settings),
    )
    edge = StandaloneEdge(settings, snapshot, targets, registry)
    signalled = asyncio.ensure_future(until_signalled())
    observation = ObservationPort(registry, server.readiness)
    try:
        await caches.start()
        await gateway.start()
        gateway.add_to(server.registrar)
        edge.add_to(server.registrar)
        server.readiness.add_probe(GATEWAY, gateway.probe)
        await edge.publish()
        await server.start()
        await observation.start(server_settings.host, server_settings.observation_port)
        await edge.start(Endpoint(address=server_settings.host, port=server_settings.port))
        await signalled
    finally:
        await edge.stop()
        await server.drain()
        await observation.stop()
        await gateway.stop()
        await channels.close()
        await caches.stop()


def _targets(service: str, text: str) -> tuple[Target, ...]:
    try:
        return read_targets(text)
    except ValueError as wrong:
        raise SettingsError((f"FLOWLOOM_ADDRESS_{service.upper()}: expected {wrong}",)) from wrong


def _reachable(settings: GatewaySettings, server: ServerSettings) -> Endpoint:
    if not settings.reachable_at:
        return Endpoint(address=server.host, port=server.port)
    (target,) = read_targets(settings.reachable_at)
    return Endpoint(address=target.host, port=target.port)
