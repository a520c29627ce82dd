"""What an operator can do to jobs, and what a test can do to the clock and the executor."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from engine.app.jobs import RunsJobs
from engine.app.queries import JobQueries, JobView
from engine.app.submitting import Bundles, first_answer
from engine.kernel import commands as cmd
from engine.kernel.errors import FAILED_PRECONDITION, NOT_FOUND, Refused, failed, invalid
from engine.kernel.registry import Registry
from mesh.clock import Clock, ManualClock
from mesh.errors import NotFound

JOBS, TIMERS, DEAD, SUSPENDED, WORKERS = (
    "jobs",
    "timer-jobs",
    "deadletter-jobs",
    "suspended-jobs",
    "external-worker-jobs",
)
KINDS: Final = (JOBS, TIMERS, SUSPENDED, DEAD, WORKERS)
HTTP_HANDLER: Final = "http-request"
MAX_MOVED: Final = 1000
BATCH: Final = 64
"""How many jobs a manual run takes at a time."""
MAX_RUNS: Final = 100_000
"""Jobs that one manual run executes at most: a model that schedules for ever must not hang its test."""


class JobOperations:
    """An operator's changes of jobs. A job is found only where it is said to lie: NotFound otherwise."""

    def __init__(self, *, queries: JobQueries, commands: Bundles, runs: RunsJobs, now: Callable[[], datetime]) -> None:
        self._queries = queries
        self._commands = commands
        self._runs = runs
        self._now = now

    async def delete(self, kind: str, job_id: str, *, user_id: str = "", request_id: str = "") -> None:
        """Raises Refused: FAILED_PRECONDITION while somebody executes it."""
        job = await self._job(kind, job_id, request_id)
        if job is None:
            return
        self._require_free(job)
        await self._commands.submit(cmd.DeleteJob(job_id=job_id, user_id=user_id), request_id=request_id)

    async def execute(self, job_id: str, *, user_id: str = "", request_id: str = "") -> None:
        """Execute a due job in this call. A failure counts as an attempt. Raises Refused: FAILED_PRECONDITION."""
        job = await self._job(JOBS, job_id, request_id)
        if job is None:
            return
        self._require_free(job)
        if job.handler_type == HTTP_HANDLER:
            if not await self._runs.run_now(job_id):
                raise _executing(job_id)
            return
        try:
            await self._commands.submit(cmd.ExecuteJob(job_id=job_id, user_id=user_id), request_id=request_id)
        except Refused as refused:
            if refused.status == NOT_FOUND or refused.reason == "process-instance-suspended":
                raise
            await self._commands.submit(cmd.FailJob(job_id=job_id, error=refused.message))
            raise Refused(FAILED_PRECONDITION, refused.reason, refused.message, **refused.facts) from refused

    async def move_timer(self, job_id: str, *, user_id: str = "", request_id: str = "") -> None:
        """Make a timer due now."""
        if await self._job(TIMERS, job_id, request_id) is None:
            return
        await self._change(cmd.ChangeJob(job_id=job_id, move="executable", user_id=user_id), request_id)

    async def reschedule_timer(self, job_id: str, due_at: datetime, *, user_id: str = "", request_id: str = "") -> None:
        """Give a timer another due date."""
        if await self._job(TIMERS, job_id, request_id) is None:
            return
        await self._change(cmd.ChangeJob(job_id=job_id, due_at=due_at, user_id=user_id), request_id)

    async def revive(
        self, job_ids: Sequence[str], retries: int | None, *, user_id: str = "", request_id: str = ""
    ) -> None:
        """Make dead jobs executable again, all or none.

        Raises Refused: NOT_FOUND for one that is not dead, INVALID_ARGUMENT for no job or no retry.
        """
        if not 1 <= len(job_ids) <= MAX_MOVED:
            raise invalid("bad-count", f"expected 1 to {MAX_MOVED} jobs, found {len(job_ids)}")
        if retries is not None and retries < 1:
            raise invalid("bad-retries", f"expected at least 1 retry, found {retries}")
        commands = [
            cmd.ChangeJob(job_id=job_id, move="revive", retries=retries, user_id=user_id)
            for job_id in dict.fromkeys(job_ids)
        ]
        await self._commands.submit_all(commands, request_id=request_id)

    async def set_retries(self, job_id: str, retries: int, *, user_id: str = "", request_id: str = "") -> None:
        """Say how many attempts are left. Raises Refused: INVALID_ARGUMENT below 0."""
        if retries < 0:
            raise invalid("bad-retries", f"expected 0 or more retries, found {retries}")
        if await self._job("", job_id, request_id) is None:
            return
        await self._change(cmd.ChangeJob(job_id=job_id, retries=retries, user_id=user_id), request_id)

    async def _job(self, kind: str, job_id: str, request_id: str) -> JobView | None:
        """The job; None if this same request was answered before, and the job is gone or elsewhere since. NotFound."""
        try:
            return await self._queries.get_job(kind, job_id)
        except NotFound:
            if await first_answer(self._commands, request_id) is not None:
                return None
            raise

    async def _change(self, command: cmd.ChangeJob, request_id: str) -> None:
        await self._commands.submit(command, request_id=request_id)

    def _require_free(self, job: JobView) -> None:
        if job.lock_owner and job.lock_expiration_time is not None and job.lock_expiration_time > self._now():
            raise _executing(job.id)


def _executing(job_id: str) -> Refused:
    return failed(
        "job-locked", f"expected job {job_id} to be held by nobody, found it is being executed", job_id=job_id
    )


class OnClockMoved(Protocol):
    """Told when a test moved the clock: whoever sleeps until a moment looks again."""

    def __call__(self) -> None: ...


class ManualControl:
    """The hand of a test on the clock and on the executor. Every use is refused if the setting does not allow it."""

    def __init__(
        self, *, clock: Clock, runs: RunsJobs, manual_jobs: bool, on_clock_moved: OnClockMoved | None = None
    ) -> None:
        """Runs of jobs need `manual_jobs`; moves of the clock a `ManualClock`."""
        self._clock = clock
        self._runs = runs
        self.manual_jobs = manual_jobs
        self._on_clock_moved = on_clock_moved

    @property
    def manual_clock(self) -> bool:
        """Tell whether the clock may be moved."""
        return isinstance(self._clock, ManualClock)

    def now(self) -> datetime:
        """The engine's time."""
        return self._clock.now()

    async def run_jobs(self, most: int | None = None) -> int:
        """Execute due jobs until none is due, or as many as told; says how many, failed attempts included.

        Raises Refused: FAILED_PRECONDITION if jobs are not manual; INVALID_ARGUMENT for less than 1.
        """
        if not self.manual_jobs:
            raise failed("jobs-not-manual", "expected manual jobs (setting: manual_jobs), found an executor of its own")
        if most is not None and most < 1:
            raise invalid("bad-count", f"expected at least 1 job to execute, found {most}")
        return await self._run(most)

    async def move_clock(self, to: Callable[[datetime], datetime], *, fire: bool) -> int:
        """Move the clock to where `to` says from now, then execute what is due until nothing is; says how many.

        Raises Refused: FAILED_PRECONDITION if the clock is not manual; INVALID_ARGUMENT for a move backwards.
        """
        clock = self._clock
        if not isinstance(clock, ManualClock):
            raise failed("clock-not-manual", "expected a manual clock (setting: manual_clock), found the computer's")
        now = clock.now()
        by = to(now) - now
        if by < timedelta(0):
            raise invalid("clock-backwards", f"expected a move forwards, found {by}")
        clock.advance(by)
        if self._on_clock_moved is not None:
            self._on_clock_moved()
        return await self._run(None) if fire else 0

    async def _run(self, most: int | None) -> int:
        bound = MAX_RUNS if most is None else min(most, MAX_RUNS)
        done = 0
        while done < bound:
            executed = await self._runs.run_available(min(BATCH, bound - done))
            if executed == 0:
                break
            done += executed
        return done


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What this engine can do."""

    element_types: Sequence[str]
    event_definitions: Sequence[str]
    script_languages: Sequence[str]
    limits: Mapping[str, float]


def capabilities_of(registry: Registry, script_languages: Sequence[str], limits: Mapping[str, float]) -> Capabilities:
    """Read off the registry what can be executed; all lists sorted."""
    return Capabilities(
        element_types=sorted({kind.tag for kind in registry.elements.values()}),
        event_definitions=sorted(registry.triggers),
        script_languages=sorted(script_languages),
        limits=dict(sorted(limits.items())),
    )


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine says of itself."""

    name: str
    version: str
    capabilities: Capabilities
    properties: Mapping[str, str] = {}
