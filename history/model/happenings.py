"""What history is told, as far as it keeps it. `at` is aware UTC; `instance_id` is empty for a standalone task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from history.model.records import Value


class Happening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base: to which process instance, and when."""

    instance_id: str
    at: datetime


class InstanceStarted(Happening, frozen=True, kw_only=True):
    definition_id: str
    definition_key: str
    definition_version: int
    definition_name: str
    definition_category: str
    deployment_id: str
    tenant_id: str
    name: str
    business_key: str
    business_status: str
    start_user_id: str
    start_activity_id: str
    super_instance_id: str
    super_execution_id: str
    callback_id: str
    callback_type: str
    reference_id: str
    reference_type: str


class InstanceEnded(Happening, frozen=True, kw_only=True):
    state: str
    end_activity_id: str
    delete_reason: str


class InstanceStateChanged(Happening, frozen=True, kw_only=True):
    state: str


class InstanceUpdated(Happening, frozen=True, kw_only=True):
    """`changes`: new values of fields of `records.ProcessInstance`."""

    changes: Mapping[str, str]


class InstanceMigrated(Happening, frozen=True, kw_only=True):
    """`element_ids`: former to new element ids, where they differ."""

    definition_id: str
    definition_key: str
    definition_version: int
    definition_name: str
    definition_category: str
    deployment_id: str
    element_ids: Mapping[str, str]


class ActivityStarted(Happening, frozen=True, kw_only=True):
    execution_id: str
    parent_id: str
    element_id: str
    element_name: str
    element_type: str
    task_id: str
    called_instance_id: str
    assignee: str


class ActivityUpdated(Happening, frozen=True, kw_only=True):
    """`changes`: new values of fields of `records.Activity`."""

    execution_id: str
    changes: Mapping[str, str]


class ActivityEnded(Happening, frozen=True, kw_only=True):
    execution_id: str
    canceled: bool
    reason: str


class FlowTaken(Happening, frozen=True, kw_only=True):
    """`passage_id` is the id of this passage."""

    passage_id: str
    flow_id: str


class VariableSet(Happening, frozen=True, kw_only=True):
    """`execution_id` or `task_id` is the scope; a global variable has the instance's id as `execution_id`."""

    variable_key: str
    execution_id: str
    task_id: str
    name: str
    type: str
    value: Value


class VariableRemoved(Happening, frozen=True, kw_only=True):
    variable_key: str
    execution_id: str
    task_id: str
    name: str


class TaskCreated(Happening, frozen=True, kw_only=True):
    task_id: str
    execution_id: str
    definition_id: str
    task_definition_key: str
    name: str
    description: str
    assignee: str
    owner: str
    priority: int
    due_date: datetime | None
    category: str
    form_key: str
    parent_task_id: str
    tenant_id: str


class TaskUpdated(Happening, frozen=True, kw_only=True):
    """`changes`: new values of fields of `records.Task`."""

    task_id: str
    changes: dict[str, Value]


class TaskEnded(Happening, frozen=True, kw_only=True):
    task_id: str
    canceled: bool
    reason: str
    completed_by: str
    forgotten: bool = False


class LinkAdded(Happening, frozen=True, kw_only=True):
    owner_id: str
    of_task: bool
    kind: str
    user_id: str
    group_id: str


class LinkRemoved(Happening, frozen=True, kw_only=True):
    owner_id: str
    of_task: bool
    kind: str
    user_id: str
    group_id: str


class CommentAdded(Happening, frozen=True, kw_only=True):
    """`instance_id` is that of the task; `of_instance`: the remark is the instance's too."""

    comment_id: str
    task_id: str
    author: str
    message: str
    of_instance: bool


class CommentRemoved(Happening, frozen=True, kw_only=True):
    comment_id: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """All that one command did to one tree of instances. `sequence` grows within a root; `user_id`: who gave it."""

    root_id: str
    sequence: int
    user_id: str
    tenant_id: str
    happenings: tuple[Happening, ...]
