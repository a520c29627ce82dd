"""How much happened and how long it took: what can be asked, what is answered, and what is worked out of the sums."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

import msgspec

from history.app.counting import ACTIVITY, PROCESS, TASK
from history.app.queries import Scope
from history.model.sketch import percentiles
from mesh.clock import Clock
from mesh.paging import refuse

PERCENTILES: Final = (0.5, 0.9, 0.95, 0.99)
NAMES: Final = ("p50", "p90", "p95", "p99")
MEASURES: Final = ("started", "completed", "canceled", "failed", "mean", *NAMES)
ORDERS: Final = ("total", "mean", "p95", "completed", "open")
KINDS: Final = (PROCESS, ACTIVITY, TASK)
MAX_DAYS: Final = 1_100
"""Days of a series at most: three years."""
MAX_LIMIT: Final = 1_000
DEFAULT_DAYS: Final = 30
MAX_SERIES: Final = 200
"""Series of one answer; of more, those with the most counts."""


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Whose statistics of which days (both ends included); None: no condition."""

    tenant_id: str | None = None
    from_day: str | None = None
    to_day: str | None = None
    definition_key: str | None = None
    definition_id: str | None = None
    element_id: str | None = None
    element_type: str | None = None
    user_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Sums:
    """Sums of a group; `buckets`: the counts of its sketch. `open` is of now, whatever the days."""

    started: int = 0
    completed: int = 0
    canceled: int = 0
    failed: int = 0
    open: int = 0
    duration_count: int = 0
    duration_sum_ms: int = 0
    element_name: str = ""
    element_type: str = ""
    buckets: dict[int, int] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        """The mean duration in ms; None without any."""
        return self.duration_sum_ms / self.duration_count if self.duration_count else None

    def percentiles(self) -> Sequence[float | None]:
        """The durations of `PERCENTILES`."""
        return percentiles(self.buckets, PERCENTILES)

    def measured(self, measure: str) -> float | None:
        """One of `MEASURES`."""
        if measure == "mean":
            return self.mean
        if measure in NAMES:
            return self.percentiles()[NAMES.index(measure)]
        return float(getattr(self, measure))


@dataclass(slots=True, kw_only=True)
class Work:
    """What a user has to do and did."""

    open: int = 0
    overdue: int = 0
    assigned: int = 0
    completed: int = 0
    work_count: int = 0
    work_sum_ms: int = 0


Group = tuple[str, ...]
"""What sums are of: the values of the columns that were asked for."""


class StatisticsQueries(Protocol):
    """Sums out of the database. Raises Unavailable."""

    def sums(
        self, kind: str, wanted: Range, by: Sequence[str], scope: Scope, *, with_durations: bool
    ) -> Awaitable[Mapping[Group, Sums]]:
        """Sums by these columns of: day, definition_key, definition_id, element_id. Not `open`."""
        ...

    def open(self, kind: str, wanted: Range, by: Sequence[str], scope: Scope) -> Awaitable[Mapping[Group, int]]:
        """How much is open, by these columns of: definition_key, definition_id, element_id, user_id."""
        ...

    def overdue(self, wanted: Range, now: datetime, scope: Scope) -> Awaitable[Mapping[str, int]]:
        """Open tasks whose due date has passed, by assignee."""
        ...

    def work(self, wanted: Range, scope: Scope) -> Awaitable[Mapping[str, Work]]:
        """What people were given and did, by user."""
        ...


class Statistics:
    """The answers."""

    def __init__(self, queries: StatisticsQueries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock

    async def overview(self, wanted: Range, scope: Scope) -> tuple[Sums, Sums, int, int]:
        """Process instances, tasks, how many tasks are overdue, and how many nobody has. Raises InvalidArgument."""
        wanted = checked(wanted)
        processes = (await self._queries.sums(PROCESS, wanted, (), scope, with_durations=False)).get((), Sums())
        tasks = (await self._queries.sums(TASK, wanted, (), scope, with_durations=False)).get((), Sums())
        processes.open = (await self._queries.open(PROCESS, wanted, (), scope)).get((), 0)
        by_user = await self._queries.open(TASK, wanted, ("user_id",), scope)
        tasks.open = sum(by_user.values())
        overdue = await self._queries.overdue(wanted, self._clock.now(), scope)
        return processes, tasks, sum(overdue.values()), by_user.get(("",), 0)

    async def grouped(self, kind: str, wanted: Range, by: Sequence[str], scope: Scope) -> Mapping[Group, Sums]:
        """Sums with durations, and what is open, by these columns. Raises InvalidArgument."""
        wanted = checked(wanted)
        found = dict(await self._queries.sums(kind, wanted, by, scope, with_durations=True))
        for group, count in (await self._queries.open(kind, wanted, by, scope)).items():
            found.setdefault(group, Sums()).open = count
        return dict(sorted(found.items()))

    async def elements(self, wanted: Range, order: str, limit: int, scope: Scope) -> Sequence[tuple[Group, Sums]]:
        """The elements (definition key, element id) with the most of something first. Raises InvalidArgument."""
        order = order or "total"
        if order not in ORDERS:
            raise refuse("order_by", f"expected an order of {', '.join(ORDERS)}, found '{order}'")
        check_limit(limit)
        found = await self.grouped(ACTIVITY, wanted, ("definition_key", "element_id"), scope)
        ranked = sorted(found.items(), key=lambda entry: (-_weight(entry[1], order), entry[0]))
        if wanted.element_type is not None:
            ranked = [entry for entry in ranked if entry[1].element_type == wanted.element_type]
        return ranked[:limit]

    async def series(
        self, kind: str, measure: str, wanted: Range, scope: Scope, *, split: bool
    ) -> tuple[Sequence[str], Mapping[str, Mapping[str, Sums]]]:
        """The days of the range, and by name of the series the sums of its days. Raises InvalidArgument."""
        if measure not in MEASURES:
            raise refuse("measure", f"expected a measure of {', '.join(MEASURES)}, found '{measure}'")
        if kind not in KINDS:
            raise refuse("kind", f"expected a kind of {', '.join(KINDS)}, found '{kind}'")
        days, wanted = self._days(checked(wanted))
        name = "definition_key" if kind == PROCESS else "element_id"
        by = ("day", name) if split else ("day",)
        durations = measure in NAMES
        found: dict[str, dict[str, Sums]] = {}
        for group, sums in (await self._queries.sums(kind, wanted, by, scope, with_durations=durations)).items():
            found.setdefault(group[1] if split else "", {})[group[0]] = sums
        if not split:
            found.setdefault("", {})
        most = sorted(found, key=lambda key: (-sum(s.started + s.completed for s in found[key].values()), key))
        return days, {key: found[key] for key in sorted(most[:MAX_SERIES])}

    async def workload(self, wanted: Range, limit: int, scope: Scope) -> Sequence[tuple[str, Work]]:
        """Users with the most open tasks first. Raises InvalidArgument."""
        check_limit(limit)
        wanted = checked(wanted)
        found = dict(await self._queries.work(wanted, scope))
        for (user_id,), count in (await self._queries.open(TASK, wanted, ("user_id",), scope)).items():
            if user_id:
                found.setdefault(user_id, Work()).open = count
        for user_id, count in (await self._queries.overdue(wanted, self._clock.now(), scope)).items():
            if user_id:
                found.setdefault(user_id, Work()).overdue = count
        return sorted(found.items(), key=lambda entry: (-entry[1].open, entry[0]))[:limit]

    def _days(self, wanted: Range) -> tuple[Sequence[str], Range]:
        last = date.fromisoformat(wanted.to_day) if wanted.to_day else self._clock.now().astimezone(UTC).date()
        first = date.fromisoformat(wanted.from_day) if wanted.from_day else last - timedelta(days=DEFAULT_DAYS - 1)
        count = (last - first).days + 1
        if not 0 <= count <= MAX_DAYS:
            raise refuse("from_day", f"expected up to {MAX_DAYS} days (limit: MAX_DAYS), found {count}")
        days = [(first + timedelta(days=n)).isoformat() for n in range(count)]
        given = msgspec.structs.replace(wanted, from_day=first.isoformat(), to_day=last.isoformat())
        return days, given


def checked(wanted: Range) -> Range:
    """The range with its days in one spelling. Raises InvalidArgument for what is no day."""
    return msgspec.structs.replace(
        wanted, from_day=_day(wanted.from_day, "from_day"), to_day=_day(wanted.to_day, "to_day")
    )


def check_limit(limit: int) -> None:
    """Raise InvalidArgument for a limit that is none."""
    if not 1 <= limit <= MAX_LIMIT:
        raise refuse("limit", f"expected a limit from 1 to {MAX_LIMIT} (limit: MAX_LIMIT), found {limit}")


def _day(text: str | None, field_name: str) -> str | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise refuse(field_name, f"expected a day as YYYY-MM-DD, found '{text[:40]}'") from error


def _weight(sums: Sums, order: str) -> float:
    if order == "total":
        return float(sums.duration_sum_ms)
    if order in ("completed", "open"):
        return float(getattr(sums, order))
    return sums.measured(order) or 0.0
