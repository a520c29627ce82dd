"""The front door of the edge: settings, the contract and addresses in, a supervised Envoy out.

contract = read_contract(descriptor_set_bytes)
snapshot = edge_snapshot(settings, contract, {"engine": [Endpoint(address="127.0.0.1", port=3001)]})
edge = open_edge(settings, snapshot)
await edge.start()
...
await edge.drain_and_stop()

What Envoy asks the gateway with each request, and the description of the interface, are served by `GatewayService`;
a gateway in a process of its own adds a `StandaloneEdge`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import grpc
from flowloom.gateway.v1 import description_service_pb2_grpc
from prometheus_client import CollectorRegistry

from gateway.app.control_plane import ControlPlane
from gateway.app.counting import CountRequests, limit_table
from gateway.app.exchanging import ExchangeCache
from gateway.app.following import Following
from gateway.app.generator import Discovery
from gateway.effects.descriptors import pool_of, read_contract
from gateway.effects.envoy_process import EnvoyError, EnvoyProcess, ProcessLimits
from gateway.effects.figures import PlaneFigures, RequestFigures
from gateway.effects.health import HealthAsker, look_up
from gateway.effects.identity_exchange import IdentityExchange
from gateway.effects.openapi import openapi
from gateway.effects.resource_encoder import ResourceEncoder
from gateway.effects.streamed_envoy import StreamedEnvoy
from gateway.jobs.follower import Follower, followed
from gateway.model.contract import Contract, RouteClass
from gateway.model.policies import Access, Keys, Rates, Tls
from gateway.model.snapshot import Cluster, Endpoint, Listener, Snapshot
from gateway.model.targets import Target, read_targets
from gateway.rpc import authorization, discovery, rate_limits
from gateway.rpc.description import DescriptionServicer
from gateway.rpc.reflection import add_reflection
from gateway.settings import GatewaySettings
from mesh.clock import Clock, SystemClock

if TYPE_CHECKING:
    from gateway.effects.redis_counters import RedisCounters
    from gateway.settings import RateSettings

__all__ = [
    "PUBLIC_SERVICES",
    "Contract",
    "Endpoint",
    "EnvoyError",
    "EnvoyProcess",
    "GatewayService",
    "GatewaySettings",
    "ProcessLimits",
    "Snapshot",
    "StandaloneEdge",
    "Target",
    "add_reflection",
    "edge_snapshot",
    "open_edge",
    "pool_of",
    "read_contract",
    "read_targets",
]

PUBLIC_SERVICES: Final = (authorization.SERVICE, rate_limits.SERVICE, discovery.SERVICE)
"""Envoy's own contracts that the gateway serves: they have no access option, and Envoy has no token."""

#: Every contract is `flowloom.<service>.v<number>`; the second part names the cluster.
_PACKAGE: Final = "flowloom"
#: Contracts that no service has for itself: who serves them.
_SERVED_BY: Final = MappingProxyType({"events": "engine"})
#: Contracts that are for others to serve: the mesh is their client.
_ASKED_OF_OTHERS: Final = "flowloom.saga."
#: The part of the mesh that knows who somebody is, and where its contract publishes the keys.
_KEYS: Final = Keys(cluster="identity", service="flowloom.identity.v1.AccessService", path="/.well-known/jwks.json")
_GATEWAY: Final = "gateway"


def edge_snapshot(
    settings: GatewaySettings,
    contract: Contract,
    addresses: Mapping[str, Sequence[Endpoint]],
    *,
    issuer: str = "",
    audience: str = "",
    reflection_at: str = "engine",
    health_at: str = "engine",
) -> Snapshot:
    """Return the edge in front of the services at `addresses` (by their folder's name, such as `engine`).

    gRPC services of the contract whose part of the mesh has no address are not routed. Reflection and health go
    to the processes named, if these have an address. With an `issuer`, whoever calls needs a token of it that is meant
    for the `audience`; without, nobody is asked.
    """
    packages = {service: service.split(".")[1] for service in contract.services if service.startswith(f"{_PACKAGE}.")}
    owners = {service: _SERVED_BY.get(package, package) for service, package in packages.items()}
    has_gateway = _GATEWAY in addresses
    return Snapshot(
        contract=contract,
        listener=Listener(
            address=settings.address, port=settings.port, loopback_only=settings.loopback_only, tls=_tls(settings)
        ),
        clusters=tuple(Cluster(name=name, endpoints=tuple(ends)) for name, ends in sorted(addresses.items())),
        services={service: owner for service, owner in owners.items() if owner in addresses},
        reflection_cluster=reflection_at if settings.reflection and reflection_at in addresses else "",
        health_cluster=health_at if health_at in addresses else "",
        access=Access(
            keys=_KEYS,
            issuer=issuer,
            audience=audience,
            exchange_cluster=_GATEWAY if has_gateway else "",
            outside_tokens=settings.outside_tokens,
        )
        if issuer
        else None,
        rates=Rates(
            local_per_second={
                RouteClass.READ: settings.rates.local_reads_per_second,
                RouteClass.WRITE: settings.rates.local_writes_per_second,
                RouteClass.LOGIN: settings.rates.local_logins_per_second,
            },
            counting_cluster=_GATEWAY if has_gateway and settings.rates.redis_url else "",
        ),
        cors_origins=settings.cors_origins,
        print_defaults=settings.print_defaults,
        limits=settings.limits,
    )


def open_edge(settings: GatewaySettings, snapshot: Snapshot, limits: ProcessLimits | None = None) -> EnvoyProcess:
    """Return an Envoy that is not started yet, with its files in the directory of the settings."""
    return EnvoyProcess(Path(settings.config_directory), snapshot, limits=limits)


class GatewayService:
    """What Envoy asks the gateway (exchange of credentials, counts), and the description of the interface."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        descriptors: bytes,
        identity: grpc.aio.Channel | None = None,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`descriptors` are the merged set, comments included. `identity` is a channel on which the gateway vouches for
        itself; without it nothing is exchanged.
        """
        clock = clock or SystemClock()

        def now() -> float:
            return clock.now().timestamp()

        self._descriptors = descriptors
        self._counters = _counters(settings.rates)
        self._description = DescriptionServicer(self._document)
        self.exchanges: ExchangeCache | None = None
        if identity is not None:
            exchange = IdentityExchange(identity, settings.limits.authorization_seconds)
            self.exchanges = ExchangeCache(exchange, settings.exchange, now)
        self._retry_after_seconds = settings.exchange.retry_after_seconds
        self._counting = (
            CountRequests(self._counters, limit_table(settings.rates), now) if self._counters is not None else None
        )
        if registry is not None:
            registry.register(RequestFigures(self.exchanges, self._counting))

    async def start(self) -> None:
        """Nothing has to be opened: connections are made when they are needed."""

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the servicers."""
        description_service_pb2_grpc.add_DescriptionServiceServicer_to_server(self._description, server)
        if self.exchanges is not None:
            answers = authorization.AuthorizationServicer(self.exchanges, retry_after_seconds=self._retry_after_seconds)
            answers.add_to(server)
        if self._counting is not None:
            rate_limits.RateLimitServicer(self._counting).add_to(server)

    async def probe(self) -> None:
        """Always works: without Redis requests go uncounted, without identity the exchange says so itself."""

    async def stop(self) -> None:
        """Close the connections."""
        if self._counters is not None:
            await self._counters.close()

    def _document(self) -> dict[str, object]:
        try:
            ours = version(_PACKAGE)
        except PackageNotFoundError:
            ours = "0"
        contract = read_contract(self._descriptors)
        served = [service for service in contract.services if not service.startswith(_ASKED_OF_OTHERS)]
        return openapi(self._descriptors, contract, served, version=ours)


class StandaloneEdge:
    """The control plane of a gateway that runs alone, its following of the services, and the Envoy beside it.

    Endpoints of `snapshot` are what `targets` (by cluster) are found to stand for; its other clusters stay as they are.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        snapshot: Snapshot,
        targets: Mapping[str, Sequence[Target]],
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._snapshot = snapshot
        directory = Path(settings.config_directory).absolute()
        self._access_log_path = str(directory / "access.log") if settings.supervise_envoy else None
        self.plane = ControlPlane(ResourceEncoder(), access_log_path=self._access_log_path)
        self._asker = HealthAsker(settings.follow.timeout_seconds)
        self._following = Following(targets, look_up, self._asker, settings.follow)
        self._follower = Follower(self._following, self.plane, settings.follow.interval_seconds)
        self._directory = directory
        registry.register(PlaneFigures(self.plane))
        self.envoy: StreamedEnvoy | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the discovery service."""
        discovery.DiscoveryServicer(self.plane).add_to(server)

    async def publish(self) -> None:
        """Look at the services for the first time and publish what is found: before the server takes calls."""
        await self._following.look()
        await self.plane.apply(followed(self._snapshot, self._following))

    async def start(self, discovery_at: Endpoint) -> None:
        """Follow the services, and start the Envoy, which finds the control plane at `discovery_at`.

        Raises EnvoyError if it does not get ready.
        """
        self._follower.start()
        if self._settings.supervise_envoy:
            self.envoy = StreamedEnvoy(
                self._directory,
                Discovery(host=discovery_at.address, port=discovery_at.port, delta=self._settings.delta),
                node_id=self._settings.node_id,
                max_connections=self._settings.limits.max_connections,
                access_log_path=self._access_log_path,
            )
            await self.envoy.start()

    async def stop(self) -> None:
        """Drain the Envoy while the control plane still works, then end."""
        if self.envoy is not None:
            await self.envoy.drain_and_stop()
        await self._follower.stop()
        await self._asker.close()


def _tls(settings: GatewaySettings) -> Tls | None:
    if not settings.tls_certificate:
        return None
    # A certificate without a key is a problem that the snapshot finds.
    key_path = str(Path(settings.tls_key).absolute()) if settings.tls_key else ""
    return Tls(certificate_path=str(Path(settings.tls_certificate).absolute()), key_path=key_path)


def _counters(settings: RateSettings) -> RedisCounters | None:
    """What counts calls in Redis, where its URL is set. Its client is only imported then: it takes long to."""
    if not settings.redis_url:
        return None
    from gateway.effects.redis_counters import RedisCounters

    return RedisCounters(settings, time.monotonic)
