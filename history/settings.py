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
class HistorySettings:
    """Complete and working when nothing is set."""

    database: HistoryDatabase = field(default_factory=HistoryDatabase)
    bus: GroupSettings = field(default_factory=GroupSettings)
    topic: str = setting(TOPIC, doc="The topic that carries the engine's events.")
    group: str = setting("history", doc="The consumer group: the name under which the bus remembers the offset.")
    migrate: bool = setting(True, doc="Bring the tables up to date at the start.")
    lag_interval_seconds: float = setting(5.0, doc="How often the lag behind the engine is measured.", minimum=0.1)
