"""Filters that look at who calls and how often. They stand after the transcoder, where both dialects are one.

First external authorization turns what Envoy cannot verify (HTTP Basic, API tokens) into a token; then every token is
verified by Envoy itself; then the verified principal's requests are counted.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.app import types
from gateway.app.types import Json, extension, seconds, typed
from gateway.model.contract import RouteClass
from gateway.model.policies import API_KEY_HEADER, TENANT_HEADER, USER_HEADER, Access
from gateway.model.snapshot import Snapshot

#: The cluster and the listener inside Envoy through which it fetches the issuer's keys.
KEYS_NAME: Final = "edge-keys"

#: The domain of the rate limit service, and the names of what is counted.
DOMAIN: Final = "flowloom"
CLASS_KEY: Final = "class"
USER_KEY: Final = "user"
TENANT_KEY: Final = "tenant"
ADDRESS_KEY: Final = "remote_address"

#: What everybody may ask without a token, besides public methods: it tells what runs here, nothing of what it holds.
_OPEN_PREFIXES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1.", "/grpc.reflection.v1alpha.")
_OPEN_PATHS: Final = ("/health",)

_PROVIDER: Final = "identity"
_RECOGNISED: Final = "recognised"


def access_filters(snapshot: Snapshot) -> Iterator[Json]:
    """Yield what finds out who calls; nothing if the edge does not ask."""
    if snapshot.access is None:
        return
    if snapshot.access.exchange_cluster:
        if snapshot.access.outside_tokens:
            yield _recognition(snapshot, snapshot.access)
        yield _exchange(snapshot, snapshot.access)
    yield _verification(snapshot, snapshot.access)


def rate_filters(snapshot: Snapshot) -> Iterator[Json]:
    """Yield what counts requests; nothing that is not limited."""
    if any(snapshot.rates.local_per_second.values()):
        yield typed(types.LOCAL_RATES, "filters.http.local_ratelimit.v3.LocalRateLimit", {"stat_prefix": "local_rates"})
    if snapshot.rates.counting_cluster:
        yield typed(
            "envoy.filters.http.ratelimit",
            "filters.http.ratelimit.v3.RateLimit",
            {
                "domain": DOMAIN,
                "timeout": seconds(snapshot.limits.counting_seconds),
                # Whoever counts may be away: requests go on, uncounted.
                "failure_mode_deny": False,
                # UNAVAILABLE, the default, would make gRPC clients try again at once.
                "rate_limited_as_resource_exhausted": True,
                "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
                "rate_limit_service": {
                    "transport_api_version": "V3",
                    "grpc_service": _grpc_service(snapshot.rates.counting_cluster, snapshot.limits.counting_seconds),
                },
            },
        )


def counted(route_class: RouteClass, snapshot: Snapshot) -> Json:
    """Return the part of a route's action that says what its requests are counted by."""
    if not snapshot.rates.counting_cluster:
        return {}
    named = {"generic_key": {"descriptor_key": CLASS_KEY, "descriptor_value": route_class.value}}
    if route_class is RouteClass.LOGIN:
        # Nobody is known yet: the address is all there is.
        return {"rate_limits": [{"actions": [named, {"remote_address": {}}]}]}
    by_header = [(USER_HEADER, USER_KEY), (TENANT_HEADER, TENANT_KEY)]
    return {
        "rate_limits": [
            {"actions": [named, {"request_headers": {"header_name": header, "descriptor_key": key}}]}
            for header, key in by_header
        ]
    }


def local_rate(route_class: RouteClass, snapshot: Snapshot) -> Json:
    """Return a route's configuration of the local rates: empty if its class is not limited."""
    rate = snapshot.rates.local_per_second.get(route_class, 0)
    if not rate:
        return {}
    always = {"default_value": {"numerator": 100}}
    config = {
        "stat_prefix": "local_rates",
        "filter_enabled": always,
        "filter_enforced": always,
        "token_bucket": {"max_tokens": rate, "tokens_per_fill": rate, "fill_interval": "1s"},
        "rate_limited_as_resource_exhausted": True,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "response_headers_to_add": [
            {"header": {"key": "retry-after", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }
    return {types.LOCAL_RATES: extension("filters.http.local_ratelimit.v3.LocalRateLimit", config)}


def _recognition(snapshot: Snapshot, access: Access) -> Json:
    """Verify tokens without refusing any: whatever is not recognised may be of an outside issuer."""
    wanted = [{"provider_name": _PROVIDER}, {"allow_missing_or_failed": {}}]
    return typed(
        "flowloom.recognition",
        "filters.http.jwt_authn.v3.JwtAuthentication",
        {
            "providers": {_PROVIDER: {**_provider(snapshot, access), "payload_in_metadata": _RECOGNISED}},
            "bypass_cors_preflight": True,
            "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": wanted}}}],
        },
    )


def _provider(snapshot: Snapshot, access: Access) -> Json:
    return {
        "issuer": access.issuer,
        "audiences": [access.audience],
        # Services verify the token again.
        "forward": True,
        # The default would also take a token from the query, where it would end in logs.
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        # Verifying an ES256 signature takes most of a millisecond: once per token is enough.
        "jwt_cache_config": {"jwt_cache_size": snapshot.limits.verified_tokens_kept},
        "clock_skew_seconds": snapshot.limits.clock_skew_seconds,
        "claim_to_headers": [
            {"header_name": USER_HEADER, "claim_name": "sub"},
            {"header_name": TENANT_HEADER, "claim_name": "tenant"},
        ],
        "remote_jwks": {
            "http_uri": {
                "uri": f"http://{KEYS_NAME}{access.keys.path}",
                "cluster": KEYS_NAME,
                "timeout": seconds(snapshot.limits.keys_timeout_seconds),
            },
            "cache_duration": seconds(snapshot.limits.keys_refresh_seconds),
            # The listener waits for the first fetch: otherwise the first requests would be refused.
            "async_fetch": {"fast_listener": False, "failed_refetch_duration": "1s"},
        },
    }


def _verification(snapshot: Snapshot, access: Access) -> Json:
    return typed(
        "envoy.filters.http.jwt_authn",
        "filters.http.jwt_authn.v3.JwtAuthentication",
        {
            "providers": {_PROVIDER: _provider(snapshot, access)},
            "bypass_cors_preflight": True,
            # The first rule that fits holds. Whatever no rule opens needs a token.
            "rules": [
                *({"match": {"path": path}} for path in _open_paths(snapshot)),
                *({"match": {"prefix": prefix}} for prefix in _OPEN_PREFIXES),
                {"match": {"prefix": "/"}, "requires": {"provider_name": _PROVIDER}},
            ],
        },
    )


def _open_paths(snapshot: Snapshot) -> list[str]:
    public = (m.path for m in snapshot.contract.methods if m.public and m.service in snapshot.services)
    return [*_OPEN_PATHS, *public]


def _exchange(snapshot: Snapshot, access: Access) -> Json:
    """External authorization, asked only for credentials that are no JWT, and not where nobody needs any."""
    authorization = typed(
        types.EXCHANGE,
        "filters.http.ext_authz.v3.ExtAuthz",
        {
            "transport_api_version": "V3",
            "grpc_service": _grpc_service(access.exchange_cluster, snapshot.limits.authorization_seconds),
            "failure_mode_allow": False,
            # The default says 403, as if the caller had done something wrong.
            "status_on_error": {"code": "ServiceUnavailable"},
            "allowed_headers": {"patterns": [{"exact": "authorization"}, {"exact": API_KEY_HEADER}]},
            "stat_prefix": "exchange",
            **(_unless_recognised() if access.outside_tokens else {}),
        },
    )
    bearer = ".+" if access.outside_tokens else f"{re.escape(access.api_token_prefix)}.*"
    credentials = f"(?i)(basic .*|bearer {bearer})"
    has_credentials = {
        "or_matcher": {
            "predicate": [
                _header("authorization", {"safe_regex": {"google_re2": {}, "regex": credentials}}),
                _header(API_KEY_HEADER, {"safe_regex": {"google_re2": {}, "regex": ".+"}}),
            ]
        }
    }
    skipped = {
        # Wrong credentials are no reason to refuse what needs none: a login, above all.
        "predicate": {"or_matcher": {"predicate": [{"not_matcher": has_credentials}, *_open(snapshot)]}},
        "on_match": {
            "action": {
                "name": "skip",
                "typed_config": extension("filters.common.matcher.action.v3.SkipFilter"),
            }
        },
    }
    return {
        "name": types.EXCHANGE,
        "typed_config": extension(
            "common.matching.v3.ExtensionWithMatcher",
            {
                "extension_config": {"name": types.EXCHANGE, "typed_config": authorization["typed_config"]},
                "xds_matcher": {"matcher_list": {"matchers": [skipped]}},
            },
        ),
    }


def _open(snapshot: Snapshot) -> Iterator[Json]:
    for path in _open_paths(snapshot):
        yield _header(":path", {"exact": path})
    for prefix in _OPEN_PREFIXES:
        yield _header(":path", {"prefix": prefix})


def _unless_recognised() -> Json:
    verified = {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": _RECOGNISED}]}
    return {"filter_enabled_metadata": {**verified, "value": {"present_match": True}, "invert": True}}


def _header(name: str, value: Json) -> Json:
    wanted = {"@type": types.HEADER_INPUT, "header_name": name}
    return {"single_predicate": {"input": {"name": name, "typed_config": wanted}, "value_match": value}}


def _grpc_service(cluster: str, timeout_seconds: float) -> Json:
    return {"envoy_grpc": {"cluster_name": cluster}, "timeout": seconds(timeout_seconds)}
