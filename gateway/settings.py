"""What can be set about the edge."""

from dataclasses import dataclass, field

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound of the edge, with its unit in its name."""

    max_body_bytes: int = 16 * 1024 * 1024
    max_response_bytes: int = 64 * 1024 * 1024
    max_headers_kib: int = 60
    connection_buffer_bytes: int = 1024 * 1024
    max_connections: int = 10_000
    max_concurrent_streams: int = 1024
    max_requests_per_cluster: int = 4096
    max_retries_per_cluster: int = 1024
    #: What a unary call may take without a `grpc-timeout`, and what the longest `grpc-timeout` is clamped to.
    call_seconds: float = 30.0
    longest_call_seconds: float = 120.0
    read_attempt_seconds: float = 10.0
    retries: int = 2
    #: A request on which nothing moves for so long is ended; streams may be quiet for longer.
    idle_seconds: float = 60.0
    stream_idle_seconds: float = 3600.0
    connect_seconds: float = 1.0
    health_interval_seconds: float = 1.0
    health_timeout_seconds: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The edge's settings, read from `FLOWLOOM_GATEWAY_*`; `LIMITS_*` move its named limits."""

    address: str = setting("127.0.0.1", doc="IP address that REST and gRPC clients connect to.")
    port: int = setting(8080, doc="Port of REST, gRPC, gRPC-Web, health and reflection.", minimum=1, maximum=65535)
    loopback_only: bool = setting(True, doc="Refuse any other than a loopback address.")
    config_directory: str = setting(".flowloom/edge", doc="Directory of Envoy's files and logs, for one edge alone.")
    cors_origins: tuple[str, ...] = setting((), doc="Origins whose pages may call, such as https://console.example.")
    print_defaults: bool = setting(True, doc="Write zeros, empty texts and empty lists into REST answers.")
    reflection: bool = setting(True, doc="Let clients list and describe the services through the port.")
    limits: Limits = field(default_factory=Limits)
