"""What the edge is to be, in one immutable value: every configuration of Envoy is made from one of these."""

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.model.contract import Contract
from gateway.model.policies import TENANT_HEADER, USER_HEADER, Access, Rates, Tls
from gateway.settings import Limits

#: Statuses that a method may ask for on success. Others would need a body or headers that nobody writes.
_SUCCESSES: Final = frozenset({200, 201, 202, 204})

#: Headers that say who somebody is, or that steer the edge itself. Only the edge may write them.
STRIPPED_HEADERS: Final = (
    USER_HEADER,
    TENANT_HEADER,
    "x-groups",
    "x-roles",
    "x-privileges",
    "x-http-code",
    "x-jwt-payload",
    "x-envoy-original-path",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that would make the edge wrong. `subject` is the thing's name, `expected` a full sentence."""

    subject: str
    expected: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where clients come in. While `loopback_only` holds, or without access control, another address is a problem."""

    address: str = "127.0.0.1"
    port: int = 8080
    loopback_only: bool = True
    tls: Tls | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Endpoint:
    """One process that serves gRPC without TLS: an IP address (no name: nothing is resolved here) and a port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Processes that serve the same. `health_service` is what `grpc.health.v1` is asked for (empty: the server).

    A cluster that is `followed` has the processes that were found working a moment ago; there may be none.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    health_service: str = ""
    followed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """Requests whose path starts with `prefix` are answered as if it started with `target`."""

    prefix: str
    target: str


#: Flowable's stand-alone REST application and its embedded form serve the same resources under different roots.
FLOWABLE_ALIASES: Final = (
    Alias(prefix="/flowable-rest/service/", target="/process-api/"),
    Alias(prefix="/flowable-rest/external-job-api/", target="/external-job-api/"),
    Alias(prefix="/flowable-rest/form-api/", target="/form-api/"),
    Alias(prefix="/flowable-rest/idm-api/", target="/idm-api/"),
    Alias(prefix="/service/", target="/process-api/"),
)


def _no_services() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole edge.

    `services` maps full service names to cluster names; what is not in it is not reachable. Reflection
    goes to `reflection_cluster`; health to `health_cluster`; both may be empty, then they are not served.
    `print_defaults` writes zeros, empty strings and empty lists into REST answers, as Flowable does. Without `access`
    nobody is asked who they are, which only a loopback listener may do.
    """

    contract: Contract
    clusters: tuple[Cluster, ...]
    listener: Listener = field(default_factory=Listener)
    services: Mapping[str, str] = field(default_factory=_no_services)
    reflection_cluster: str = ""
    health_cluster: str = ""
    access: Access | None = None
    rates: Rates = field(default_factory=Rates)
    aliases: tuple[Alias, ...] = FLOWABLE_ALIASES
    cors_origins: tuple[str, ...] = ()
    stripped_headers: tuple[str, ...] = STRIPPED_HEADERS
    print_defaults: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        # A caller's dict could change under us: the snapshot keeps a copy that cannot.
        object.__setattr__(self, "services", MappingProxyType(dict(self.services)))

    def check(self) -> tuple[Problem, ...]:
        """Everything that Envoy would refuse or, worse, take silently. Empty if the snapshot is sound."""
        return (
            *self._address_problems(),
            *self._cluster_problems(),
            *self._service_problems(),
            *self._policy_problems(),
            *self._rest_problems(),
        )

    def _address_problems(self) -> Iterator[Problem]:
        try:
            loopback = ipaddress.ip_address(self.listener.address).is_loopback
        except ValueError:
            yield Problem(subject=self.listener.address, expected="the listener's address must be an IP address")
            return
        tls = self.listener.tls
        if tls is not None and not (tls.certificate_path.startswith("/") and tls.key_path.startswith("/")):
            yield Problem(subject="tls", expected="certificate and key must be named by absolute paths")
        if not loopback and (self.listener.loopback_only or self.access is None):
            yield Problem(
                subject=self.listener.address,
                expected="without access control only a loopback address may be listened on",
            )

    def _cluster_problems(self) -> Iterator[Problem]:
        for name, times in Counter(cluster.name for cluster in self.clusters).items():
            if times > 1:
                yield Problem(subject=name, expected=f"a cluster's name must be unique, found it {times} times")
        for cluster in self.clusters:
            if not cluster.endpoints and not cluster.followed:
                yield Problem(subject=cluster.name, expected="a cluster needs at least one endpoint")
            for endpoint in cluster.endpoints:
                if not _is_ip_address(endpoint.address):
                    yield Problem(
                        subject=cluster.name, expected=f"an endpoint needs an IP address, found {endpoint.address!r}"
                    )
        known = {cluster.name for cluster in self.clusters}
        for role, name in (("reflection", self.reflection_cluster), ("health", self.health_cluster)):
            if name and name not in known:
                yield Problem(subject=role, expected=f"its cluster {name!r} must be among the clusters")
        for service, name in self.services.items():
            if name not in known:
                yield Problem(subject=service, expected=f"its cluster {name!r} must be among the clusters")

    def _service_problems(self) -> Iterator[Problem]:
        for service in self.services:
            if service not in self.contract.services:
                yield Problem(subject=service, expected="a routed service must be in the descriptor set")

    def _policy_problems(self) -> Iterator[Problem]:
        known = {cluster.name for cluster in self.clusters}
        if self.rates.counting_cluster and self.rates.counting_cluster not in known:
            yield Problem(
                subject="rates", expected=f"their cluster {self.rates.counting_cluster!r} must be among the clusters"
            )
        if self.access is None:
            return
        keys = self.access.keys
        for role, name in (("keys", keys.cluster), ("exchange", self.access.exchange_cluster)):
            if (name or role == "keys") and name not in known:
                yield Problem(subject=role, expected=f"its cluster {name!r} must be among the clusters")
        answered = {binding.matched for method in self.contract.methods_of(keys.service) for binding in method.bindings}
        if f"GET {keys.path}" not in answered:
            yield Problem(subject="keys", expected=f"{keys.service} must bind a method to `GET {keys.path}`")
        if not self.access.issuer or not self.access.audience:
            yield Problem(subject="access", expected="an issuer and an audience must be named")

    def _rest_problems(self) -> Iterator[Problem]:
        claimed: dict[str, str] = {}
        for method in self.contract.methods:
            if method.service not in self.services:
                continue
            if method.http_status not in _SUCCESSES:
                yield Problem(
                    subject=method.path,
                    expected=f"http_status must be 200, 201, 202 or 204, found {method.http_status}",
                )
            for binding in method.bindings:
                other = claimed.setdefault(binding.matched, method.path)
                # The transcoder drops both bindings without a word, and both answer 404.
                if other != method.path:
                    yield Problem(subject=method.path, expected=f"`{binding.matched}` is bound by {other} already")
                if binding.body_may_be_bare_scalar:
                    # A bare number as the whole body never ends for the transcoder, and the request hangs.
                    yield Problem(
                        subject=method.path,
                        expected=f"the body of `{binding.matched}` must be a message, not a scalar or a Value",
                    )
                if binding.response_body and not binding.response_body_is_http_body:
                    yield Problem(
                        subject=method.path, expected="response_body works for fields of type google.api.HttpBody only"
                    )


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
