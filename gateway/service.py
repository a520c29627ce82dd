"""The front door of the edge: settings, the contract and addresses in, a supervised Envoy out.

contract = read_contract(descriptor_set_bytes)
snapshot = edge_snapshot(settings, contract, {"engine": [Endpoint(address="127.0.0.1", port=3001)]})
edge = open_edge(settings, snapshot)
await edge.start()
...
await edge.drain_and_stop()
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.effects.descriptors import pool_of, read_contract
from gateway.effects.envoy_process import EnvoyError, EnvoyProcess, ProcessLimits
from gateway.model.contract import Contract
from gateway.model.snapshot import Cluster, Endpoint, Listener, Snapshot
from gateway.rpc.reflection import add_reflection
from gateway.settings import GatewaySettings

__all__ = [
    "Contract",
    "Endpoint",
    "EnvoyError",
    "EnvoyProcess",
    "GatewaySettings",
    "ProcessLimits",
    "Snapshot",
    "add_reflection",
    "edge_snapshot",
    "open_edge",
    "pool_of",
    "read_contract",
]

#: Every contract is `flowloom.<service>.v<number>`; the second part names the cluster.
_PACKAGE: Final = "flowloom"
#: Contracts that no service has for itself: who serves them.
_SERVED_BY: Final = MappingProxyType({"events": "engine"})


def edge_snapshot(
    settings: GatewaySettings,
    contract: Contract,
    addresses: Mapping[str, Sequence[Endpoint]],
    *,
    reflection_at: str = "engine",
    health_at: str = "engine",
) -> Snapshot:
    """Return the edge in front of the services at `addresses` (by their folder's name, such as `engine`).

    gRPC services of the contract whose part of the mesh has no address are not routed. Reflection and health go
    to the processes named, if these have an address.
    """
    packages = {service: service.split(".")[1] for service in contract.services if service.startswith(f"{_PACKAGE}.")}
    owners = {service: _SERVED_BY.get(package, package) for service, package in packages.items()}
    return Snapshot(
        contract=contract,
        listener=Listener(address=settings.address, port=settings.port, loopback_only=settings.loopback_only),
        clusters=tuple(Cluster(name=name, endpoints=tuple(ends)) for name, ends in sorted(addresses.items())),
        services={service: owner for service, owner in owners.items() if owner in addresses},
        reflection_cluster=reflection_at if settings.reflection and reflection_at in addresses else "",
        health_cluster=health_at if health_at in addresses else "",
        cors_origins=settings.cors_origins,
        print_defaults=settings.print_defaults,
        limits=settings.limits,
    )


def open_edge(settings: GatewaySettings, snapshot: Snapshot, limits: ProcessLimits | None = None) -> EnvoyProcess:
    """Return an Envoy that is not started yet, with its files in the directory of the settings."""
    return EnvoyProcess(Path(settings.config_directory), snapshot, limits=limits)
