"""Sums out of the statistics tables: rows of days and of what is open, never of instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Select, func, select

from history.app.queries import Scope
from history.app.statistics import Group, Range, Sums, Work
from history.storage import tables
from history.storage.statistics_tables import duration, standing, statistic, workload
from mesh.db.database import Database
from mesh.outbox import in_database

_COUNTERS: Final = ("started", "completed", "canceled", "failed", "duration_count", "duration_sum_ms")


class StatisticsAnswers:
    """The `StatisticsQueries` of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(
        self, kind: str, wanted: Range, by: Sequence[str], scope: Scope, *, with_durations: bool
    ) -> Mapping[Group, Sums]:
        """Sums by columns: one statement, and one more for the durations."""
        groups = [statistic.c[name] for name in by]
        conditions = [statistic.c.kind == kind, *_of_range(statistic.c, wanted, scope), *_of_days(statistic.c, wanted)]
        totals = [func.coalesce(func.sum(statistic.c[name]), 0) for name in _COUNTERS]
        names = [func.max(statistic.c.element_name), func.max(statistic.c.element_type)]
        counted = select(*groups, *totals, *names).where(*conditions).group_by(*groups)
        lasted = (
            select(*groups, duration.c.bucket, func.sum(duration.c.count))
            .select_from(statistic.join(duration, duration.c.id == statistic.c.id))
            .where(*conditions)
            .group_by(*groups, duration.c.bucket)
        )

        def work(connection: Connection) -> dict[Group, Sums]:
            width = len(groups)
            found = {_group(row, width): _sums(row[width:]) for row in connection.execute(counted)}
            if with_durations:
                for row in connection.execute(lasted):
                    found[_group(row, width)].buckets[int(row[width])] = int(row[width + 1])
            return found

        return await in_database(self._database, work)

    async def open(self, kind: str, wanted: Range, by: Sequence[str], scope: Scope) -> Mapping[Group, int]:
        """How much is open, by columns."""
        groups = [standing.c[name] for name in by]
        conditions = [standing.c.kind == kind, *_of_range(standing.c, wanted, scope)]
        if wanted.user_id is not None:
            conditions.append(standing.c.user_id == wanted.user_id)
        statement = select(*groups, func.coalesce(func.sum(standing.c.open), 0)).where(*conditions).group_by(*groups)
        width = len(groups)

        def work(connection: Connection) -> dict[Group, int]:
            return {_group(row, width): int(row[width]) for row in connection.execute(statement)}

        return await in_database(self._database, work)

    async def overdue(self, wanted: Range, now: datetime, scope: Scope) -> Mapping[str, int]:
        """Open tasks whose due date has passed, by assignee: exactly those are read, by an index."""
        task = tables.task.c
        conditions: list[ColumnElement[bool]] = [task.ended_at.is_(None), task.due_date < now]
        for column, value in (
            (task.tenant_id, wanted.tenant_id),
            (task.definition_id, wanted.definition_id),
            (task.assignee, wanted.user_id),
            (task.tenant_id, scope),
        ):
            if value is not None:
                conditions.append(column == value)
        statement = select(task.assignee, func.count()).where(*conditions).group_by(task.assignee)
        return await in_database(
            self._database, lambda connection: {row[0]: int(row[1]) for row in connection.execute(statement)}
        )

    async def work(self, wanted: Range, scope: Scope) -> Mapping[str, Work]:
        """What people were given and did, by user."""
        c = workload.c
        conditions = _of_days(c, wanted)
        for column, value in ((c.tenant_id, wanted.tenant_id), (c.user_id, wanted.user_id), (c.tenant_id, scope)):
            if value is not None:
                conditions.append(column == value)
        totals = [func.sum(c[name]) for name in ("assigned", "completed", "work_count", "work_sum_ms")]
        statement: Select[Any] = select(c.user_id, *totals).where(*conditions).group_by(c.user_id)

        def work(connection: Connection) -> dict[str, Work]:
            return {
                row[0]: Work(
                    assigned=int(row[1]), completed=int(row[2]), work_count=int(row[3]), work_sum_ms=int(row[4])
                )
                for row in connection.execute(statement)
            }

        return await in_database(self._database, work)


def _of_range(columns: Any, wanted: Range, scope: Scope) -> list[ColumnElement[bool]]:
    given: tuple[tuple[Column[Any], str | None], ...] = (
        (columns.tenant_id, wanted.tenant_id),
        (columns.definition_key, wanted.definition_key),
        (columns.definition_id, wanted.definition_id),
        (columns.element_id, wanted.element_id),
        (columns.tenant_id, scope),
    )
    return [column == value for column, value in given if value is not None]


def _of_days(columns: Any, wanted: Range) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.from_day is not None:
        conditions.append(columns.day >= wanted.from_day)
    if wanted.to_day is not None:
        conditions.append(columns.day <= wanted.to_day)
    return conditions


def _group(row: Sequence[Any], width: int) -> Group:
    return tuple(row[:width])


def _sums(row: Sequence[Any]) -> Sums:
    # MySQL sums whole numbers up to a decimal.
    started, completed, canceled, failed, count, total = (int(value) for value in row[:6])
    return Sums(
        started=started,
        completed=completed,
        canceled=canceled,
        failed=failed,
        duration_count=count,
        duration_sum_ms=total,
        element_name=row[6] or "",
        element_type=row[7] or "",
    )
