"""What the edge asks of requests before a service sees them: who sends them, and how many they may send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.model.contract import RouteClass

#: Headers that the edge writes from a verified token.
USER_HEADER: Final = "x-user"
TENANT_HEADER: Final = "x-tenant"
#: A client may send its API token here instead of in `authorization`.
API_KEY_HEADER: Final = "x-api-key"
#: What every API token begins with, so that it is not taken for a JWT.
API_TOKEN_PREFIX: Final = "flt_"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where Envoy fetches the issuer's public keys: a GET of `path`, answered by `service` in `cluster`."""

    cluster: str
    service: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Every method that the contract does not call public needs a token of this issuer for this audience.

    HTTP Basic and API tokens (those that begin with `api_token_prefix`) are exchanged for such a token by external
    authorization in `exchange_cluster`; while that is empty they are refused. With `outside_tokens`, bearer tokens that
    are not of this issuer are exchanged, too: they may be of an outside issuer that identity trusts.
    """

    keys: Keys
    issuer: str = "flowloom"
    audience: str = "flowloom"
    api_token_prefix: str = API_TOKEN_PREFIX
    exchange_cluster: str = ""
    outside_tokens: bool = False


def _no_rates() -> Mapping[RouteClass, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How many requests are taken. A class without a number (or with 0) is not limited.

    `local_per_second` counts each method by itself, in this Envoy alone. The requests of a principal over all Envoys
    are counted by the rate limit service in `counting_cluster`; while that is empty they are not.
    """

    local_per_second: Mapping[RouteClass, int] = field(default_factory=_no_rates)
    counting_cluster: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "local_per_second", MappingProxyType(dict(self.local_per_second)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The edge's certificate chain and private key: PEM files where Envoy runs, read again when they are replaced."""

    certificate_path: str
    key_path: str
