"""What is added to the statistics: sums that follow from the stream alone, so that a rebuild adds up to the same.

Durations are of what ran to its end: completed instances and tasks, activities that were not cancelled. Sequence flows
are not counted. A day is a day in UTC.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from history.model.ids import digest, key_of_definition
from history.model.records import COMPLETED, FAILED, SEQUENCE_FLOW, Activity, ProcessInstance, Task, milliseconds
from history.model.sketch import bucket_of

PROCESS: Final = "process"
ACTIVITY: Final = "activity"
TASK: Final = "task"


class DayKey(NamedTuple):
    """What a day's counts are of."""

    day: str
    kind: str
    tenant_id: str
    definition_id: str
    definition_key: str
    element_id: str

    @property
    def id(self) -> str:
        """The primary key."""
        return digest(*self)


class UserDay(NamedTuple):
    """Whose work of which day."""

    day: str
    tenant_id: str
    user_id: str

    @property
    def id(self) -> str:
        """The primary key."""
        return digest(*self)


class Standing(NamedTuple):
    """What something open is counted under."""

    kind: str
    tenant_id: str
    definition_id: str
    definition_key: str
    element_id: str
    user_id: str

    @property
    def id(self) -> str:
        """The primary key."""
        return digest(*self)


@dataclass(slots=True)
class DayCounts:
    """Sums of a day."""

    element_name: str = ""
    element_type: str = ""
    started: int = 0
    completed: int = 0
    canceled: int = 0
    failed: int = 0
    duration_count: int = 0
    duration_sum_ms: int = 0


@dataclass(slots=True)
class UserCounts:
    """Sums of a user's day."""

    assigned: int = 0
    completed: int = 0
    work_count: int = 0
    work_sum_ms: int = 0


@dataclass(slots=True)
class Counted:
    """What a batch adds."""

    days: dict[DayKey, DayCounts] = field(default_factory=lambda: defaultdict(DayCounts))
    durations: dict[tuple[DayKey, int], int] = field(default_factory=lambda: defaultdict(int))
    users: dict[UserDay, UserCounts] = field(default_factory=lambda: defaultdict(UserCounts))
    standing: dict[Standing, int] = field(default_factory=lambda: defaultdict(int))


class Counting:
    """Takes note of what a batch does to records."""

    def __init__(self) -> None:
        self._counted = Counted()
        self._before: dict[tuple[str, str], Standing | None] = {}

    def counted(self, instances: list[ProcessInstance], activities: list[Activity], tasks: list[Task]) -> Counted:
        """All that the batch adds, given the records that it changed as they are now."""
        for now in (
            *((PROCESS, found.id, _instance_standing(found)) for found in instances),
            *((ACTIVITY, found.id, _activity_standing(found)) for found in activities),
            *((TASK, found.id, _task_standing(found)) for found in tasks),
        ):
            kind, record_id, after = now
            before = self._before.get((kind, record_id))
            if before == after:
                continue
            if before is not None:
                self._counted.standing[before] -= 1
            if after is not None:
                self._counted.standing[after] += 1
        return self._counted

    def touches_instance(self, record: ProcessInstance) -> None:
        """Before a record that was loaded is changed."""
        if (PROCESS, record.id) not in self._before:
            self._before[PROCESS, record.id] = _instance_standing(record)

    def touches_activity(self, record: Activity) -> None:
        """Before a record that was loaded is changed."""
        if (ACTIVITY, record.id) not in self._before:
            self._before[ACTIVITY, record.id] = _activity_standing(record)

    def touches_task(self, record: Task) -> None:
        """Before a record that was loaded is changed."""
        if (TASK, record.id) not in self._before:
            self._before[TASK, record.id] = _task_standing(record)

    def instance_started(self, record: ProcessInstance) -> None:
        """A new instance."""
        self._before[PROCESS, record.id] = None
        self._counted.days[_instance_day(record, record.started_at)].started += 1

    def instance_ended(self, record: ProcessInstance, at: datetime) -> None:
        """An instance is over; its record says how."""
        key = _instance_day(record, at)
        counts = self._counted.days[key]
        if record.state == COMPLETED:
            counts.completed += 1
            self._lasted(key, counts, record.duration_ms)
        elif record.state == FAILED:
            counts.failed += 1
        else:
            counts.canceled += 1

    def activity_started(self, record: Activity) -> None:
        """A token arrived."""
        self._before[ACTIVITY, record.id] = None
        if record.element_type != SEQUENCE_FLOW:
            self._activity_counts(_activity_day(record, record.started_at), record).started += 1

    def activity_ended(self, record: Activity, at: datetime) -> None:
        """A token left."""
        key = _activity_day(record, at)
        counts = self._activity_counts(key, record)
        if record.canceled:
            counts.canceled += 1
        else:
            counts.completed += 1
            self._lasted(key, counts, record.duration_ms)

    def task_created(self, record: Task) -> None:
        """A new task."""
        self._before[TASK, record.id] = None
        self._task_counts(_task_day(record, record.created_at), record).started += 1
        self.task_assigned(record, record.created_at)

    def task_assigned(self, record: Task, at: datetime) -> None:
        """A task has another assignee; does nothing if it has none."""
        if record.assignee:
            self._counted.users[UserDay(_day(at), record.tenant_id, record.assignee)].assigned += 1

    def task_ended(self, record: Task, at: datetime, *, canceled: bool) -> None:
        """A task is done or gone."""
        key = _task_day(record, at)
        counts = self._task_counts(key, record)
        if canceled:
            counts.canceled += 1
            return
        counts.completed += 1
        self._lasted(key, counts, record.duration_ms)
        user_id = record.completed_by or record.assignee
        if user_id:
            work = self._counted.users[UserDay(_day(at), record.tenant_id, user_id)]
            work.completed += 1
            work.work_count += 1
            work.work_sum_ms += milliseconds(record.claim_time or record.created_at, at)

    def _activity_counts(self, key: DayKey, record: Activity) -> DayCounts:
        counts = self._counted.days[key]
        counts.element_name, counts.element_type = record.element_name, record.element_type
        return counts

    def _task_counts(self, key: DayKey, record: Task) -> DayCounts:
        counts = self._counted.days[key]
        # Names of tasks can hold variables; the element's own is told with the activities.
        counts.element_name, counts.element_type = "", "userTask" if record.task_definition_key else ""
        return counts

    def _lasted(self, key: DayKey, counts: DayCounts, duration_ms: int | None) -> None:
        if duration_ms is not None:
            counts.duration_count += 1
            counts.duration_sum_ms += duration_ms
            self._counted.durations[key, bucket_of(duration_ms)] += 1


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _instance_day(record: ProcessInstance, at: datetime) -> DayKey:
    return DayKey(_day(at), PROCESS, record.tenant_id, record.definition_id, record.definition_key, "")


def _activity_day(record: Activity, at: datetime) -> DayKey:
    key = key_of_definition(record.definition_id)
    return DayKey(_day(at), ACTIVITY, record.tenant_id, record.definition_id, key, record.element_id)


def _task_day(record: Task, at: datetime) -> DayKey:
    key = key_of_definition(record.definition_id)
    return DayKey(_day(at), TASK, record.tenant_id, record.definition_id, key, record.task_definition_key)


def _instance_standing(record: ProcessInstance) -> Standing | None:
    if record.ended_at is not None:
        return None
    return Standing(PROCESS, record.tenant_id, record.definition_id, record.definition_key, "", "")


def _activity_standing(record: Activity) -> Standing | None:
    if record.ended_at is not None or record.element_type == SEQUENCE_FLOW:
        return None
    key = key_of_definition(record.definition_id)
    return Standing(ACTIVITY, record.tenant_id, record.definition_id, key, record.element_id, "")


def _task_standing(record: Task) -> Standing | None:
    if record.ended_at is not None:
        return None
    key = key_of_definition(record.definition_id)
    return Standing(TASK, record.tenant_id, record.definition_id, key, record.task_definition_key, record.assignee)
