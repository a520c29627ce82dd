"""Settings of what runs by the clock."""

from dataclasses import dataclass

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are executed."""

    manual_jobs: bool = setting(False, doc="For tests: no job runs by itself; RunJobs and AdvanceClock execute them.")
    job_batch: int = setting(
        128, doc="Timers and continuations that one transaction executes.", minimum=1, maximum=1000
    )
    job_look_seconds: float = setting(
        2.0, doc="How often the executor looks by itself, for what other processes schedule.", minimum=0.01
    )
    outside_lease_seconds: float = setting(
        30.0, doc="How long a dead process keeps its outside work from the others.", minimum=1
    )
    outside_in_flight: int = setting(64, doc="Outside work under way at once in one process.", minimum=1)
    outside_grace_seconds: float = setting(5.0, doc="How long work under way may take when the process ends.")
    request_retention_seconds: float = setting(
        3600.0, doc="How long a repeated request id gets its first answer, and outbox rows are kept.", minimum=1
    )
    prune_look_seconds: float = setting(60.0, doc="How often old outbox rows are taken away.", minimum=0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """How the outbox is shipped to a broker."""

    batch_rows: int = setting(500, doc="Outbox rows that one batch ships.", minimum=1, maximum=10_000)
    poll_seconds: float = setting(0.1, doc="How often to look for rows of other processes when nobody wakes.")
    linger_seconds: float = setting(0.005, doc="How long to gather a batch once woken.")
    grace_seconds: float = setting(2.0, doc="How long a batch under way may take when the process ends.")
    measure_seconds: float = setting(5.0, doc="How often the lag is measured.", minimum=0.1)
    business_retention_seconds: float = setting(
        7 * 24 * 3600.0, doc="How long business events are kept where no broker keeps them.", minimum=60
    )
