"""What notify is told, as far as it matters here. `at` is aware UTC; `instance_id` is empty for a standalone task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class Happening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base: to which process instance, and when."""

    instance_id: str
    at: datetime


class ProcessStarted(Happening, frozen=True, kw_only=True):
    super_instance_id: str
    definition_key: str
    definition_name: str
    name: str
    business_key: str
    tenant_id: str
    start_user_id: str


class ProcessUpdated(Happening, frozen=True, kw_only=True):
    """`changes`: new values of fields of `records.Process`."""

    changes: Mapping[str, Any]


class ProcessEnded(Happening, frozen=True, kw_only=True):
    """`state`: completed, terminated or failed."""

    state: str
    reason: str


class TaskCreated(Happening, frozen=True, kw_only=True):
    task_id: str
    name: str
    description: str
    assignee: str
    owner: str
    priority: int
    due_date: datetime | None
    tenant_id: str


class TaskUpdated(Happening, frozen=True, kw_only=True):
    """`changes`: new values of fields of `records.Task`."""

    task_id: str
    changes: Mapping[str, Any]


class TaskEnded(Happening, frozen=True, kw_only=True):
    task_id: str


class CandidateChanged(Happening, frozen=True, kw_only=True):
    """Exactly one of user and group is given."""

    task_id: str
    user_id: str
    group_id: str
    added: bool


class IncidentRaised(Happening, frozen=True, kw_only=True):
    incident_id: str
    reason: str
    message: str
    element_id: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """All that one command did to one tree of instances. `sequence` grows within a root; `user_id`: who gave it."""

    root_id: str
    sequence: int
    user_id: str
    happenings: tuple[Happening, ...]
