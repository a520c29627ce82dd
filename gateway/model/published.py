"""What the control plane publishes: Envoy's resources by kind, ready to be sent, each with its version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]

_PREFIX: Final = "type.googleapis.com/envoy."


class Kind(Enum):
    """Kinds of resources by their type URL, in the order in which they must reach Envoy."""

    CLUSTERS = _PREFIX + "config.cluster.v3.Cluster"
    ENDPOINTS = _PREFIX + "config.endpoint.v3.ClusterLoadAssignment"
    CERTIFICATES = _PREFIX + "extensions.transport_sockets.tls.v3.Secret"
    LISTENERS = _PREFIX + "config.listener.v3.Listener"
    ROUTES = _PREFIX + "config.route.v3.RouteConfiguration"

    @property
    def whole(self) -> bool:
        """Whether Envoy takes what is absent for removed (of the others it asks for each by its name)."""
        return self in (Kind.CLUSTERS, Kind.LISTENERS)

    @property
    def carries(self) -> tuple["Kind", ...]:
        """Kinds that Envoy waits for once a resource of this kind has changed, even if they did not."""
        if self is Kind.CLUSTERS:
            return (Kind.ENDPOINTS,)
        return (Kind.CERTIFICATES, Kind.ROUTES) if self is Kind.LISTENERS else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource: `body` is its protobuf message."""

    name: str
    version: str
    body: bytes


Resources = Mapping[str, Resource]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """All resources by kind and name. `serial` grows with each publication."""

    serial: int
    by_kind: Mapping[Kind, Resources]

    def of(self, kind: Kind) -> Resources:
        """Return the resources of one kind by name."""
        return self.by_kind.get(kind, {})


def by_name(resources: Iterable[Resource]) -> Resources:
    """Return resources by their names."""
    return MappingProxyType({resource.name: resource for resource in resources})


def name_of(resource: Json) -> str:
    """Return the name under which Envoy asks for a resource."""
    return str(resource.get("name") or resource["cluster_name"])
