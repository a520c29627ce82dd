"""What an operator can set of the engine. Everything works unset: embedded on SQLite."""

from dataclasses import dataclass, field

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Bounds of one command; what exceeds them is refused with the limit's name."""

    steps: int = setting(10_000, doc="Elements that one command may enter before it must wait.", minimum=10)
    loop_turns: int = setting(10_000, doc="Turns of one multi-instance activity.", minimum=1)
    variable_bytes: int = setting(4 * 1024 * 1024, doc="Size of one variable as JSON.", minimum=1024)
    call_depth: int = setting(32, doc="Nesting of call activities.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitSettings:
    """How commands share transactions."""

    batch_limit: int = setting(64, doc="Commands that one transaction takes at most.", minimum=1, maximum=1024)
    writers: int = setting(
        0, doc="Writers at work beside each other; 0: one on SQLite, two on MySQL.", minimum=0, maximum=16
    )
    queue_limit: int = setting(10_000, doc="Commands that may wait; more are refused as RESOURCE_EXHAUSTED.", minimum=1)
    request_retention_seconds: float = setting(
        3600.0, doc="How long a repeated request id gets its first answer.", minimum=60
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are run, leased and tried again."""

    retries: int = setting(3, doc="Tries of a job before it is dead.", minimum=1)
    retry_base_seconds: float = setting(2.0, doc="Pause before the second try; doubles with each.", minimum=0.01)
    retry_max_seconds: float = setting(3600.0, doc="The longest pause between two tries.", minimum=0.01)
    lease_seconds: float = setting(
        10.0, doc="How long an outside task is leased; extended while its holder lives.", minimum=0.5
    )
    batch_limit: int = setting(64, doc="Due jobs that one transaction takes at most.", minimum=1, maximum=1024)
    manual: bool = setting(False, doc="For tests: jobs run only by RunJobs and AdvanceClock.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSettings:
    """Bounds of a script task."""

    time_limit_seconds: float = setting(1.0, doc="How long a script may run.", minimum=0.01)
    memory_limit_bytes: int = setting(32 * 1024 * 1024, doc="How much memory a script may take.", minimum=1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTaskSettings:
    """What HTTP tasks may do."""

    private_addresses: bool = setting(False, doc="Whether HTTP tasks may reach private and loopback addresses.")
    response_bytes: int = setting(4 * 1024 * 1024, doc="The largest answer taken.", minimum=1024)
    concurrency: int = setting(32, doc="HTTP tasks under way at once.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine's settings, read once from FLOWLOOM_ENGINE_…."""

    database_url: str = setting(
        "sqlite:///.flowloom/engine.db", doc="SQLAlchemy URL of its database (MySQL or SQLite).", secret=True
    )
    read_connections: int = setting(4, doc="Connections for queries.", minimum=1)
    definition_cache_seconds: float = setting(3600.0, doc="How long a compiled definition is kept.", minimum=1)
    definition_cache_size: int = setting(1000, doc="Compiled definitions kept at most.", minimum=1)
    limits: LimitSettings = field(default_factory=LimitSettings)
    commit: CommitSettings = field(default_factory=CommitSettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    scripts: ScriptSettings = field(default_factory=ScriptSettings)
    http: HttpTaskSettings = field(default_factory=HttpTaskSettings)
