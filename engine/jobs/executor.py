"""The job executor: timers and asynchronous continuations when they are due, scheduled changes of definitions too.

It sleeps until the next due date that it knows of. A commit of this process that schedules something sooner wakes it;
for what other processes schedule it looks from time to time, or whoever knows calls `wake`. Several processes share the
work: each passes over what another one has under its hands.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.app.jobs import ENGINE_LANE, REPOSITORY_LANE, DefinitionJobs, DueJobs, Leases
from engine.app.unit_of_work import Committed, EventTypes
from engine.jobs.outside import OutsideWork
from engine.jobs.settings import JobSettings
from engine.jobs.sleeping import Alarm, Pause
from engine.kernel import events as ev
from engine.kernel.state import ASYNC, TIMER

_LOGGER: Final = logging.getLogger(__name__)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_MOVES: Final = frozenset(("due_at", "kind", "dead", "retries"))


class JobExecutor:
    """Runs jobs by itself (`start`), or by a test's hand if jobs are manual (`run_available`, `run_now`)."""

    HEARS: Final[EventTypes] = frozenset((ev.JobScheduled, ev.JobChanged, ev.ProcessInstanceActivated))

    def __init__(
        self,
        *,
        due: DueJobs,
        definitions: DefinitionJobs,
        leases: Leases,
        outside: OutsideWork,
        now: Callable[[], datetime],
        settings: JobSettings | None = None,
    ) -> None:
        self._due = due
        self._definitions = definitions
        self._leases = leases
        self._outside = outside
        self._now = now
        self._settings = settings or JobSettings()
        self._alarm = Alarm(now)
        self._loop: asyncio.Task[None] | None = None
        self._second: asyncio.Task[None] | None = None
        self._definitions_due: datetime | None = None
        self._definitions_fresh_until = _LONG_AGO

    # --- by itself ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in the running event loop. Does nothing if jobs are manual."""
        if self._settings.manual_jobs or self._loop is not None:
            return
        self._loop = asyncio.create_task(self._run(), name="job-executor")
        self._outside.start()

    async def stop(self) -> None:
        """End: what is being executed is finished, outside work gets its grace and is given back then."""
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
        if self._second is not None:
            self._second.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._second
            self._second = None
        await self._outside.stop()

    def on_committed(self, commits: Sequence[Committed]) -> None:
        """Hear what was scheduled (a listener of the group commit)."""
        for committed in commits:
            for event in committed.events:
                if isinstance(event, ev.JobScheduled):
                    if event.kind in (TIMER, ASYNC):
                        self._alarm.due(event.due_at)
                elif (isinstance(event, ev.JobChanged) and not _MOVES.isdisjoint(event.changes)) or isinstance(
                    event, ev.ProcessInstanceActivated
                ):
                    self._alarm.wake()
        self._outside.on_committed(commits)

    def wake(self) -> None:
        """Look now: somebody else scheduled something, or the clock was moved."""
        self._definitions_fresh_until = _LONG_AGO
        self._alarm.wake()
        self._outside.wake()

    async def _run(self) -> None:
        pause = Pause()
        while True:
            self._alarm.clear()
            due: datetime | None = None
            executed = 0
            has_looked_ahead = False
            try:
                executed = await self._execute(self._settings.job_batch, often=True)
                if executed >= self._settings.job_batch and (self._second is None or self._second.done()):
                    self._second = asyncio.create_task(self._help(), name="job-executor-2")
                if executed < self._settings.job_batch and not self._alarm.is_woken:
                    due = await self._next_due()
                    has_looked_ahead = True
            except Exception:
                # The outer loop of a worker: whatever it is, the next look may go well.
                _LOGGER.exception("looking for due jobs failed")
                await asyncio.sleep(pause.next_seconds())
                continue
            if executed:
                pause.reset()
                if not has_looked_ahead or (due is not None and due <= self._now()):
                    continue
            elif due is not None and due <= self._now():
                # Due and yet not executed: another process is at it, or its tree is locked.
                await asyncio.sleep(pause.next_seconds())
                continue
            pause.reset()
            await self._alarm.sleep(due, self._settings.job_look_seconds)

    async def _help(self) -> None:
        """While there is more than one batch, a second one is computed while the database is at the first."""
        try:
            while await self._execute(self._settings.job_batch) >= self._settings.job_batch:
                pass
        except Exception:
            # The outer loop of a worker: the first one looks again, and says so.
            _LOGGER.exception("executing due jobs failed")

    async def _next_due(self) -> datetime | None:
        """When the next job is due. Scheduled changes of definitions are rare, so they are not asked for each time."""
        due = await self._leases.next_available(ENGINE_LANE)
        found = [moment for moment in (due, self._definitions_due) if moment is not None]
        return min(found, default=None)

    async def _execute(self, limit: int, *, often: bool = False) -> int:
        """One look: due timers and continuations and, where there are none left, due changes of definitions.

        `often`: these changes only if they were not looked for within `job_look_seconds`, or are known to be due.
        """
        # Shielded: a transaction under way is finished even when the executor is told to end.
        executed = await asyncio.shield(self._due.execute_due(limit))
        if executed < limit:
            executed += await self._changes_of_definitions(limit - executed, often=often)
        return executed

    async def _changes_of_definitions(self, limit: int, *, often: bool) -> int:
        now = self._now()
        is_due = self._definitions_due is not None and self._definitions_due <= now
        if often and not is_due and now < self._definitions_fresh_until:
            return 0
        self._definitions_due = await self._leases.next_available(REPOSITORY_LANE)
        self._definitions_fresh_until = now + timedelta(seconds=self._settings.job_look_seconds)
        if self._definitions_due is None or self._definitions_due > now:
            return 0
        done = await self._definitions.run_due(limit)
        self._definitions_due = None
        self._definitions_fresh_until = _LONG_AGO
        return done

    # --- by hand ------------------------------------------------------------------------------------------------------

    async def run_available(self, limit: int) -> int:
        """Execute up to so many jobs of all kinds that are due now; says how many, failed attempts included."""
        executed = await self._execute(limit)
        if executed < limit:
            executed += await self._outside.run_available(limit - executed)
        return executed

    async def run_now(self, job_id: str) -> bool:
        """Do the outside work of one job now; False if it is held, gone or not due. Raises Refused if that fails."""
        return await self._outside.run_now(job_id)
