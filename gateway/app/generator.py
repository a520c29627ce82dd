"""The one generator of Envoy's configuration: a snapshot in, resources out, nothing else touched."""

import hashlib
import json
from dataclasses import dataclass

from gateway.app.clusters import (
    CONTROL_PLANE,
    cluster_resource,
    control_plane_cluster,
    endpoints_resource,
    keys_cluster,
)
from gateway.app.listeners import keys_listener, listener, secret
from gateway.app.routes import route_configuration
from gateway.app.sources import Source, StreamSource
from gateway.app.types import Json, extension, typed
from gateway.model.snapshot import Problem, Snapshot


class UnsoundSnapshotError(RuntimeError):
    """The snapshot would make an edge that is wrong; `problems` says in which ways."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Envoy's resources by kind, in protobuf's JSON with `@type`: for files as they are, for a stream after parsing."""

    listeners: tuple[Json, ...]
    routes: tuple[Json, ...]
    clusters: tuple[Json, ...]
    endpoints: tuple[Json, ...]
    secrets: tuple[Json, ...] = ()


def generate(snapshot: Snapshot, source: Source, *, access_log_path: str | None = None) -> Resources:
    """Return the resources of a sound snapshot.

    Raises:
        UnsoundSnapshotError: if `snapshot.check()` finds anything.
    """
    problems = snapshot.check()
    if problems:
        raise UnsoundSnapshotError(problems)
    clusters = sorted(snapshot.clusters, key=lambda cluster: cluster.name)
    access, tls = snapshot.access, snapshot.listener.tls
    inside = () if access is None else (keys_listener(snapshot, access, source),)
    to_inside = () if access is None else (keys_cluster(),)
    return Resources(
        # What the edge fetches its keys through must be there before the edge itself.
        listeners=(*inside, listener(snapshot, source, access_log_path)),
        routes=(route_configuration(snapshot),),
        clusters=(*(cluster_resource(cluster, snapshot.limits, source) for cluster in clusters), *to_inside),
        endpoints=tuple(endpoints_resource(cluster) for cluster in clusters),
        secrets=() if tls is None else (secret(tls),),
    )


def version_of(resources: tuple[Json, ...]) -> str:
    """Return a version that is the same for the same resources: 16 hexadecimal digits."""
    return version_of_text(json.dumps(resources, sort_keys=True))


def version_of_text(text: str) -> str:
    """Return a version that is the same for the same text: 16 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def discovery_response(resources: tuple[Json, ...]) -> Json:
    """Return the resources of one kind in the frame of a DiscoveryResponse."""
    return {"version_info": version_of(resources), "resources": list(resources)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Where an Envoy finds the control plane. A `host` that is no IP address is looked up. `delta` is the dialect."""

    host: str
    port: int
    delta: bool = True


def streamed_bootstrap(discovery: Discovery, *, node_id: str, max_connections: int, admin_port: int = 0) -> Json:
    """Return what an Envoy starts with that gets everything else over one stream from the control plane."""
    start = bootstrap(StreamSource(), node_id=node_id, max_connections=max_connections, admin_port=admin_port)
    start["dynamic_resources"]["ads_config"] = {
        "api_type": "DELTA_GRPC" if discovery.delta else "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": CONTROL_PLANE}}],
    }
    start["static_resources"] = {"clusters": [control_plane_cluster(discovery.host, discovery.port)]}
    return start


def bootstrap(source: Source, *, node_id: str, max_connections: int, admin_port: int = 0) -> Json:
    """Return what Envoy starts with: where it finds the rest, and an admin interface on loopback (0: a free port)."""
    connections = {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": extension(
            "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            {"max_active_downstream_connections": max_connections},
        ),
    }
    return {
        "node": {"id": node_id, "cluster": "flowloom"},
        # Without authentication of its own, the admin interface never leaves the machine.
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}},
        "dynamic_resources": {"lds_config": source.config("lds"), "cds_config": source.config("cds")},
        "overload_manager": {"resource_monitors": [connections]},
        "bootstrap_extensions": [
            typed("envoy.bootstrap.internal_listener", "bootstrap.internal_listener.v3.InternalListener")
        ],
    }
