"""`flowloom serve gateway` before an engine and an identity that run alone: control plane, exchange, rates, Envoy."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.testing.ports import free_port
from mesh.testing.redis import Redis
from tests.gateway.guarded import basic, bearer

pytestmark = pytest.mark.envoy

PASSWORD = "a-password-of-the-test"
TASKS = "/process-api/runtime/tasks"
# Three processes start and migrate beside each other, perhaps on a loaded machine.
LONGEST_SECONDS = 240.0


class Alone:
    """One service in a process of its own."""

    def __init__(self, service: str, folder: Path, environment: dict[str, str]) -> None:
        self.service = service
        self.port = free_port()
        self._folder = folder
        self._environment = {**os.environ, **environment, "FLOWLOOM_SERVER_PORT": str(self.port)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / f"{self.service}.log").open("ab") as log:
            command = [sys.executable, "-m", "host", "serve", self.service]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment, cwd=self._folder)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """End it in good order; the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def log(self) -> str:
        return (self._folder / f"{self.service}.log").read_text()


@contextlib.contextmanager
def services(folder: Path) -> Iterator[tuple[dict[str, Alone], str]]:
    """An engine, an identity and a gateway with its Envoy; the address of the edge."""
    redis = Redis(folder)
    redis.start()
    shared = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "FLOWLOOM_ACCESS_MODE": "enforced",
        "FLOWLOOM_ACCESS_SERVICE_KEY": "a-secret-that-all-services-of-the-test-share",
        "FLOWLOOM_SERVER_PROBE_INTERVAL_SECONDS": "0.2",
        "FLOWLOOM_SERVER_LAME_DUCK_SECONDS": "0.2",
    }
    identity = Alone(
        "identity",
        folder,
        {
            **shared,
            "FLOWLOOM_IDENTITY_DATABASE_URL": f"sqlite:///{folder}/identity.db",
            "FLOWLOOM_IDENTITY_ADMIN_PASSWORD": PASSWORD,
        },
    )
    nearby = {"FLOWLOOM_ADDRESS_IDENTITY": f"localhost:{identity.port}"}
    engine = Alone(
        "engine", folder, {**shared, **nearby, "FLOWLOOM_ENGINE_DATABASE_URL": f"sqlite:///{folder}/engine.db"}
    )
    edge_port = free_port()
    gateway = Alone(
        "gateway",
        folder,
        {
            **shared,
            "FLOWLOOM_ADDRESS_IDENTITY": f"127.0.0.1:{identity.port}",
            # The second process does not exist: the gateway finds out.
            "FLOWLOOM_ADDRESS_ENGINE": f"127.0.0.1:{engine.port},127.0.0.1:{free_port()}",
            "FLOWLOOM_GATEWAY_PORT": str(edge_port),
            "FLOWLOOM_GATEWAY_CONFIG_DIRECTORY": str(folder / "edge"),
            "FLOWLOOM_GATEWAY_FOLLOW_INTERVAL_SECONDS": "0.2",
            "FLOWLOOM_GATEWAY_FOLLOW_TIMEOUT_SECONDS": "5",
            "FLOWLOOM_GATEWAY_LIMITS_HEALTH_INTERVAL_SECONDS": "0.2",
            "FLOWLOOM_GATEWAY_LIMITS_HEALTH_TIMEOUT_SECONDS": "5",
            "FLOWLOOM_GATEWAY_RATES_REDIS_URL": redis.url,
            "FLOWLOOM_GATEWAY_RATES_REDIS_TIMEOUT_SECONDS": "5",
            "FLOWLOOM_GATEWAY_LIMITS_COUNTING_SECONDS": "5",
        },
    )
    found = {each.service: each for each in (identity, engine, gateway)}
    try:
        for each in found.values():
            each.start()
        yield found, f"http://127.0.0.1:{edge_port}"
    finally:
        for each in found.values():
            each.kill()
        redis.kill()


def until(probe: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if probe():
                return
        time.sleep(0.05)
    raise TimeoutError(told()[-3000:])


def test_a_gateway_of_its_own_finds_guards_and_follows_the_services(tmp_path: Path) -> None:
    with services(tmp_path) as (found, address), httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        gateway_log = found["gateway"].log

        def status(headers: dict[str, str]) -> int:
            return client.get(TASKS, headers=headers).status_code

        until(lambda: client.get("/ready").status_code == 200, gateway_log)
        login = client.post("/identity-api/login", json={"userId": "admin", "password": PASSWORD}).json()
        token = bearer(login["accessToken"])
        until(lambda: status(token) == 200, gateway_log)
        until(lambda: status(basic("admin", PASSWORD)) == 200, gateway_log)
        counted = client.get(TASKS, headers=token).headers
        refused = [status({}), status(basic("admin", "wrong"))]
        page = client.get("/docs")
        with grpc.insecure_channel(address.removeprefix("http://")) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)

        # Without identity, whoever is known is let through, and nobody else is.
        found["identity"].kill()
        until(lambda: status(basic("admin", "another")) == 503, gateway_log)
        known = [status(token), status(basic("admin", PASSWORD))]

        # The engine is killed and comes back.
        found["engine"].kill()
        until(lambda: status(token) == 503, gateway_log)
        found["identity"].start()
        found["engine"].start()
        until(lambda: status(token) == 200, gateway_log)
        ended = found["gateway"].stop()

    assert refused == [401, 401]
    assert counted["x-ratelimit-limit"].startswith("6000, ")
    assert page.status_code == 200
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert known == [200, 200]
    assert ended == 0
    assert "refuses" not in gateway_log()
