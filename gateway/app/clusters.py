"""Clusters and their endpoints: who is asked, when a process counts as gone, and how much may wait."""

import ipaddress
from typing import Final

from gateway.app.policies import KEYS_NAME
from gateway.app.sources import Source, endpoints_name
from gateway.app.types import CLUSTER, ENDPOINTS, Json, extension, seconds
from gateway.model.snapshot import Cluster
from gateway.settings import Limits

CONTROL_PLANE: Final = "control-plane"


def cluster_resource(cluster: Cluster, limits: Limits, source: Source) -> Json:
    """Return a cluster that learns its endpoints from `source`, so that a change of them moves no other part."""
    return {
        "@type": CLUSTER,
        "name": cluster.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source.config(endpoints_name(cluster.name))},
        "connect_timeout": seconds(limits.connect_seconds),
        # A process that is not listed any more still counts while it says that it works: if all are replaced at once,
        # the old ones serve until the new ones have been asked.
        "lb_policy": "LEAST_REQUEST",
        # With no healthy process left the answer is 503 at once, not a try at random.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": seconds(limits.health_timeout_seconds),
                "interval": seconds(limits.health_interval_seconds),
                "no_traffic_interval": seconds(limits.health_interval_seconds),
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": cluster.health_service},
            }
        ],
        # Half of the processes at most, so the only one of a small mesh is never ejected: that would help nobody.
        "outlier_detection": {
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 2,
            "interval": "1s",
            "base_ejection_time": "3s",
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": limits.max_requests_per_cluster,
                    "max_requests": limits.max_requests_per_cluster,
                    "max_pending_requests": limits.max_requests_per_cluster,
                    # The default of three concurrent retries turns one dead process into errors for everybody.
                    "max_retries": limits.max_retries_per_cluster,
                    "retry_budget": {"budget_percent": {"value": 50}, "min_retry_concurrency": 50},
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": extension(
                "upstreams.http.v3.HttpProtocolOptions",
                {"explicit_http_config": {"http2_protocol_options": {}}},
            )
        },
    }


def keys_cluster() -> Json:
    """Return the cluster that leads to the listener inside Envoy through which it fetches the issuer's keys."""
    inside = {"envoy_internal_address": {"server_listener_name": KEYS_NAME}}
    return {
        "@type": CLUSTER,
        "name": KEYS_NAME,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": KEYS_NAME,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": inside}}]}],
        },
    }


def control_plane_cluster(host: str, port: int) -> Json:
    """Return the one cluster that an Envoy is given at its start: where all the others come from."""
    address = {"socket_address": {"address": host, "port_value": port}}
    return {
        "name": CONTROL_PLANE,
        "type": "STATIC" if _is_ip_address(host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": CONTROL_PLANE,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": extension(
                "upstreams.http.v3.HttpProtocolOptions",
                {
                    "explicit_http_config": {
                        # A control plane that vanishes without a word is noticed.
                        "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
                    }
                },
            )
        },
    }


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def endpoints_resource(cluster: Cluster) -> Json:
    """Return the endpoints of a cluster, in a stable order."""
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}}}
        for endpoint in sorted(cluster.endpoints)
    ]
    return {"@type": ENDPOINTS, "cluster_name": cluster.name, "endpoints": [{"lb_endpoints": hosts}]}
