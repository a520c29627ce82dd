"""The HTTP filters of the edge, in the order that a request passes them (a response passes them backwards)."""

from dataclasses import replace

from gateway.app import types
from gateway.app.policies import access_filters, rate_filters
from gateway.app.rest_script import METADATA_NAMESPACE, METADATA_RPC, rest_script
from gateway.app.sources import Source
from gateway.app.types import Json, extension, typed
from gateway.model.snapshot import Snapshot


def http_filters(snapshot: Snapshot, source: Source) -> list[Json]:
    """Return the chain. What looks at the RPC (access, rates) stands after the transcoder."""
    return [
        _strip_headers(snapshot),
        typed(types.CORS, "filters.http.cors.v3.Cors"),
        *_readiness(snapshot),
        typed("envoy.filters.http.grpc_web", "filters.http.grpc_web.v3.GrpcWeb"),
        # Brotli must choose before gzip, and only the last of the two may drop `accept-encoding`.
        _compressor("brotli", "compression.brotli.compressor.v3.Brotli", last=False),
        _compressor("gzip", "compression.gzip.compressor.v3.Gzip", last=True),
        typed(
            types.BODY_LIMIT,
            "filters.http.body_size_limit.v3.BodySizeLimit",
            {"max_request_bytes": snapshot.limits.max_body_bytes},
        ),
        typed(
            types.REST_SCRIPT,
            "filters.http.lua.v3.Lua",
            {
                "default_source_code": {
                    "inline_string": rest_script(snapshot.contract, snapshot.services, snapshot.aliases)
                }
            },
        ),
        _transcoder(snapshot, source),
        _note_rpc(),
        *access_filters(snapshot),
        *rate_filters(snapshot),
        typed("envoy.filters.http.router", "filters.http.router.v3.Router", {"suppress_envoy_headers": True}),
    ]


def _strip_headers(snapshot: Snapshot) -> Json:
    removals = [{"remove": name} for name in snapshot.stripped_headers]
    return typed(
        "flowloom.strip_headers",
        "filters.http.header_mutation.v3.HeaderMutation",
        {"mutations": {"request_mutations": removals}},
    )


def _readiness(snapshot: Snapshot) -> list[Json]:
    """`GET /ready` tells the truth: 200 only if every routed cluster has healthy processes and no drain has begun."""
    if not snapshot.services:
        return []
    needed = sorted(set(snapshot.services.values()))
    return [
        typed(
            "envoy.filters.http.health_check",
            "filters.http.health_check.v3.HealthCheck",
            {
                "pass_through_mode": False,
                "cluster_min_healthy_percentages": {name: {"value": 1} for name in needed},
                "headers": [{"name": ":path", "string_match": {"exact": "/ready"}}],
            },
        )
    ]


def _compressor(name: str, library: str, *, last: bool) -> Json:
    return typed(
        f"envoy.filters.http.compressor.{name}",
        "filters.http.compressor.v3.Compressor",
        {
            "choose_first": not last,
            "compressor_library": {"name": name, "typed_config": extension(library)},
            "response_direction_config": {
                "common_config": {"min_content_length": 1024},
                "remove_accept_encoding_header": last,
            },
        },
    )


def keys_filters(snapshot: Snapshot, source: Source, service: str) -> list[Json]:
    """Return the chain of the listener inside Envoy that turns the fetching of keys into a call of `service`."""
    plain = replace(snapshot, services={service: snapshot.services[service]}, print_defaults=False)
    return [
        _transcoder(plain, source),
        typed("envoy.filters.http.router", "filters.http.router.v3.Router"),
    ]


def _transcoder(snapshot: Snapshot, source: Source) -> Json:
    return typed(
        types.TRANSCODER,
        "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        {
            **source.descriptors(snapshot.contract),
            "services": sorted(snapshot.services),
            "convert_grpc_status": True,
            "query_param_unescape_plus": True,
            "case_insensitive_enum_parsing": True,
            "max_request_body_size": snapshot.limits.max_body_bytes,
            "max_response_body_size": snapshot.limits.max_response_bytes,
            "print_options": {"always_print_primitive_fields": snapshot.print_defaults},
            # Without the first, unknown paths reach the services raw; without the last, a body can overrule the path.
            "request_validation_options": {
                "reject_unknown_method": True,
                "reject_unknown_query_parameters": True,
                "reject_binding_body_field_collisions": True,
            },
        },
    )


def _note_rpc() -> Json:
    """Keep the path of the RPC, which stands in `:path` from here on, for the script on the way back."""
    rule = {
        "header": ":path",
        "on_header_present": {"metadata_namespace": METADATA_NAMESPACE, "key": METADATA_RPC, "type": "STRING"},
    }
    return typed("flowloom.note_rpc", "filters.http.header_to_metadata.v3.Config", {"request_rules": [rule]})
