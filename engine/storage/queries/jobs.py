"""Jobs, by where they lie: executable, not yet due, suspended, dead, or for external workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from engine.app.queries.filters import ExternalWorkerJobFilter, JobFilter
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import ExternalWorkerJobView, JobView
from engine.kernel.state import ASYNC, EXTERNAL, TIMER
from engine.storage import tables
from engine.storage.queries.conditions import Conditions
from engine.storage.queries.listing import Listing, Sorting, fetch, invalid
from engine.storage.queries.seen import seen
from engine.storage.rows import DEAD_LANE, SUSPENDED_LANE
from mesh.errors import NotFound

_J: Final = tables.job.c
_D: Final = tables.process_definition.c

JOBS, TIMER_JOBS, SUSPENDED_JOBS = "jobs", "timer-jobs", "suspended-jobs"
DEADLETTER_JOBS, EXTERNAL_WORKER_JOBS = "deadletter-jobs", "external-worker-jobs"
KINDS: Final = (JOBS, TIMER_JOBS, SUSPENDED_JOBS, DEADLETTER_JOBS, EXTERNAL_WORKER_JOBS)

PRIORITY: Final = 0
"""The priority of every external worker job; models cannot give another one."""

_SORTS: Final = {
    "id": _J.id,
    "dueDate": _J.due_at,
    "createTime": _J.created_at,
    "executionId": _J.execution_id,
    "processInstanceId": _J.instance_id,
    "retries": _J.retries,
    "tenantId": _J.tenant_id,
}
_JOB_SORTING: Final = Sorting(list_name="jobs", sorts=_SORTS, default="id", key=(_J.id,))
_WORKER_SORTING: Final = Sorting(list_name="external worker jobs", sorts=_SORTS, default="id", key=(_J.id,))
_NOT_OURS: Final = (DEAD_LANE, SUSPENDED_LANE, EXTERNAL)
"""The lanes of what the engine does not execute itself; in the others are timers, continuations, HTTP tasks."""


def get_job(connection: Connection, kind: str, job_id: str, now: datetime) -> JobView:
    """One job. Raises NotFound also if it is of another kind, InvalidArgument for an unknown kind."""
    return _view(_one(connection, kind, job_id, now), now)


def get_exception_stacktrace(connection: Connection, kind: str, job_id: str, now: datetime) -> str:
    """Why its last attempt failed. Raises as `get_job`, NotFound also where none did."""
    row = _one(connection, kind, job_id, now)
    if not row.error and not row.error_details:
        raise NotFound("no-exception", f"expected job {job_id} to have a failed attempt, found none", job_id=job_id)
    return str(row.error_details or row.error)


def get_external_worker_job(connection: Connection, job_id: str) -> ExternalWorkerJobView:
    """One job of an external worker. Raises NotFound."""
    wanted = _worker_base().where(_J.id == job_id, _J.kind == EXTERNAL)
    rows = connection.execute(seen(connection, wanted, _J.tenant_id)).all()
    if not rows:
        raise _not_found(job_id, EXTERNAL_WORKER_JOBS)
    return _worker_views(connection, rows)[0]


def _one(connection: Connection, kind: str, job_id: str, now: datetime) -> Row[Any]:
    if kind:
        _check_kind(kind)
    wanted = _base().add_columns(_J.error_details).where(_J.id == job_id)
    row = connection.execute(seen(connection, wanted, _J.tenant_id)).one_or_none()
    if row is None or kind not in ("", _kind_of(row, now)):
        raise _not_found(job_id, kind)
    return row


def _not_found(job_id: str, kind: str) -> NotFound:
    among = f" among {kind}" if kind else ""
    return NotFound("job-not-found", f"expected a job with id '{job_id}'{among}, found none", job_id=job_id)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise invalid("kind", f"expected a kind of {', '.join(KINDS)}, found '{kind}'")


def _kind_of(row: Row[Any], now: datetime) -> str:
    """Where a job lies; `_lies` says the same in SQL."""
    if row.dead:
        return DEADLETTER_JOBS
    if row.suspended:
        return SUSPENDED_JOBS
    if row.kind == EXTERNAL:
        return EXTERNAL_WORKER_JOBS
    locked = row.lease_until is not None and row.lease_until > now
    return JOBS if locked or row.due_at <= now else TIMER_JOBS


def _lies(kind: str, now: datetime) -> ColumnElement[bool]:
    if kind == DEADLETTER_JOBS:
        return _J.lane == DEAD_LANE
    if kind == SUSPENDED_JOBS:
        return _J.lane == SUSPENDED_LANE
    if kind == EXTERNAL_WORKER_JOBS:
        return _J.lane == EXTERNAL
    own = _J.lane.not_in(_NOT_OURS)
    if kind == JOBS:
        return and_(own, or_(_J.due_at <= now, _J.lease_until > now))
    return and_(own, _J.due_at > now, or_(_J.lease_until.is_(None), _J.lease_until <= now))


# --- lists ------------------------------------------------------------------------------------------------------------


def list_jobs(connection: Connection, wanted: JobFilter, page: Page, now: datetime, *, sqlite: bool) -> Listed[JobView]:
    """Jobs of one kind. Raises InvalidArgument for an unknown kind."""

    def read(_: Connection, rows: Sequence[Row[Any]]) -> list[JobView]:
        return [_view(row, now) for row in rows]

    found = seen(connection, statement(wanted, now, sqlite=sqlite), _J.tenant_id)
    return fetch(connection, Listing(sorting=_JOB_SORTING, statement=found, read=read), wanted, page)


def statement(wanted: JobFilter, now: datetime, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order. Raises InvalidArgument."""
    _check_kind(wanted.kind)
    if wanted.timers_only and wanted.messages_only:
        raise invalid("timers_only", "expected at most one of timers_only and messages_only, found both")
    where = Conditions(sqlite=sqlite)
    where.add(_lies(wanted.kind, now))
    _shared(where, wanted, now)
    where.equal(_J.handler, wanted.handler_type)
    where.one_of(_J.handler, wanted.handler_types, "handler_types")
    if wanted.timers_only:
        where.add(_J.kind == TIMER)
    if wanted.messages_only:
        where.add(_J.kind == ASYNC)
    if wanted.executable:
        where.add(and_(_J.retries > 0, _J.due_at <= now))
    return where.on(_base())


def list_external_worker_jobs(
    connection: Connection, wanted: ExternalWorkerJobFilter, page: Page, now: datetime, *, sqlite: bool
) -> Listed[ExternalWorkerJobView]:
    """Jobs that external workers can take or have taken."""
    found = seen(connection, worker_statement(wanted, now, sqlite=sqlite), _J.tenant_id)
    return fetch(connection, Listing(sorting=_WORKER_SORTING, statement=found, read=_worker_views), wanted, page)


def worker_statement(wanted: ExternalWorkerJobFilter, now: datetime, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order."""
    where = Conditions(sqlite=sqlite)
    where.add(_J.lane == EXTERNAL)
    where.equal(_J.topic, wanted.topic)
    where.equal(_J.lock_owner, wanted.lock_owner)
    _shared(where, wanted, now)
    return where.on(_worker_base())


def _shared(where: Conditions, wanted: JobFilter | ExternalWorkerJobFilter, now: datetime) -> None:
    where.equal(_J.id, wanted.id)
    where.equal(_J.instance_id, wanted.process_instance_id)
    if wanted.without_process_instance_id:
        where.add(_J.instance_id == "")
    where.equal(_J.execution_id, wanted.execution_id)
    where.equal(_J.definition_id, wanted.process_definition_id)
    where.equal(_J.element_id, wanted.element_id)
    where.equal(_J.element_name, wanted.element_name)
    where.before(_J.due_at, wanted.due_before)
    where.after(_J.due_at, wanted.due_after)
    where.equal(_J.error, wanted.exception_message)
    if wanted.with_exception:
        where.add(or_(_J.error != "", _J.error_details != ""))
    if wanted.locked:
        where.add(_J.lease_until > now)
    if wanted.unlocked:
        where.add(or_(_J.lease_until.is_(None), _J.lease_until <= now))
    where.tenant(_J.tenant_id, wanted)


def _base() -> Select[Any]:
    return select(
        _J.id,
        _J.instance_id,
        _J.definition_id,
        _J.execution_id,
        _J.element_id,
        _J.element_name,
        _J.kind,
        _J.handler,
        _J.topic,
        _J.retries,
        _J.error,
        _J.due_at,
        _J.created_at,
        _J.lock_owner,
        _J.lock_token,
        _J.lease_until,
        _J.tenant_id,
        _J.dead,
        _J.suspended,
    ).select_from(tables.job)


def _worker_base() -> Select[Any]:
    joined = tables.job.outerjoin(tables.process_definition, _D.id == _J.definition_id)
    return _base().add_columns(_D.key.label("definition_key")).select_from(joined)


def _view(row: Row[Any], now: datetime) -> JobView:
    return JobView(
        id=row.id,
        correlation_id=row.id,
        process_instance_id=row.instance_id,
        process_definition_id=row.definition_id,
        execution_id=row.execution_id,
        element_id=row.element_id,
        element_name=row.element_name,
        handler_type=row.handler,
        retries=row.retries,
        exception_message=row.error,
        due_date=row.due_at,
        create_time=row.created_at,
        lock_owner=row.lock_owner,
        lock_expiration_time=row.lease_until,
        tenant_id=row.tenant_id,
        kind=_kind_of(row, now),
    )


def _worker_views(_: Connection, rows: Sequence[Row[Any]]) -> list[ExternalWorkerJobView]:
    return [
        ExternalWorkerJobView(
            id=row.id,
            correlation_id=row.id,
            process_instance_id=row.instance_id,
            process_definition_id=row.definition_id,
            process_definition_key=row.definition_key or "",
            execution_id=row.execution_id,
            element_instance_id=row.execution_id,
            element_id=row.element_id,
            element_name=row.element_name,
            topic=row.topic,
            retries=row.retries,
            priority=PRIORITY,
            exception_message=row.error,
            due_date=row.due_at,
            create_time=row.created_at,
            lock_owner=row.lock_owner,
            lock_expiration_time=row.lease_until,
            lock_token=row.lock_token,
            tenant_id=row.tenant_id,
        )
        for row in rows
    ]
