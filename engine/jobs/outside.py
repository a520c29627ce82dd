"""Outside work: jobs that this process does itself under a lease, such as HTTP requests.

A lease lasts some seconds and is extended while the work is under way, so a slow job is not done twice and the work of
a process that died is taken over soon. What comes back is reported with the lease's token: who lost it is refused.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from engine.app.jobs import HTTP_LANE, Acquisition, Commands, LeaseChange, LeasedJob, Leases, Perform
from engine.app.unit_of_work import Committed
from engine.jobs.settings import JobSettings
from engine.jobs.sleeping import Alarm, Pause
from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel.errors import NOT_FOUND, Refused, failed
from engine.kernel.state import HTTP
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)
BEATS: Final = 3
"""How often within its length a lease is extended."""
_MOVES: Final = frozenset(("due_at", "dead"))

Report = cmd.CompleteJob | cmd.FailJob | cmd.ThrowJobError


class OutsideWork:
    """The doer of one lane's work in this process. `owner` names the process and must be its own."""

    def __init__(
        self,
        *,
        leases: Leases,
        commands: Commands,
        perform: Perform,
        now: Callable[[], datetime],
        owner: str,
        settings: JobSettings | None = None,
        lane: str = HTTP_LANE,
    ) -> None:
        self._leases = leases
        self._commands = commands
        self._perform = perform
        self._now = now
        self._owner = owner
        self._settings = settings or JobSettings()
        self._lane = lane
        self._alarm = Alarm(now)
        self._held: dict[str, tuple[LeasedJob, asyncio.Task[str]]] = {}
        self._loops: list[asyncio.Task[None]] = []

    # --- by itself ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in the running event loop."""
        if not self._loops:
            self._loops = [
                asyncio.create_task(self._take(), name="outside-work"),
                asyncio.create_task(self._beat(), name="outside-leases"),
            ]

    async def stop(self) -> None:
        """Take nothing more, give what is under way its grace, and give the rest back."""
        for loop in self._loops[:1]:
            loop.cancel()
        tasks = [task for _, task in self._held.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.outside_grace_seconds)
        rest = [job for job, task in self._held.values() if not task.done()]
        for task in tasks:
            task.cancel()
        for loop in self._loops:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
        self._loops = []
        if rest:
            with contextlib.suppress(Unavailable):
                await self._leases.release([_lease(job) for job in rest])

    def on_committed(self, commits: Sequence[Committed]) -> None:
        """Hear what was scheduled."""
        if not self._loops:
            return
        for committed in commits:
            for event in committed.events:
                if isinstance(event, ev.JobScheduled):
                    if event.kind == HTTP:
                        self._alarm.due(event.due_at)
                # What says no kind may be ours; what became one of another kind is not.
                elif (
                    isinstance(event, ev.JobChanged)
                    and not _MOVES.isdisjoint(event.changes)
                    and event.changes.get("kind", HTTP) == HTTP
                ):
                    self._alarm.wake()

    def wake(self) -> None:
        """Look now."""
        self._alarm.wake()

    async def _take(self) -> None:
        pause = Pause()
        while True:
            self._alarm.clear()
            room = self._settings.outside_in_flight - len(self._held)
            due: datetime | None = None
            try:
                if room > 0:
                    now = self._now()
                    jobs = await self._acquire(room)
                    for job in jobs:
                        self._begin(job)
                    if jobs:
                        continue
                    due = await self._leases.next_available(self._lane, "", now)
            except Exception:
                # The outer loop of a worker: whatever it is, the next look may go well.
                _LOGGER.exception("looking for outside work failed")
                await asyncio.sleep(pause.next_seconds())
                continue
            pause.reset()
            await self._alarm.sleep(due, self._settings.job_look_seconds)

    async def _beat(self) -> None:
        """Extend the leases of what is under way; stop what was lost."""
        while True:
            await asyncio.sleep(self._settings.outside_lease_seconds / BEATS)
            jobs = [job for job, _ in self._held.values()]
            try:
                words = await self._leases.extend([_lease(job) for job in jobs], self._until())
            except Exception:
                # A lease that could not be extended may still be ours at the next beat.
                _LOGGER.exception("extending leases failed")
                continue
            for job, word in zip(jobs, words, strict=True):
                held = self._held.get(job.id)
                if word and held is not None and held[0].token == job.token:
                    held[1].cancel()

    async def _acquire(self, count: int, job_id: str = "") -> Sequence[LeasedJob]:
        ask = Acquisition(
            lane=self._lane, owner=self._owner, until=self._until(), now=self._now(), count=count, job_id=job_id
        )
        return (await self._leases.acquire(ask)).jobs

    def _until(self) -> datetime:
        return self._now() + timedelta(seconds=self._settings.outside_lease_seconds)

    def _begin(self, job: LeasedJob) -> asyncio.Task[str]:
        task = asyncio.create_task(self._do(job), name=f"outside-{job.id}")
        self._held[job.id] = (job, task)

        def end(done: asyncio.Task[str]) -> None:
            held = self._held.get(job.id)
            if held is not None and held[1] is done:
                del self._held[job.id]
            if not done.cancelled() and done.exception() is not None:
                _LOGGER.error("outside work failed", exc_info=done.exception(), extra={"job_id": job.id})
            self._alarm.wake()

        task.add_done_callback(end)
        return task

    # --- one piece of work --------------------------------------------------------------------------------------------

    async def _do(self, job: LeasedJob) -> str:
        """Do it and report; returns why the attempt failed, empty if it did not."""
        report = await self._performed(job)
        try:
            await self._tell(report)
        except Refused as refused:
            if refused.status == NOT_FOUND or refused.reason == "job-not-locked":
                return refused.message
            if refused.reason == "process-instance-suspended":
                # No fault of the work: it is done again, with the same key, when the instance goes on.
                await self._leases.release([_lease(job)])
                return refused.message
            await self._tell(
                cmd.FailJob(job_id=job.id, error=refused.message, worker_id=self._owner, lock_token=job.token)
            )
            return refused.message
        return report.error if isinstance(report, cmd.FailJob) else ""

    async def _performed(self, job: LeasedJob) -> Report:
        try:
            report = await self._perform(job.id, job.payload)
        except Exception as bug:
            # A bug in one piece of work is that job's failure.
            details = "".join(traceback.format_exception(bug))
            report = cmd.FailJob(job_id=job.id, error=f"{type(bug).__name__}: {bug}", details=details)
        assert isinstance(report, Report), f"expected a report, found {type(report).__name__}"
        return msgspec.structs.replace(report, worker_id=self._owner, lock_token=job.token)

    async def _tell(self, report: Report) -> None:
        """Report, again and again while the database is away: the lease is kept, or its loss ends this task."""
        pause = Pause()
        while True:
            try:
                await self._commands.submit(report)
            except Unavailable:
                await asyncio.sleep(pause.next_seconds())
                continue
            return

    # --- by hand ------------------------------------------------------------------------------------------------------

    async def run_available(self, limit: int) -> int:
        """Do up to so many that are due and wait for them; says how many, failed attempts included."""
        jobs = await self._acquire(min(limit, self._settings.outside_in_flight))
        await asyncio.gather(*[self._begin(job) for job in jobs])
        return len(jobs)

    async def run_now(self, job_id: str) -> bool:
        """Do one job; False if it is held, gone or not due. Raises Refused (FAILED_PRECONDITION) if it fails."""
        jobs = await self._acquire(1, job_id)
        if not jobs:
            return False
        error = await self._begin(jobs[0])
        if error:
            raise failed("job-failed", error, job_id=job_id)
        return True


def _lease(job: LeasedJob) -> LeaseChange:
    return LeaseChange(job_id=job.id, owner=job.owner, token=job.token)
