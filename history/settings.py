"""What can be set about history, from `FLOWLOOM_HISTORY_*`."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.bus.ports import GroupSettings
from mesh.db.database import DatabaseSettings
from mesh.settings import setting

TOPIC = "flowable.history"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryDatabase(DatabaseSettings):
    """History's own database; a file of its own where it is SQLite."""

    url: str = setting("sqlite:///flowloom-history.db", doc="MySQL, MariaDB or SQLite of its own.", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Where instances go that are long over, and how. Nothing goes without a URL and a policy."""

    url: str = setting("", doc="A path, file:// or s3://bucket/folder; empty: no archive.")
    s3_endpoint_url: str = setting("", doc="Of S3-compatible storage other than Amazon's, such as http://minio:9000.")
    s3_region: str = setting("", doc="The storage's region.")
    s3_access_key: str = setting("", doc="Key of the storage; empty: as the AWS tools find it.", secret=True)
    s3_secret_key: str = setting("", doc="The key's secret.", secret=True)
    timeout_seconds: float = setting(30.0, doc="How long the storage may take to connect or answer.", minimum=0.1)
    look_seconds: float = setting(3600.0, doc="How often what is due is looked for.", minimum=0.1)
    instances_per_file: int = setting(500, doc="The most trees of instances in one file.", minimum=1, maximum=5_000)
    orphan_seconds: float = setting(3600.0, doc="How old a file must be that no row knows of to be deleted.", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """A search engine beside the database; without one, the database is searched."""

    url: str = setting("", doc="OpenSearch or Elasticsearch, such as https://search:9200; empty: the database.")
    index: str = setting("flowloom-history", doc="The name of the index.")
    user: str = setting("", doc="Who history is there; empty: nobody.")
    password: str = setting("", doc="The user's password.", secret=True)
    ca_file: str = setting("", doc="Certificates that are trusted; empty: the system's.")
    timeout_seconds: float = setting(10.0, doc="How long an answer may take.", minimum=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySettings:
    """Complete and working when nothing is set."""

    database: HistoryDatabase = field(default_factory=HistoryDatabase)
    bus: GroupSettings = field(default_factory=GroupSettings)
    topic: str = setting(TOPIC, doc="The topic that carries the engine's events.")
    group: str = setting("history", doc="The consumer group: the name under which the bus remembers the offset.")
    migrate: bool = setting(True, doc="Bring the tables up to date at the start.")
    erasure_key: str = setting("", doc="Signs the proofs of erasures; empty: they are hashed only.", secret=True)
    search: SearchSettings = field(default_factory=SearchSettings)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    rebuild_lease_seconds: float = setting(
        30.0, doc="After so long without a sign of life a rebuild is taken up by another process.", minimum=0.1
    )
    lag_interval_seconds: float = setting(5.0, doc="How often the lag behind the engine is measured.", minimum=0.1)
