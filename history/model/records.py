"""What history keeps. Records change while a batch of events is applied to them; outside they are read only.

Texts that are not given are empty, moments and durations that are not given are None. Ids are those of the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

Value: TypeAlias = Any
"""None | bool | int | float | str | bytes | datetime | list[Value] | dict[str, Value]."""

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
COMPLETED: Final = "completed"
TERMINATED: Final = "terminated"
FAILED: Final = "failed"

SEQUENCE_FLOW: Final = "sequenceFlow"
"""The activity type of a sequence flow that was taken, as Flowable has it."""


@dataclass(slots=True, kw_only=True)
class ProcessInstance:
    """An instance, running or over."""

    id: str
    root_id: str
    super_instance_id: str = ""
    super_execution_id: str = ""
    definition_id: str = ""
    definition_key: str = ""
    definition_version: int = 0
    definition_name: str = ""
    definition_category: str = ""
    deployment_id: str = ""
    name: str = ""
    business_key: str = ""
    business_status: str = ""
    tenant_id: str = ""
    start_user_id: str = ""
    end_user_id: str = ""
    start_activity_id: str = ""
    end_activity_id: str = ""
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: int | None = None
    state: str = ACTIVE
    delete_reason: str = ""
    callback_id: str = ""
    callback_type: str = ""
    reference_id: str = ""
    reference_type: str = ""


@dataclass(slots=True, kw_only=True)
class Activity:
    """The stay of a token at an element, or its passage along a sequence flow. `ordinal` grows in order of start."""

    id: str
    ordinal: int
    root_id: str
    instance_id: str
    parent_id: str = ""
    definition_id: str = ""
    element_id: str = ""
    element_name: str = ""
    element_type: str = ""
    task_id: str = ""
    called_instance_id: str = ""
    assignee: str = ""
    tenant_id: str = ""
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: int | None = None
    canceled: bool = False
    delete_reason: str = ""


@dataclass(slots=True, kw_only=True)
class Task:
    """A task, open or over."""

    id: str
    root_id: str
    instance_id: str = ""
    execution_id: str = ""
    definition_id: str = ""
    task_definition_key: str = ""
    name: str = ""
    description: str = ""
    assignee: str = ""
    owner: str = ""
    priority: int = 50
    due_date: datetime | None = None
    category: str = ""
    form_key: str = ""
    parent_task_id: str = ""
    tenant_id: str = ""
    created_at: datetime
    claim_time: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    delete_reason: str = ""
    completed_by: str = ""


@dataclass(slots=True, kw_only=True)
class Variable:
    """A variable with its last value; `id` is its key (`model.ids`).

    `execution_id` is the instance's id for a global one; one of a task has a `task_id` and no `execution_id`.
    """

    id: str
    root_id: str
    instance_id: str
    execution_id: str
    task_id: str
    name: str
    type: str
    value: Value
    created_at: datetime
    updated_at: datetime
    revision: int = 0
    """How often it was changed since it was made."""
    tenant_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityLink:
    """Who has, or had, to do with an instance or task (`owner_id`)."""

    owner_id: str
    kind: str
    user_id: str
    group_id: str
    root_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One value that a variable had. `ordinal` grows in the order in which they were set; `activity_id`: where."""

    id: str
    ordinal: int
    root_id: str
    instance_id: str
    execution_id: str
    activity_id: str
    task_id: str
    variable_id: str
    name: str
    type: str
    value: Value
    revision: int
    tenant_id: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLogEntry:
    """Something that was done with a task, in Flowable's words; `data` is its JSON. `ordinal` is the log number."""

    id: str
    ordinal: int
    root_id: str
    instance_id: str
    task_id: str
    execution_id: str
    definition_id: str
    tenant_id: str
    type: str
    user_id: str
    data: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A remark on a task or an instance. `told`: the engine told of it; else it was said to history itself."""

    id: str
    root_id: str
    instance_id: str
    task_id: str
    author: str
    message: str
    created_at: datetime
    told: bool


def milliseconds(since: datetime, until: datetime) -> int:
    """Whole milliseconds between two moments, never negative: clocks of two processes may disagree a little."""
    return max((until - since) // timedelta(milliseconds=1), 0)
