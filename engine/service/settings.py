"""All of the engine's settings, from the parts that they belong to."""

from dataclasses import dataclass, field

from engine.app.sagas.settings import SagaSettings
from engine.app.writers import GroupCommitSettings
from engine.effects.forms import FormsCallSettings
from engine.effects.http_requests import HttpSettings
from engine.jobs.forms import SettlingSettings
from engine.jobs.settings import JobSettings, RelaySettings
from engine.kernel.env import Limits
from engine.settings import DefinitionSettings, LimitSettings, ScriptSettings, StreamSettings, TaskSettings
from mesh.db.database import DatabaseSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The engine's settings, from FLOWLOOM_ENGINE_…; embedded on SQLite when nothing is set."""

    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    commit: GroupCommitSettings = field(default_factory=GroupCommitSettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    scripts: ScriptSettings = field(default_factory=ScriptSettings)
    definitions: DefinitionSettings = field(default_factory=DefinitionSettings)
    streams: StreamSettings = field(default_factory=StreamSettings)
    relay: RelaySettings = field(default_factory=RelaySettings)
    tasks: TaskSettings = field(default_factory=TaskSettings)
    sagas: SagaSettings = field(default_factory=SagaSettings)
    forms: FormsCallSettings = field(default_factory=FormsCallSettings)
    settling: SettlingSettings = field(default_factory=SettlingSettings)


def command_limits(settings: LimitSettings) -> Limits:
    """The bounds of one command as the kernel takes them."""
    return Limits(
        steps=settings.steps,
        loop_turns=settings.loop_turns,
        variable_bytes=settings.variable_bytes,
        call_depth=settings.call_depth,
        job_retries=settings.job_retries,
        retry_base_seconds=settings.retry_base_seconds,
        retry_max_seconds=settings.retry_max_seconds,
    )
