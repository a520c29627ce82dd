"""Jobs that may be taken: candidates for the group commit, and leases for work done outside.

A lease is an owner, a token that is fresh with each lease, and an end. Whoever reports shows the token, so a former
holder whose lease ran out is told apart. Lanes and availability are columns with an index (see `tables.job`), so taking
the next jobs costs the same however many are leased, dead or far away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from engine.app.unit_of_work import DueJob
from engine.kernel.state import Job
from engine.storage.rows import DEFINITION_LANE, ENGINE_LANE, JOB_COLUMNS, Row, job_of
from mesh.db.statements import COMMIT, Sql
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer

_JOB: Final = ", ".join(f"`{name}`" for name in JOB_COLUMNS)
_DUE: Final = Sql(
    "SELECT id, root_id, execution_id, definition_id FROM job {index ix_job_lane_topic_available_at} "
    "WHERE lane = ? AND topic = '' AND available_at <= ? ORDER BY available_at LIMIT ?"
)
_NEXT: Final = Sql(
    "SELECT available_at FROM job {index ix_job_lane_topic_available_at} "
    "WHERE lane = ? AND topic = '' ORDER BY available_at LIMIT 1"
)
_FREE: Final = Sql(
    f"SELECT {_JOB} FROM job {{index ix_job_lane_topic_available_at}} "
    "WHERE lane = ? AND topic = ? AND available_at <= ? ORDER BY available_at LIMIT ? {skip locked}"
)
_LEASE: Final = Sql("UPDATE job SET lock_owner = ?, lock_token = ?, lease_until = ?, available_at = ? WHERE id IN ?*")
_HELD: Final = "WHERE id = ? AND lock_owner = ? AND lock_token = ? AND lease_until > ?"
_EXTEND: Final = Sql(f"UPDATE job SET lease_until = ?, available_at = ? {_HELD}")
_RELEASE: Final = Sql(
    f"UPDATE job SET lock_owner = '', lock_token = '', lease_until = NULL, available_at = due_at {_HELD}"
)
_RELEASE_ALL: Final = Sql(
    "UPDATE job SET lock_owner = '', lock_token = '', lease_until = NULL, available_at = due_at "
    "WHERE lane = ? AND lock_owner = ?"
)

PLANNED: Final = (_DUE, _NEXT, _FREE, _LEASE, _EXTEND, _RELEASE)
"""For the tests of plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedJob:
    """A job that is ours until `lease_until`; `job.lock_token` proves it."""

    job: Job
    root_id: str
    definition_id: str
    tenant_id: str
    created_at: datetime
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What proves a lease."""

    job_id: str
    owner: str
    token: str


def due_jobs(writer: Writer, now: datetime, limit: int, lane: str = ENGINE_LANE) -> list[DueJob]:
    """Candidates for execution, the longest due first; ends its transaction and locks nothing."""
    rows = writer.run([_DUE.of(lane, text_of_moment(now), limit)])[0].rows
    writer.rollback()
    return [DueJob(id=row[0], root_id=row[1], execution_id=row[2], definition_id=row[3]) for row in rows]


def next_due(writer: Writer, lane: str = ENGINE_LANE) -> datetime | None:
    """When the next job of the lane may be taken; None if there is none."""
    rows = writer.run([_NEXT.of(lane)])[0].rows
    writer.rollback()
    return moment_of_text(rows[0][0]) if rows else None


def acquire(
    writer: Writer,
    *,
    lane: str,
    topics: Sequence[str],
    owner: str,
    new_token: Callable[[], str],
    now: datetime,
    lease: timedelta,
    limit: int,
) -> list[LeasedJob]:
    """Lease up to `limit` jobs of the lane (external or http) and topics, passing over those that others are taking.

    The commit comes with the same packet as the lease, so what is returned is ours.
    """
    until = now + lease
    found: list[Row] = []
    for topic in topics:
        if len(found) < limit:
            found += writer.run([_FREE.of(lane, topic, text_of_moment(now), limit - len(found))])[0].rows
    if not found:
        writer.rollback()
        return []
    token = new_token()
    ending = text_of_moment(until)
    writer.run([_LEASE.of(owner, token, ending, ending, [row[0] for row in found]), COMMIT])
    leased = []
    for row in found:
        job = job_of(row)
        job.lock_owner, job.lock_token = owner, token
        leased.append(
            LeasedJob(
                job=job,
                root_id=row[1],
                definition_id=row[21],
                tenant_id=row[22],
                created_at=moment_of_text(row[23]),
                lease_until=until,
            )
        )
    return leased


def extend(writer: Writer, leases: Sequence[Lease], now: datetime, until: datetime) -> list[bool]:
    """Make leases last until then; tells for each whether it was still held."""
    ending = text_of_moment(until)
    present = text_of_moment(now)
    statements = [_EXTEND.of(ending, ending, one.job_id, one.owner, one.token, present) for one in leases]
    return [result.affected > 0 for result in writer.run([*statements, COMMIT])[:-1]]


def release(writer: Writer, leases: Sequence[Lease], now: datetime) -> list[bool]:
    """Give leases back before their end; tells for each whether it was still held."""
    present = text_of_moment(now)
    statements = [_RELEASE.of(one.job_id, one.owner, one.token, present) for one in leases]
    return [result.affected > 0 for result in writer.run([*statements, COMMIT])[:-1]]


def release_all(writer: Writer, lane: str, owner: str) -> int:
    """Give back whatever an owner holds in a lane; tells how many."""
    return writer.run([_RELEASE_ALL.of(lane, owner), COMMIT])[0].affected


__all__ = [
    "DEFINITION_LANE",
    "ENGINE_LANE",
    "Lease",
    "LeasedJob",
    "acquire",
    "due_jobs",
    "extend",
    "next_due",
    "release",
    "release_all",
]
