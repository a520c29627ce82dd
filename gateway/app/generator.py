"""The one generator of Envoy's configuration: a snapshot in, resources out, nothing else touched."""

import hashlib
import json
from dataclasses import dataclass

from gateway.app.clusters import cluster_resource, endpoints_resource, keys_cluster
from gateway.app.listeners import keys_listener, listener, secret
from gateway.app.routes import route_configuration
from gateway.app.sources import Source
from gateway.app.types import Json, extension, typed
from gateway.model.snapshot import Problem, Snapshot


class UnsoundSnapshotError(Exception):
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
    return hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]


def discovery_response(resources: tuple[Json, ...]) -> Json:
    """Return the resources of one kind in the frame of a DiscoveryResponse."""
    return {"version_info": version_of(resources), "resources": list(resources)}


def bootstrap(source: Source, *, node_id: str, max_connections: int) -> Json:
    """Return what Envoy starts with: where it finds the rest, and an admin interface on a free loopback port."""
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
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {"lds_config": source.config("lds"), "cds_config": source.config("cds")},
        "overload_manager": {"resource_monitors": [connections]},
        "bootstrap_extensions": [
            typed("envoy.bootstrap.internal_listener", "bootstrap.internal_listener.v3.InternalListener")
        ],
    }
