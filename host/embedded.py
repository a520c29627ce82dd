"""All services in one process: one gRPC server, the embedded event bus between them, and Envoy in front.

Nothing in a service's code knows that it runs here: each gets its settings, a clock, a bus and a registrar.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

from gateway.service import (
    PUBLIC_SERVICES,
    Endpoint,
    EnvoyProcess,
    GatewaySettings,
    edge_snapshot,
    open_edge,
    read_contract,
)
from host.access import MeshAccess, embedded_settings
from host.edge import GATEWAY, gateway_beside, issuer_of
from host.process import descriptor_set, process_registry
from host.services import SERVICES, Service, Surroundings
from mesh.access.settings import AccessMode
from mesh.bus.settings import Broker, BusSettings, open_bus
from mesh.cache.settings import CacheSettings
from mesh.cache.two_level import Caches
from mesh.channels import Channels
from mesh.clock import Clock, ManualClock, SystemClock
from mesh.observation_port import ObservationPort
from mesh.ports import free_port
from mesh.server import MeshServer, ServerSettings
from mesh.settings import load
from mesh.telemetry import RpcMetrics

READY_SECONDS: Final = 30.0
READY_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOptions:
    """Where an embedded mesh listens and what it stores in.

    `database_urls` go by service; a service that is not among them and has no URL in its environment gets a SQLite file
    of its own in the data directory.
    """

    address: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 0
    data_directory: Path = Path(".flowloom")
    database_urls: Mapping[str, str] = field(default_factory=dict)
    edge: bool = True
    manual_jobs: bool = False
    manual_clock: bool = False
    lame_duck_seconds: float = 0.0


class EmbeddedMesh:
    """The whole mesh in this process: `start`, use its addresses, `stop`."""

    def __init__(self, options: MeshOptions, environment: Mapping[str, str]) -> None:
        """Take the environment's settings, completed by the options. Raises SettingsError naming every wrong one."""
        self._options = options
        self._environment = embedded_environment(options, environment)
        self._access_settings = embedded_settings(self._environment)
        self._gateway_settings = _gateway_settings(options, environment)
        self._server_settings = replace(
            load(ServerSettings, environment, "FLOWLOOM_SERVER_"),
            host=options.address,
            port=options.grpc_port,
            lame_duck_seconds=options.lame_duck_seconds,
        )
        self._clock: Clock = ManualClock(SystemClock().now()) if options.manual_clock else SystemClock()
        self.checks_access = self._access_settings.mode is AccessMode.ENFORCED
        self.grpc_address = ""
        self.rest_address = ""
        self.metrics_address = ""
        self._services: dict[str, Service] = {}
        self._caches: Caches | None = None
        self._broker: Broker | None = None
        self._channels: Channels | None = None
        self._server: MeshServer | None = None
        self._observation: ObservationPort | None = None
        self._edge: EnvoyProcess | None = None

    async def start(self) -> None:
        """Start everything, inside out: services, server, edge. Raises what the part that fails raises."""
        descriptors = descriptor_set()
        registry = process_registry()
        self._options.data_directory.mkdir(parents=True, exist_ok=True)
        self._caches = Caches(load(CacheSettings, self._environment, "FLOWLOOM_CACHE_"), registry, alone=True)
        access = MeshAccess(
            self._access_settings,
            service="mesh",
            descriptor_set=descriptors,
            caches=self._caches,
            public_services=PUBLIC_SERVICES,
        )
        self._server = MeshServer(
            self._server_settings, observe=RpcMetrics(registry), descriptor_set=descriptors, access=access.check
        )
        self._channels = Channels(local=dict.fromkeys(SERVICES, self._server.local), credentials=access.credentials)
        access.connect(self._channels)
        self._broker = open_bus(
            load(BusSettings, self._environment, "FLOWLOOM_BUS_"), registry=registry, clock=self._clock
        )
        around = Surroundings(
            environment=self._environment,
            clock=self._clock,
            registry=registry,
            draining=self._server.draining,
            channels=self._channels,
            caches=self._caches,
            access=access,
            broker=self._broker,
        )
        await self._caches.start()
        for name, hosted in SERVICES.items():
            service = self._services[name] = hosted.build(around)
            await service.start()
            service.add_to(self._server.registrar)
            self._server.readiness.add_probe(name, service.probe)
        self._services[GATEWAY] = gateway = gateway_beside(
            self._channels, self._gateway_settings, descriptors, registry
        )
        if gateway.exchanges is not None:
            access.hearers.append(gateway.exchanges.forget)
        gateway.add_to(self._server.registrar)
        self.grpc_address = await self._server.start()
        await self._until_ready(self._server)
        self._observation = ObservationPort(registry, self._server.readiness)
        self.metrics_address = await self._observation.start(
            self._options.address, self._server_settings.observation_port
        )
        if self._options.edge:
            await self._start_edge(descriptors)

    async def _start_edge(self, descriptors: bytes) -> None:
        host, _, port = self.grpc_address.rpartition(":")
        here = [Endpoint(address=host, port=int(port))]
        snapshot = edge_snapshot(
            self._gateway_settings,
            read_contract(descriptors),
            dict.fromkeys([*SERVICES, GATEWAY], here),
            **issuer_of(self._access_settings),
        )
        self._edge = open_edge(self._gateway_settings, snapshot)
        await self._edge.start()
        scheme = "https" if self._gateway_settings.tls_certificate else "http"
        rest_address = f"{scheme}://{self._gateway_settings.address}:{self._gateway_settings.port}"
        await _until_edge_ready(rest_address)
        self.rest_address = rest_address

    @staticmethod
    async def _until_ready(server: MeshServer) -> None:
        """Wait until every part works: history claims its place on the bus only after its first look."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await server.readiness.poll():  # noqa: ASYNC110 - probes are asked, nobody announces
                    await asyncio.sleep(READY_LOOK_SECONDS)
        except TimeoutError:
            failures = "; ".join(f"{name}: {why}" for name, why in server.readiness.failures.items())
            raise RuntimeError(
                f"expected the services to be ready within {READY_SECONDS} s, found {failures}"
            ) from None

    async def stop(self) -> None:
        """Drain from the outside in: no new requests, those under way end, then the services stop."""
        if self._edge is not None:
            await self._edge.drain_and_stop()
        if self._server is not None and self.grpc_address:
            await self._server.drain()
        for service in reversed(self._services.values()):
            await service.stop()
        if self._broker is not None:
            await self._broker.stop()
        if self._channels is not None:
            await self._channels.close()
        if self._caches is not None:
            await self._caches.stop()
        if self._observation is not None:
            await self._observation.stop()


async def _until_edge_ready(address: str) -> None:
    """Wait until Envoy has found the services healthy; before that it answers for them that they are away."""
    # Whether it is there is all that is asked, and it is asked by its address, which its certificate does not name.
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
        try:
            async with asyncio.timeout(READY_SECONDS):
                while (await client.get(f"{address}/ready")).status_code != httpx.codes.OK:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(READY_LOOK_SECONDS)
        except TimeoutError:
            raise RuntimeError(
                f"expected the edge to find its services within {READY_SECONDS} s, found it did not"
            ) from None


def embedded_environment(options: MeshOptions, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with what the options say and, for what nobody says, the embedded defaults."""
    completed = dict(environment)
    for name in SERVICES:
        key = f"FLOWLOOM_{name.upper()}_DATABASE_URL"
        url = options.database_urls.get(name, "")
        if url or key not in completed:
            completed[key] = url or f"sqlite:///{options.data_directory / name}.db"
    completed.setdefault("FLOWLOOM_NOTIFY_MAIL_FOLDER", str(options.data_directory / "mail"))
    if options.manual_jobs:
        completed["FLOWLOOM_ENGINE_JOBS_MANUAL_JOBS"] = "true"
    return completed


def _gateway_settings(options: MeshOptions, environment: Mapping[str, str]) -> GatewaySettings:
    settings = load(GatewaySettings, environment, "FLOWLOOM_GATEWAY_")
    return replace(
        settings,
        address=options.address,
        port=options.port or free_port(options.address),
        config_directory=str(options.data_directory / "edge"),
    )
