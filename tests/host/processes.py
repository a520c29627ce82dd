"""A mesh as in production: every service a process of its own, on a MariaDB, a Redis and a Kafka that are real."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from mesh.testing.kafka import Kafka
from mesh.testing.mariadb import MariaDb, running_mariadb
from mesh.testing.ports import free_port
from mesh.testing.redis import Redis, running_redis

PASSWORD: Final = "the administrator's own"
LONGEST_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.1
CHECKOUT: Final = Path(__file__).parents[2]
DATABASES: Final = ("engine", "identity", "forms", "notify", "history")
SHARED: Final = {
    "PYTHONPATH": str(CHECKOUT),
    "FLOWLOOM_ACCESS_MODE": "enforced",
    "FLOWLOOM_ACCESS_SERVICE_KEY": "a-secret-that-all-services-of-the-test-share",
    # The machine of a test is a loaded one: slow is not away.
    "FLOWLOOM_SERVER_PROBE_TIMEOUT_SECONDS": "5",
    "FLOWLOOM_BUS_PARTITIONS": "2",
    "FLOWLOOM_BUS_SESSION_SECONDS": "6",
    "FLOWLOOM_GATEWAY_FOLLOW_TIMEOUT_SECONDS": "5",
    "FLOWLOOM_GATEWAY_LIMITS_HEALTH_TIMEOUT_SECONDS": "5",
    "FLOWLOOM_IDENTITY_PASSWORDS_MEMORY_KIB": "64",
    # One login lasts for the whole run.
    "FLOWLOOM_IDENTITY_TOKENS_ACCESS_SECONDS": "3600",
}
"""Passwords are hashed with so little memory for the test's sake only."""


class Served:
    """One `flowloom serve` as a process: started, killed, stopped in good order, started again on the same ports."""

    def __init__(self, name: str, service: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Nothing runs yet; `name` tells replicas of a service apart."""
        self.name = name
        self.port = free_port()
        self.observation_port = free_port()
        self._log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", "host", "serve", service]
        self._folder = folder
        self._shared = environment
        self._own = {
            "FLOWLOOM_SERVER_PORT": str(self.port),
            "FLOWLOOM_SERVER_OBSERVATION_PORT": str(self.observation_port),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """By a name, as production has it."""
        return f"localhost:{self.port}"

    @property
    def ip_address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("FLOWLOOM_")}
        environment = {**ours, **self._shared, **self._own}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment, cwd=self._folder)

    def is_ready(self) -> bool:
        """Tell whether it says so; raises if it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended with {self._process.returncode}:\n{self.log()}"
        return _get(self.observation_port, "/ready")[0] == HTTPStatus.OK

    @property
    def is_running(self) -> bool:
        """Tell whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def is_waiting(self) -> bool:
        """Tell whether it has found its database away."""
        return "waiting for the database" in self.log()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> int:
        """End it in good order; return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(LONGEST_SECONDS)

    def restart(self) -> None:
        """Start it again, and return once it is ready."""
        self.start()
        until(self.is_ready, self.log)

    def log(self) -> str:
        """The end of what it said."""
        return f"--- {self.name}\n{self._log.read_text(errors='replace')[-3000:]}" if self._log.exists() else ""

    def calls(self, method: str) -> float:
        """How many calls of a method it has answered."""
        _, text = _get(self.observation_port, "/metrics")
        lines = (line for line in text.splitlines() if line.startswith("grpc_server_handled_total{"))
        return sum(float(line.rpartition(" ")[2]) for line in lines if f'"{method}"' in line)

    def cpu_seconds(self) -> float:
        """User and system time so far; 0 if it does not run."""
        assert self._process is not None
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0


class Processes:
    """All of them: two engines, two histories, one of each other service, and the servers that they need."""

    def __init__(self, folder: Path, database: MariaDb, redis: Redis, kafka: Kafka) -> None:
        self.book: list[str] = []
        """What was acknowledged: to be there at the end."""
        self.headers: dict[str, str] = {}
        """The administrator's credentials, once there are some."""
        self.database, self.redis, self.kafka = database, redis, kafka
        self.topic_prefix = f"processes-{database.port}."
        shared = {
            **SHARED,
            "FLOWLOOM_BUS_URL": kafka.url,
            "FLOWLOOM_BUS_TOPIC_PREFIX": self.topic_prefix,
            "FLOWLOOM_CACHE_URL": redis.url,
        }
        for name in DATABASES:
            url = database.create_database(name)
            shared[f"FLOWLOOM_{name.upper()}_DATABASE_URL"] = url
        shared["FLOWLOOM_IDENTITY_ADMIN_PASSWORD"] = PASSWORD
        self.mail = folder / "mail"
        shared["FLOWLOOM_NOTIFY_MAIL_FOLDER"] = str(self.mail)
        # One environment for all, as one file of settings would be: it is complete before the first one starts.
        self.identity = Served("identity", "identity", folder, shared)
        self.forms = Served("forms", "forms", folder, shared)
        self.notify = Served("notify", "notify", folder, shared)
        self.engines = tuple(Served(f"engine-{n}", "engine", folder, shared) for n in (1, 2))
        self.histories = tuple(Served(f"history-{n}", "history", folder, shared) for n in (1, 2))
        self.gateway = Served("gateway", "gateway", folder, shared)
        shared["FLOWLOOM_ADDRESS_IDENTITY"] = self.identity.address
        shared["FLOWLOOM_ADDRESS_FORMS"] = self.forms.address
        shared["FLOWLOOM_ADDRESS_NOTIFY"] = self.notify.address
        # Several by their IP addresses; in production one name stands for all.
        shared["FLOWLOOM_ADDRESS_ENGINE"] = ",".join(each.ip_address for each in self.engines)
        shared["FLOWLOOM_ADDRESS_HISTORY"] = ",".join(each.ip_address for each in self.histories)
        self.edge_port = free_port()
        shared["FLOWLOOM_GATEWAY_PORT"] = str(self.edge_port)
        shared["FLOWLOOM_GATEWAY_CONFIG_DIRECTORY"] = str(folder / "edge")
        self.edge = f"http://127.0.0.1:{self.edge_port}"

    @property
    def everybody(self) -> tuple[Served, ...]:
        return (self.identity, self.forms, *self.engines, self.notify, *self.histories, self.gateway)

    def start(self) -> None:
        """Start all at once, before their database and Redis; return when the edge finds every service."""
        self.database.kill()
        self.redis.kill()
        for each in self.everybody:
            each.start()
        for each in self.everybody:
            if each is not self.gateway:
                until(each.is_waiting, each.log)
        self.database.start()
        self.redis.start()
        for each in self.everybody:
            until(each.is_ready, each.log)
        until(self.is_ready, self.logs)

    def heal(self) -> None:
        """Start again whatever was lost and not brought back; return when all of it is ready."""
        for server in (self.database, self.redis, self.kafka):
            if not server.running:
                server.start()
        lost = [each for each in self.everybody if not each.is_running]
        for each in lost:
            each.start()
        for each in lost:
            until(each.is_ready, each.log)

    def is_ready(self) -> bool:
        return _get(self.edge_port, "/ready")[0] == HTTPStatus.OK

    def messages_on(self, topic: str) -> int:
        """How many messages a topic has got."""
        consumer = Consumer({"bootstrap.servers": self.kafka.address, "group.id": "test"})
        try:
            name = self.topic_prefix + topic
            partitions = consumer.list_topics(name, timeout=LONGEST_SECONDS).topics[name].partitions
            places = [TopicPartition(name, number) for number in partitions]
            return sum(consumer.get_watermark_offsets(place, timeout=LONGEST_SECONDS)[1] for place in places)
        finally:
            consumer.close()

    def logs(self) -> str:
        return "\n".join(each.log() for each in self.everybody)

    def kill(self) -> None:
        for each in self.everybody:
            each.kill()


@contextlib.contextmanager
def running_processes(folder: Path, kafka: Kafka) -> Iterator[Processes]:
    """Run the mesh; nothing of it is left afterwards but logs in the folder."""
    with running_mariadb() as database, running_redis() as redis:
        mesh = Processes(folder, database, redis, kafka)
        try:
            mesh.start()
            yield mesh
        finally:
            mesh.kill()


def _get(port: int, path: str) -> tuple[int, str]:
    """Status and text of an answer; (0, "") if nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def until(holds: Callable[[], bool], told: Callable[[], str], seconds: float = LONGEST_SECONDS) -> None:
    """Wait for a condition; `told` says what there is to say if it never comes."""
    give_up_at = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up_at, f"expected a condition within {seconds} s, found:\n{told()}"
        time.sleep(LOOK_SECONDS)  # other processes tell nobody
