"""Names of Envoy's types and filters, in one place, and the two ways to write a typed extension."""

from typing import Any, Final

Json = dict[str, Any]

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions."
_CONFIG: Final = "type.googleapis.com/envoy.config."

LISTENER: Final = _CONFIG + "listener.v3.Listener"
CLUSTER: Final = _CONFIG + "cluster.v3.Cluster"
ROUTES: Final = _CONFIG + "route.v3.RouteConfiguration"
ENDPOINTS: Final = _CONFIG + "endpoint.v3.ClusterLoadAssignment"
SECRET: Final = _EXTENSIONS + "transport_sockets.tls.v3.Secret"

#: Filters that routes switch off by name.
REST_SCRIPT: Final = "flowloom.rest_script"
BODY_LIMIT: Final = "envoy.filters.http.body_size_limit"
TRANSCODER: Final = "envoy.filters.http.grpc_json_transcoder"
EXCHANGE: Final = "envoy.filters.http.ext_authz"
LOCAL_RATES: Final = "envoy.filters.http.local_ratelimit"
HEADER_INPUT: Final = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
CORS: Final = "envoy.filters.http.cors"


def typed(name: str, kind: str, config: Json | None = None) -> Json:
    """Return an extension: its name, and its configuration with the type that Envoy knows it by."""
    return {"name": name, "typed_config": {"@type": _EXTENSIONS + kind, **(config or {})}}


def extension(kind: str, config: Json | None = None) -> Json:
    """Return only the typed configuration of an extension."""
    return {"@type": _EXTENSIONS + kind, **(config or {})}


def switched_off() -> Json:
    """Return the per-route configuration that leaves a filter out."""
    return {"@type": _CONFIG + "route.v3.FilterConfig", "disabled": True}


def seconds(value: float) -> str:
    """Return a duration as protobuf's JSON writes it."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
