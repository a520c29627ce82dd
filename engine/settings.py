"""What an operator can set of the engine beside what its parts say themselves; all of it works unset."""

from dataclasses import dataclass

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Bounds of one command; what exceeds them is refused with the limit's name."""

    steps: int = setting(50_000, doc="Elements that one command may enter before it must wait.", minimum=10)
    loop_turns: int = setting(10_000, doc="Turns of one multi-instance activity.", minimum=1)
    variable_bytes: int = setting(4 * 1024 * 1024, doc="Size of one variable as JSON.", minimum=1024)
    call_depth: int = setting(32, doc="Nesting of call activities.", minimum=1)
    job_retries: int = setting(3, doc="Tries of a job before it is dead.", minimum=1)
    retry_base_seconds: float = setting(2.0, doc="Pause before the second try of a job; doubles with each.", minimum=0)
    deployment_files: int = setting(1000, doc="Files of one deployment, archives unpacked.", minimum=1)
    deployment_bytes: int = setting(64 * 1024 * 1024, doc="Size of all files of one deployment.", minimum=1024)
    model_bytes: int = setting(10 * 1024 * 1024, doc="Size of one BPMN document.", minimum=1024)
    model_depth: int = setting(128, doc="How deep a document may nest its elements.", minimum=8, maximum=250)
    retry_max_seconds: float = setting(3600.0, doc="The longest pause between two tries of a job.", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSettings:
    """Bounds of a script task."""

    seconds: float = setting(1.0, doc="How long a script may run.", minimum=0.01)
    memory_bytes: int = setting(64 * 1024 * 1024, doc="How much memory a script may take.", minimum=1024 * 1024)
    source_bytes: int = setting(256 * 1024, doc="How long a script may be.", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionSettings:
    """How compiled definitions are kept."""

    kept: int = setting(500, doc="Compiled definitions kept in memory at most.", minimum=1)
    kept_seconds: float = setting(3600.0, doc="How long a compiled definition is kept.", minimum=1)
    fresh_seconds: float = setting(1.0, doc="How long another process's deployment may go unnoticed.", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """Who sees and does tasks, and how long lists of them are kept."""

    cached_seconds: float = setting(600.0, doc="How long the list of a user's open tasks is cached; 0: not at all.")
    cached_pages: int = setting(10_000, doc="Pages of such lists that the memory of a process keeps.", minimum=1)

    restricted: bool = setting(
        True,
        doc="People without the privilege engine.task.manage see and do their own tasks only: as assignee, owner or "
        "candidate. Off, as in Flowable, the privileges of the methods alone decide.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """Bounds of a batch stream."""

    in_flight: int = setting(1024, doc="Commands of one stream under way at once; then it is not read.", minimum=1)
