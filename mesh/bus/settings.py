"""Which bus carries the events, from `FLOWLOOM_BUS_*`: the same for every service of a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client import CollectorRegistry

from mesh.bus import topics
from mesh.clock import Clock
from mesh.settings import SettingsError, setting

if TYPE_CHECKING:
    from mesh.bus.kafka import KafkaBus

Broker: TypeAlias = "KafkaBus"
"""A bus between processes."""
SCHEME: Final = "kafka://"
WEEK_SECONDS: Final = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """Complete and working when nothing is set: then the bus is embedded, over the engine's outbox."""

    url: str = setting("", doc="Kafka, as kafka://host:port,host:port; empty: the embedded bus.")
    topic_prefix: str = setting("", doc="Put before the name of every topic and group, where meshes share a Kafka.")
    create_topics: bool = setting(True, doc="Create the topics that are missing; otherwise somebody else does.")
    partitions: int = setting(12, doc="Partitions of a topic that is created.", minimum=1, maximum=10_000)
    replication: int = setting(-1, doc="Copies of a topic that is created; -1: the broker's default.", minimum=-1)
    retention_seconds: float = setting(WEEK_SECONDS, doc="How long a topic that is created keeps messages.", minimum=60)
    max_message_bytes: int = setting(8 * 1024 * 1024, doc="The largest message; a larger one is parked.", minimum=1024)
    send_seconds: float = setting(20.0, doc="How long a batch may take until the broker counts as away.", minimum=1)
    session_seconds: float = setting(45.0, doc="How long a dead consumer keeps its partitions.", minimum=1)
    instance: str = setting("", doc="A name that stays over restarts (a pod's): static membership in the groups.")
    security_protocol: str = setting("PLAINTEXT", doc="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    sasl_mechanism: str = setting("", doc="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with SASL.")
    username: str = setting("", doc="With SASL.")
    password: str = setting("", doc="With SASL.", secret=True)
    ca_file: str = setting("", doc="Certificates to trust, as PEM; empty: the system's.")
    measure_seconds: float = setting(5.0, doc="How often lags are measured.", minimum=0.1)

    @property
    def is_embedded(self) -> bool:
        """Tell whether there is no broker."""
        return not self.url

    @property
    def servers(self) -> str:
        """Return hosts and ports, comma-separated. Raises SettingsError for a URL of another kind."""
        servers = self.url.removeprefix(SCHEME).rstrip("/")
        if not self.url.startswith(SCHEME) or not all(part.rpartition(":")[2].isdigit() for part in servers.split(",")):
            raise SettingsError((f"FLOWLOOM_BUS_URL: expected {SCHEME}host:port,host:port, found {self.url!r}",))
        return servers


def open_bus(
    settings: BusSettings,
    *,
    registry: CollectorRegistry | None = None,
    clock: Clock | None = None,
    names: Sequence[str] = topics.ALL,
) -> KafkaBus | None:
    """Return the bus of the settings; None: it is embedded, and lives where the engine's outbox is.

    Nothing is connected yet. `names` are the topics that it carries. Raises SettingsError for a URL of another kind.
    """
    if settings.is_embedded:
        return None
    # The client library comes along with this import; an embedded mesh does not need it.
    from mesh.bus.kafka import KafkaBus

    return KafkaBus(settings, names, registry=registry, clock=clock)
