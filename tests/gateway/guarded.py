"""An edge that asks who calls: keys that sign, an identity for tests, the gateway's own services, and Envoy."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway.app.counting import Counters, CountRequests, limit_table
from gateway.app.exchanging import ExchangeCache
from gateway.effects.envoy_process import EnvoyProcess
from gateway.model.contract import RouteClass
from gateway.model.credentials import Credentials, Exchanged
from gateway.model.policies import Access, Keys, Rates
from gateway.model.snapshot import Cluster, Endpoint, Snapshot
from gateway.rpc.authorization import AuthorizationServicer
from gateway.rpc.rate_limits import RateLimitServicer
from gateway.settings import ExchangeSettings, Limits, RateSettings
from mesh.errors import DomainError, PermissionDenied, Unauthenticated
from mesh.testing.ports import free_port
from tests.gateway.edges import MAX_BODY_BYTES, client_of, sample_snapshot, until
from tests.gateway.sample_service import SERVICE, SampleServer

OUTSIDE_ISSUER = "https://outside.example"
API_TOKEN = "flt_kermits-token"


class SigningKey:
    """A key of the issuer."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self._key = ec.generate_private_key(ec.SECP256R1())

    def jwk(self) -> dict[str, Any]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {**public, "kid": self.key_id, "use": "sig", "alg": "ES256"}

    def token(self, user: str = "kermit", **claims: Any) -> str:
        """A token as identity makes it; a claim given as None is left out."""
        now = int(time.time())  # noqa: TID251 - Envoy looks at the real clock
        usual = {"iss": "flowloom", "aud": "flowloom", "sub": user, "tenant": "acme", "iat": now, "exp": now + 600}
        kept = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(kept, self._key, algorithm="ES256", headers={"kid": self.key_id})


def jwks(*keys: SigningKey) -> bytes:
    return json.dumps({"keys": [key.jwk() for key in keys]}).encode()


class FakeIdentity:
    """Knows kermit by his password and by his API token; counts what it is asked, and may be away."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key
        self.password = "green"
        self.asked: list[Credentials] = []
        self.failure: DomainError | None = None
        self.minted = 0

    async def exchange(self, credentials: Credentials) -> Exchanged:
        self.asked.append(credentials)
        if self.failure is not None:
            raise self.failure
        if credentials.outside_token:
            return self._of_an_outside_token(credentials.outside_token)
        known = (credentials.user_id, credentials.password) == ("kermit", self.password)
        if not known and credentials.api_token != API_TOKEN:
            raise Unauthenticated("bad-credentials", "expected the right password")
        self.minted += 1
        token = self.key.token("kermit", jti=str(self.minted))
        return Exchanged(token=token, user_id="kermit", expires_at=time.time() + 600)  # noqa: TID251

    def _of_an_outside_token(self, token: str) -> Exchanged:
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as unreadable:
            raise Unauthenticated("bad-credentials", "expected a token") from unreadable
        if claims["iss"] != OUTSIDE_ISSUER:
            raise Unauthenticated("bad-credentials", "expected a token of somebody whom we trust")
        if claims["sub"] != "piggy":
            raise PermissionDenied("unknown-user", "expected a user who is known here")
        return Exchanged(token=self.key.token("piggy"), user_id="piggy", expires_at=time.time() + 600)  # noqa: TID251


class Nothing:
    """Counters of nobody."""

    async def add(self, additions: Any) -> None:
        return None


class GatewayServer:
    """The gateway's services for Envoy, on a port of their own."""

    def __init__(self, identity: FakeIdentity, counters: Counters, rates: RateSettings) -> None:
        self.port = free_port()
        # Counts of a test belong to one window, which does not end meanwhile.
        counted_at = time.time()  # noqa: TID251
        now = time.time  # noqa: TID251
        self.cache = ExchangeCache(identity, ExchangeSettings(), now)
        self._authorization = AuthorizationServicer(self.cache, retry_after_seconds=5)
        self._rate_limits = RateLimitServicer(CountRequests(counters, limit_table(rates), lambda: counted_at))
        self._server: Any = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._authorization.add_to(self._server)
        self._rate_limits.add_to(self._server)
        serving = health.aio.HealthServicer()
        await serving.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(serving, self._server)
        assert self._server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedEdge:
    """What a test needs."""

    envoy: EnvoyProcess
    server: SampleServer
    gateway: GatewayServer
    identity: FakeIdentity
    client: httpx.AsyncClient
    port: int

    @property
    def key(self) -> SigningKey:
        return self.identity.key

    def seen(self) -> Mapping[str, str]:
        """The metadata of the last call that the service got."""
        return self.server.seen[-1][1]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def guarded_snapshot(port: int, server: SampleServer, gateway: GatewayServer, **changes: Any) -> Snapshot:
    near = Cluster(name="gateway", endpoints=(Endpoint(address="127.0.0.1", port=gateway.port),))
    items = Cluster(name="items", endpoints=(Endpoint(address="127.0.0.1", port=server.port),))
    settings = {
        "clusters": (items, near),
        "access": Access(
            keys=Keys(cluster="items", service=SERVICE, path="/process-api/keys"), exchange_cluster="gateway"
        ),
        "limits": Limits(
            max_body_bytes=MAX_BODY_BYTES,
            call_seconds=5.0,
            health_interval_seconds=0.2,
            health_timeout_seconds=5.0,
            keys_refresh_seconds=0.2,
            clock_skew_seconds=1,
        ),
    }
    return sample_snapshot(port, server.port, **{**settings, **changes})


@contextlib.asynccontextmanager
async def guarded(
    directory: Path, *, counters: Counters | None = None, rates: RateSettings | None = None, **changes: Any
) -> AsyncIterator[GuardedEdge]:
    """Start the sample service, the gateway's services and an Envoy that asks who calls; end them, whatever happens."""
    server, identity = SampleServer(free_port()), FakeIdentity(SigningKey("first"))
    server.keys = jwks(identity.key)
    gateway = GatewayServer(identity, counters or Nothing(), rates or RateSettings())
    port = free_port()
    if counters is not None:
        changes.setdefault("rates", Rates(counting_cluster="gateway"))
    envoy = EnvoyProcess(directory, guarded_snapshot(port, server, gateway, **changes))
    await asyncio.gather(server.start(), gateway.start())
    try:
        await envoy.start()
        async with client_of(port) as client:
            edge = GuardedEdge(envoy=envoy, server=server, gateway=gateway, identity=identity, client=client, port=port)
            await until(lambda: ready(edge))
            yield edge
    finally:
        await envoy.drain_and_stop()
        await asyncio.gather(server.stop(), gateway.stop())


async def ready(edge: GuardedEdge) -> bool:
    """Whether everything is there: services, keys, exchange."""
    answers = [
        await edge.client.get("/process-api/items/7", headers=headers)
        for headers in (bearer(edge.key.token()), basic("kermit", edge.identity.password))
    ]
    return [answer.status_code for answer in answers] == [200, 200]


LOGIN_RATE = Rates(local_per_second={RouteClass.LOGIN: 3})
