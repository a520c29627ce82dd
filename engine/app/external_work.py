"""External workers: acquire jobs of a topic, report what became of them, keep or give up leases."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from engine.app.asking import RightsOfCaller, nobody_asks
from engine.app.jobs import EXTERNAL_LANE, Acquired, Acquisition, Commands, LeaseChange, LeasedJob, Leases
from engine.kernel import commands as cmd
from engine.kernel.errors import FAILED_PRECONDITION, PERMISSION_DENIED, Refused, invalid, not_found

MAX_JOBS: Final = 1000
"""Jobs of one call: acquired, reported or extended."""
MAX_LEASE: Final = timedelta(days=7)
MAX_TRIES: Final = 100
TRY_PAUSE_SECONDS: Final = 0.01
MAX_WORD: Final = 255

Report = cmd.CompleteJob | cmd.FailJob | cmd.ThrowJobError
T = TypeVar("T")


class Acquire(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's wish. `tries`: how often to look where other workers are quicker."""

    topic: str
    worker_id: str
    lease: timedelta
    count: int = 1
    tries: int = 5
    tenant_id: str | None = None
    request_id: str = ""


class ExternalWork:
    """What a worker can do."""

    def __init__(
        self,
        *,
        commands: Commands,
        leases: Leases,
        now: Callable[[], datetime],
        rights: RightsOfCaller = nobody_asks,
    ) -> None:
        """`rights` bind whoever asks: a worker is given the jobs of the tenant that it sees."""
        self._rights = rights
        self._commands = commands
        self._leases = leases
        self.now = now
        """The engine's time."""
        self.on_released: Callable[[], None] | None = None
        """Told when jobs were given back, which no event tells."""

    async def acquire(self, ask: Acquire) -> list[LeasedJob]:
        """Lease jobs of a topic, oldest first. Raises Refused (INVALID_ARGUMENT)."""
        check_acquire(ask)
        for turn in range(ask.tries):
            found = await self.take(ask, ask.count)
            if found.jobs or not found.contended or turn + 1 == ask.tries:
                return list(found.jobs)
            await asyncio.sleep(TRY_PAUSE_SECONDS * (turn + 1))
        return []

    async def take(self, ask: Acquire, count: int, *, expected: bool = False) -> Acquired:
        """One look at the jobs of a topic; `expected`: a commit told of one."""
        now = self.now()
        return await self._leases.acquire(
            Acquisition(
                lane=EXTERNAL_LANE,
                topic=ask.topic,
                owner=ask.worker_id,
                until=now + ask.lease,
                now=now,
                count=count,
                tenant_id=self._tenant(ask.tenant_id),
                exclusive=True,
                with_variables=True,
                request_id=ask.request_id,
                expected=expected,
            )
        )

    async def next_available(self, topic: str, after: datetime) -> datetime | None:
        """When the next job of the topic may be taken, not counting those that could be taken before `after`."""
        return await self._leases.next_available(EXTERNAL_LANE, topic, after)

    async def report(self, report: Report, request_id: str = "") -> None:
        """Tell how a job ended. Raises Refused: NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION."""
        require_worker(report.worker_id)
        try:
            await self._commands.submit(report, request_id=request_id)
        except Refused as refused:
            raise _to_a_worker(refused, report.job_id) from refused

    async def report_all(self, worker_id: str, reports: Sequence[Report], request_id: str = "") -> list[Refused | None]:
        """Tell of many; for each None or why it was refused. Raises Refused (INVALID_ARGUMENT): no worker, too many."""
        require_worker(worker_id)
        check_many(len(reports))
        names = [f"{request_id}/{index}" if request_id else "" for index in range(len(reports))]
        return await _outcomes([self.report(report, name) for report, name in zip(reports, names, strict=True)])

    async def extend_one(self, change: LeaseChange, lease: timedelta) -> datetime:
        """Hold a job for longer, from now on; returns until when. Raises Refused: NOT_FOUND, PERMISSION_DENIED."""
        (found,) = await self.extend(change.owner, [change], lease)
        if isinstance(found, Refused):
            raise found
        return found

    async def extend(self, worker_id: str, leases: Sequence[LeaseChange], lease: timedelta) -> list[datetime | Refused]:
        """Hold jobs for longer, from now on; for each when its lease ends, or why it was refused."""
        require_worker(worker_id)
        check_many(len(leases))
        check_lease(lease)
        until = self.now() + lease
        found = await self._leases.extend(self._within(leases), until)
        refused = [_refusal(word, change) for word, change in zip(found, leases, strict=True)]
        return [until if why is None else why for why in refused]

    async def release(self, lease: LeaseChange) -> None:
        """Give a job back undone. Raises Refused: NOT_FOUND, PERMISSION_DENIED."""
        require_worker(lease.owner)
        (word,) = await self._leases.release(self._within([lease]))
        refused = _refusal(word, lease)
        if refused is not None:
            raise refused
        self._released()

    async def release_all(self, worker_id: str, tenant_id: str | None) -> None:
        """Give all jobs of a worker back."""
        require_worker(worker_id)
        if await self._leases.release_all(worker_id, self._tenant(tenant_id)):
            self._released()

    def _tenant(self, asked: str | None) -> str | None:
        """The tenant whose jobs are meant: the one that is named, or the only one that is seen."""
        rights = self._rights()
        if rights is None or rights.tenant_id is None:
            return asked
        if asked and not rights.sees(asked):
            raise Refused(
                PERMISSION_DENIED,
                "foreign-tenant",
                "expected a tenant that the caller belongs to, found another",
                tenant_id=asked,
            )
        return rights.tenant_id

    def _within(self, leases: Sequence[LeaseChange]) -> Sequence[LeaseChange]:
        """The same, of the tenant that is seen."""
        tenant_id = self._tenant(None)
        if tenant_id is None:
            return leases
        return [msgspec.structs.replace(lease, tenant_id=tenant_id) for lease in leases]

    def _released(self) -> None:
        if self.on_released is not None:
            self.on_released()


def check_acquire(ask: Acquire) -> None:
    """Raises Refused (INVALID_ARGUMENT) for what nobody can be given."""
    require_worker(ask.worker_id)
    if not ask.topic or len(ask.topic) > MAX_WORD:
        raise invalid("no-topic", f"expected a topic of 1 to {MAX_WORD} characters, found {len(ask.topic)}")
    check_lease(ask.lease)
    if not 1 <= ask.count <= MAX_JOBS:
        raise invalid("bad-count", f"expected a number of 1 to {MAX_JOBS} jobs, found {ask.count}")
    if not 1 <= ask.tries <= MAX_TRIES:
        raise invalid("bad-count", f"expected a number of 1 to {MAX_TRIES} tries, found {ask.tries}")


def check_lease(lease: timedelta) -> None:
    """Raises Refused (INVALID_ARGUMENT) for a lease that is nothing or too long."""
    if not timedelta(0) < lease <= MAX_LEASE:
        raise invalid(
            "bad-lock-duration", f"expected a lock duration of more than nothing, up to {MAX_LEASE}, found {lease}"
        )


def check_many(count: int) -> None:
    """Raises Refused (INVALID_ARGUMENT) for more items than one call may have."""
    if count > MAX_JOBS:
        raise invalid("too-many-jobs", f"expected at most {MAX_JOBS} jobs in one call, found {count}")


def require_worker(worker_id: str) -> None:
    """Raises Refused (INVALID_ARGUMENT) if nobody asks."""
    if not worker_id or len(worker_id) > MAX_WORD:
        raise invalid("no-worker", f"expected a worker id of 1 to {MAX_WORD} characters, found {len(worker_id)}")


async def _outcomes(calls: Sequence[Coroutine[Any, Any, None]]) -> list[Refused | None]:
    async def one(call: Coroutine[Any, Any, None]) -> Refused | None:
        try:
            await call
        except Refused as refused:
            return refused
        return None

    return list(await asyncio.gather(*map(one, calls)))


def _to_a_worker(refused: Refused, job_id: str) -> Refused:
    """A worker is told of another's lease by PERMISSION_DENIED; a job that is no worker's any more is none for it."""
    if refused.reason == "job-not-locked":
        return Refused(PERMISSION_DENIED, "lock-lost", refused.message, **refused.facts)
    if refused.status == FAILED_PRECONDITION and refused.reason == "not-external":
        return _no_job(job_id)
    return refused


def _refusal(word: str, lease: LeaseChange) -> Refused | None:
    if not word:
        return None
    if word == "not-found":
        return _no_job(lease.job_id)
    return Refused(
        PERMISSION_DENIED,
        "lock-lost",
        f"expected job {lease.job_id} to be locked by '{lease.owner}', found it is not, or under another token",
        job_id=lease.job_id,
    )


def _no_job(job_id: str) -> Refused:
    return not_found(
        "job-not-found", f"expected a job for an external worker, found none with id '{job_id}'", job_id=job_id
    )
