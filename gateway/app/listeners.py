"""The one listener: REST, gRPC, gRPC-Web, health and reflection on the same port."""

from typing import Final

from gateway.app.filters import http_filters, keys_filters
from gateway.app.policies import KEYS_NAME
from gateway.app.routes import ROUTES_NAME, keys_routes
from gateway.app.sources import Source
from gateway.app.statuses import EDGE_REPLIES, PHRASES, EdgeReply
from gateway.app.types import LISTENER, SECRET, Json, seconds, typed
from gateway.model.policies import Access, Tls
from gateway.model.snapshot import Snapshot

LISTENER_NAME: Final = "edge"
#: The one certificate, and where it is found.
CERTIFICATE_NAME: Final = "edge"
CERTIFICATES: Final = "sds"

#: The broadcast address, from which no connection can come.
_NOBODY: Final = {"address_prefix": "255.255.255.255", "prefix_len": 32}

#: What one line of the access log holds. `path` is as the client wrote it, `rpc` as the service saw it.
_ACCESS_LOG_FIELDS: Final = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "rpc": "%REQ(:PATH)%",
    "user": "%REQ(X-USER)%",
    "tenant": "%REQ(X-TENANT)%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "duration_ms": "%DURATION%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "endpoint": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "user_agent": "%REQ(USER-AGENT)%",
}


def listener(snapshot: Snapshot, source: Source, access_log_path: str | None) -> Json:
    """Return the listener. The access log goes to the file, or to standard output if there is none."""
    limits = snapshot.limits
    manager = {
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "rds": {"route_config_name": ROUTES_NAME, "config_source": source.config("rds")},
        "http_filters": http_filters(snapshot, source),
        "use_remote_address": True,
        # Nobody is internal, so the headers by which clients could steer retries and timeouts are dropped for all. An
        # empty list would mean the default, which trusts loopback and private addresses.
        "internal_address_config": {"cidr_ranges": [_NOBODY]},
        "normalize_path": True,
        "merge_slashes": True,
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "server_header_transformation": "PASS_THROUGH",
        "max_request_headers_kb": limits.max_headers_kib,
        # The only timer that ends a request whose body the transcoder waits for in vain.
        "stream_idle_timeout": seconds(limits.idle_seconds),
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": limits.max_concurrent_streams,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 16 * 1024 * 1024,
        },
        "access_log": [_access_log(access_log_path)],
        "local_reply_config": {"mappers": [*(_local_reply(reply) for reply in EDGE_REPLIES), _other_local_reply()]},
    }
    return {
        "@type": LISTENER,
        "name": LISTENER_NAME,
        "address": {"socket_address": {"address": snapshot.listener.address, "port_value": snapshot.listener.port}},
        # With the default, a second edge on the same port would silently take half of the connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": limits.connection_buffer_bytes,
        "filter_chains": [{"filters": [_http(manager)], **_tls(snapshot.listener.tls, source)}],
    }


def keys_listener(snapshot: Snapshot, access: Access, source: Source) -> Json:
    """Return the listener inside Envoy that no client reaches: its fetching of the issuer's keys goes through it."""
    manager = {
        "stat_prefix": "keys",
        "route_config": keys_routes(access),
        "http_filters": keys_filters(snapshot, source, access.keys.service),
    }
    return {
        "@type": LISTENER,
        "name": KEYS_NAME,
        "internal_listener": {},
        "filter_chains": [{"filters": [_http(manager)]}],
    }


def secret(tls: Tls) -> Json:
    """Return the edge's certificate as Envoy is told of it: two files in a directory that it watches."""
    directory, _, _ = tls.certificate_path.rpartition("/")
    return {
        "@type": SECRET,
        "name": CERTIFICATE_NAME,
        "tls_certificate": {
            "certificate_chain": {"filename": tls.certificate_path},
            "private_key": {"filename": tls.key_path},
            "watched_directory": {"path": directory},
        },
    }


def _http(manager: Json) -> Json:
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        manager,
    )


def _tls(tls: Tls | None, source: Source) -> Json:
    if tls is None:
        return {}
    certificate = {"name": CERTIFICATE_NAME, "sds_config": source.config(CERTIFICATES)}
    context = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [certificate],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
    }
    return {
        "transport_socket": typed(
            "envoy.transport_sockets.tls",
            "transport_sockets.tls.v3.DownstreamTlsContext",
            {"common_tls_context": context},
        )
    }


def _access_log(path: str | None) -> Json:
    log_format = {"log_format": {"json_format": _ACCESS_LOG_FIELDS}}
    if path is None:
        return typed("envoy.access_loggers.stdout", "access_loggers.stream.v3.StdoutAccessLog", log_format)
    return typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", {"path": path, **log_format})


def _local_reply(reply: EdgeReply) -> Json:
    return _mapper(_compared("EQ", reply.http_status), PHRASES[reply.http_status], reply.code, reply.reason)


def _other_local_reply() -> Json:
    """What no table foresees is still JSON."""
    return _mapper(_compared("GE", 400), "Error", "UNKNOWN", "edge-failure")


def _mapper(status: Json, phrase: str, code: str, reason: str) -> Json:
    return {
        "filter": {"and_filter": {"filters": [status, _arrived_as_rest()]}},
        "body_format_override": {
            "content_type": "application/json",
            "json_format": {
                "message": phrase,
                "exception": "%LOCAL_REPLY_BODY%",
                "code": code,
                "reason": reason,
            },
        },
    }


def _compared(operator: str, status: int) -> Json:
    value = {"default_value": status, "runtime_key": f"flowloom.edge.status_{status}"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _arrived_as_rest() -> Json:
    """Without this, native gRPC clients would find the JSON in their `grpc-message`."""
    no_grpc = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }
    transcoded = {"name": "x-envoy-original-path", "present_match": True}
    return {
        "or_filter": {"filters": [{"header_filter": {"header": no_grpc}}, {"header_filter": {"header": transcoded}}]}
    }
