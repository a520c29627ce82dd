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
    #: How often Envoy fetches the issuer's keys: a key must be published longer than this before it signs.
    keys_refresh_seconds: float = 5.0
    keys_timeout_seconds: float = 2.0
    clock_skew_seconds: int = 5
    #: How many tokens Envoy remembers as verified.
    verified_tokens_kept: int = 5000
    #: An exchange may wait for a password hash; what is answered from the cache takes about a millisecond.
    authorization_seconds: float = 5.0
    #: How long a request waits to be counted before it is let through uncounted.
    counting_seconds: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowSettings:
    """How the processes of the services are followed."""

    interval_seconds: float = setting(1.0, doc="How often names are looked up and processes asked.", minimum=0.05)
    timeout_seconds: float = setting(0.5, doc="How long a process may take to say that it works.", minimum=0.01)
    strikes: int = setting(2, doc="After how many failures in a row a process gets no more requests.", minimum=1)
    max_processes: int = setting(256, doc="How many processes of one service are followed.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """How long an exchanged token stands for the credentials that it was given for."""

    kept_seconds: float = setting(
        60.0, doc="How long a token is handed out again; a changed password works on so long."
    )
    margin_seconds: float = setting(30.0, doc="How long before its end a token is not handed out any more.")
    refused_seconds: float = setting(1.0, doc="How long a refusal is the answer to the same credentials.")
    retry_after_seconds: int = setting(5, doc="What callers are told who tried wrong credentials too often.")
    max_kept: int = setting(10_000, doc="How many credentials are remembered.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """How many requests are taken; 0 means: not limited.

    The local ones hold for each method in one Envoy. The others hold for a principal over all Envoys; they are counted
    in Redis and off without its URL.
    """

    local_reads_per_second: int = setting(0, doc="Calls of one reading method in one Envoy.", minimum=0)
    local_writes_per_second: int = setting(0, doc="Calls of one changing method in one Envoy.", minimum=0)
    local_logins_per_second: int = setting(50, doc="Calls of one public, changing method in one Envoy.", minimum=0)
    redis_url: str = setting("", doc="Where the requests of principals are counted.", secret=True)
    user_reads_per_minute: int = setting(6000, doc="Reading calls of a user.", minimum=0)
    user_writes_per_minute: int = setting(3000, doc="Changing calls of a user.", minimum=0)
    tenant_reads_per_minute: int = setting(0, doc="Reading calls of all users of a tenant together.", minimum=0)
    tenant_writes_per_minute: int = setting(0, doc="Changing calls of all users of a tenant together.", minimum=0)
    address_logins_per_minute: int = setting(120, doc="Public, changing calls from one address.", minimum=0)
    redis_timeout_seconds: float = setting(0.1, doc="How long Redis may take; after that, requests go uncounted.")
    redis_pause_seconds: float = setting(1.0, doc="How long Redis is left alone after it did not answer.")
    redis_connections: int = setting(16, doc="Connections to Redis.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The edge's settings, read from `FLOWLOOM_GATEWAY_*`; `LIMITS_*` move its named limits."""

    address: str = setting("127.0.0.1", doc="IP address that REST and gRPC clients connect to.")
    port: int = setting(8080, doc="Port of REST, gRPC, gRPC-Web, health and reflection.", minimum=1, maximum=65535)
    loopback_only: bool = setting(True, doc="Refuse any other than a loopback address.")
    config_directory: str = setting(".flowloom/edge", doc="Directory of Envoy's files and logs, for one edge alone.")
    cors_origins: tuple[str, ...] = setting((), doc="Origins whose pages may call, such as https://console.example.")
    print_defaults: bool = setting(True, doc="Write zeros, empty texts and empty lists into REST answers.")
    supervise_envoy: bool = setting(True, doc="Run an Envoy beside the control plane (serve gateway).")
    node_id: str = setting("edge", doc="The name of that Envoy to its control plane.")
    delta: bool = setting(True, doc="Speak the delta dialect of discovery with that Envoy.")
    reachable_at: str = setting("", doc="host:port under which Envoys reach the gateway; by default where it listens.")
    tls_certificate: str = setting("", doc="PEM file with the edge's certificate chain; empty: no TLS.")
    tls_key: str = setting("", doc="PEM file with its private key.")
    outside_tokens: bool = setting(False, doc="Exchange tokens of the outside issuer that identity trusts.")
    reflection: bool = setting(True, doc="Let clients list and describe the services through the port.")
    follow: FollowSettings = field(default_factory=FollowSettings)
    exchange: ExchangeSettings = field(default_factory=ExchangeSettings)
    rates: RateSettings = field(default_factory=RateSettings)
    limits: Limits = field(default_factory=Limits)
