"""Routes: gRPC paths first (a transcoded request is routed anew by them), then the roots of REST, then nothing."""

from collections.abc import Iterator
from typing import Final

from gateway.app import types
from gateway.app.policies import counted, local_rate
from gateway.app.types import ROUTES, Json, extension, seconds, switched_off
from gateway.model.contract import RouteClass
from gateway.model.policies import Access
from gateway.model.snapshot import Snapshot
from gateway.settings import Limits

ROUTES_NAME: Final = "edge"

_HEALTH: Final = "/grpc.health.v1.Health/"
_REFLECTION: Final = "/grpc.reflection."

#: A write that may have arrived is never sent twice: the answer may be lost, its effect not.
_RETRIED_WRITES: Final = "connect-failure,refused-stream"
_RETRIED_READS: Final = "connect-failure,refused-stream,reset-before-request,reset,unavailable"


def route_configuration(snapshot: Snapshot) -> Json:
    """Return the one route table of the edge."""
    host: Json = {"name": "edge", "domains": ["*"], "routes": list(_routes(snapshot))}
    if snapshot.cors_origins:
        host["typed_per_filter_config"] = {types.CORS: _cors(snapshot.cors_origins)}
    return {"@type": ROUTES, "name": ROUTES_NAME, "virtual_hosts": [host]}


def _routes(snapshot: Snapshot) -> Iterator[Json]:
    limits = snapshot.limits
    for service, cluster in sorted(snapshot.services.items()):
        yield from _service_routes(service, cluster, snapshot)
    if snapshot.health_cluster:
        yield _grpc({"prefix": _HEALTH}, _stream(snapshot.health_cluster, limits))
    if snapshot.reflection_cluster:
        yield _grpc({"prefix": _REFLECTION}, _stream(snapshot.reflection_cluster, limits))
    yield {
        "match": {"path": "/health"},
        "direct_response": {"status": 200, "body": {"inline_string": '{"status":"UP"}'}},
        "response_headers_to_add": [_json_content()],
        "typed_per_filter_config": {types.TRANSCODER: switched_off(), types.REST_SCRIPT: switched_off()},
    }
    yield from _rest_roots(snapshot)
    yield {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": "no such path"}}}


def _service_routes(service: str, cluster: str, snapshot: Snapshot) -> Iterator[Json]:
    limits = snapshot.limits
    written = {**_unary(cluster, limits), "retry_policy": _writes(limits)}
    # One exact path each: a regular expression over a service's names soon exceeds what Envoy accepts.
    for method in snapshot.contract.methods_of(service):
        rates = local_rate(method.route_class, snapshot)
        if method.long_lived:
            action = _stream(cluster, limits)
        elif method.read_only:
            action = {**_unary(cluster, limits), "retry_policy": _reads(limits)}
        elif rates or method.route_class is not RouteClass.WRITE:
            action = written
        else:
            continue
        yield _grpc({"path": method.path}, {**action, **counted(method.route_class, snapshot)}, rates)
    yield _grpc({"prefix": f"/{service}/"}, {**written, **counted(RouteClass.WRITE, snapshot)})


def _grpc(match: Json, action: Json, configured: Json | None = None) -> Json:
    # The choice of filters is made when the request arrives: native calls leave out what is for REST, whereas a
    # transcoded request keeps it although it is routed by this entry in the end.
    off = {types.REST_SCRIPT: switched_off(), types.BODY_LIMIT: switched_off()}
    return {"match": match, "route": action, "typed_per_filter_config": {**off, **(configured or {})}}


def _unary(cluster: str, limits: Limits) -> Json:
    # A route's plain timeout would reach gRPC clients as UNAVAILABLE and leave services without a deadline.
    return {
        "cluster": cluster,
        "timeout": "0s",
        "idle_timeout": seconds(max(limits.idle_seconds, limits.longest_call_seconds)),
        "max_stream_duration": {
            "max_stream_duration": seconds(limits.call_seconds),
            "grpc_timeout_header_max": seconds(limits.longest_call_seconds),
        },
    }


def _stream(cluster: str, limits: Limits) -> Json:
    return {"cluster": cluster, "timeout": "0s", "idle_timeout": seconds(limits.stream_idle_seconds)}


def _writes(limits: Limits) -> Json:
    return {"retry_on": _RETRIED_WRITES, "num_retries": limits.retries, **_elsewhere()}


def _reads(limits: Limits) -> Json:
    return {
        "retry_on": _RETRIED_READS,
        "num_retries": limits.retries,
        "per_try_timeout": seconds(limits.read_attempt_seconds),
        **_elsewhere(),
    }


def _elsewhere() -> Json:
    predicate = {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": extension("retry.host.previous_hosts.v3.PreviousHostsPredicate"),
    }
    # A process that has just died looks like the one with least to do: it is chosen again and again.
    return {"retry_host_predicate": [predicate], "host_selection_retry_max_attempts": 20}


def _rest_roots(snapshot: Snapshot) -> Iterator[Json]:
    """Routes for the paths as clients write them: they decide about filters, the transcoder about the RPC."""
    roots: dict[str, str] = {}
    for method in snapshot.contract.methods:
        if method.service in snapshot.services:
            for binding in method.bindings:
                roots.setdefault(binding.root, snapshot.services[method.service])
    for alias in snapshot.aliases:
        if alias.target in roots:
            roots.setdefault(alias.prefix, roots[alias.target])
    for root, cluster in sorted(roots.items(), reverse=True):
        yield {
            # `/docs` and `/docs/parts/page.js`, but not `/docsets`.
            "match": {"path_separated_prefix": root.rstrip("/")},
            "route": {"cluster": cluster, "timeout": "0s", "idle_timeout": seconds(snapshot.limits.idle_seconds)},
        }


def keys_routes(access: Access) -> Json:
    """Return the route table of the listener inside Envoy through which it fetches the issuer's keys."""
    action = {"cluster": access.keys.cluster, "timeout": "0s"}
    # The path as Envoy asks for it, and as the transcoder leaves it.
    matches: list[Json] = [{"path": access.keys.path}, {"prefix": f"/{access.keys.service}/"}]
    host = {"name": "keys", "domains": ["*"], "routes": [{"match": match, "route": action} for match in matches]}
    return {"name": "keys", "virtual_hosts": [host]}


def _cors(origins: tuple[str, ...]) -> Json:
    return extension(
        "filters.http.cors.v3.CorsPolicy",
        {
            "allow_origin_string_match": [{"exact": origin} for origin in origins],
            "allow_methods": "GET, POST, PUT, PATCH, DELETE",
            "allow_headers": "authorization, content-type, grpc-timeout, x-api-key, x-grpc-web, x-request-id, "
            "x-user-agent",
            "expose_headers": "grpc-status, grpc-message, grpc-status-details-bin, location, x-request-id, "
            "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
            "max_age": "600",
        },
    )


def _json_content() -> Json:
    return {
        "header": {"key": "content-type", "value": "application/json"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
