"""What can be asked of history: filters as the contract names them, and the port that answers.

Not given: None, False or an empty tuple; all that are given must hold. In a `…_like`, % stands for any characters and _
for one. `…_before` and `…_after` exclude the moment itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from history.model.records import Activity, IdentityLink, ProcessInstance, Task, Value, Variable
from mesh.paging import Listed, Page


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on a variable (Flowable's query variable). `type` empty: no value was given."""

    name: str
    operation: str
    type: str
    value: Value


class InstanceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which process instances."""

    process_instance_id: str | None = None
    process_instance_ids: tuple[str, ...] = ()
    process_instance_name: str | None = None
    process_instance_name_like: str | None = None
    process_business_key: str | None = None
    process_business_key_like: str | None = None
    business_status: str | None = None
    process_definition_id: str | None = None
    process_definition_key: str | None = None
    process_definition_key_in: tuple[str, ...] = ()
    process_definition_key_not_in: tuple[str, ...] = ()
    process_definition_name: str | None = None
    process_definition_category: str | None = None
    process_definition_version: int | None = None
    deployment_id: str | None = None
    super_process_instance_id: str | None = None
    root_process_instance_id: str | None = None
    exclude_subprocesses: bool = False
    finished: bool | None = None
    state: str | None = None
    active_activity_id: str | None = None
    involved_user: str | None = None
    started_by: str | None = None
    finished_by: str | None = None
    started_before: datetime | None = None
    started_after: datetime | None = None
    finished_before: datetime | None = None
    finished_after: datetime | None = None
    callback_id: str | None = None
    reference_id: str | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
    variables: tuple[Condition, ...] = ()
    business_key: str | None = None
    business_key_like: str | None = None
    process_instance_name_like_ignore_case: str | None = None
    deployment_id_in: tuple[str, ...] = ()
    active_activity_ids: tuple[str, ...] = ()
    callback_type: str | None = None
    without_callback_id: bool = False


class ActivityFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which activities."""

    activity_instance_id: str | None = None
    activity_id: str | None = None
    activity_name: str | None = None
    activity_type: str | None = None
    execution_id: str | None = None
    process_instance_id: str | None = None
    process_definition_id: str | None = None
    called_process_instance_id: str | None = None
    task_assignee: str | None = None
    finished: bool | None = None
    started_before: datetime | None = None
    started_after: datetime | None = None
    finished_before: datetime | None = None
    finished_after: datetime | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
    canceled: bool | None = None
    process_instance_ids: tuple[str, ...] = ()


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks."""

    task_id: str | None = None
    process_instance_id: str | None = None
    process_instance_id_with_children: str | None = None
    process_business_key: str | None = None
    process_business_key_like: str | None = None
    process_definition_id: str | None = None
    process_definition_key: str | None = None
    process_definition_name: str | None = None
    execution_id: str | None = None
    task_name: str | None = None
    task_name_like: str | None = None
    task_name_like_ignore_case: str | None = None
    task_description: str | None = None
    task_description_like: str | None = None
    task_definition_key: str | None = None
    task_category: str | None = None
    task_delete_reason: str | None = None
    task_assignee: str | None = None
    task_assignee_like: str | None = None
    task_owner: str | None = None
    task_owner_like: str | None = None
    task_involved_user: str | None = None
    task_candidate_group: str | None = None
    task_priority: int | None = None
    finished: bool | None = None
    process_finished: bool | None = None
    parent_task_id: str | None = None
    due_date: datetime | None = None
    due_date_before: datetime | None = None
    due_date_after: datetime | None = None
    without_due_date: bool = False
    task_created_before: datetime | None = None
    task_created_after: datetime | None = None
    task_completed_before: datetime | None = None
    task_completed_after: datetime | None = None
    task_completed_by: str | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
    task_variables: tuple[Condition, ...] = ()
    process_variables: tuple[Condition, ...] = ()
    without_process_instance_id: bool = False
    process_definition_key_like: str | None = None
    process_definition_name_like: str | None = None
    task_definition_key_like: str | None = None
    task_definition_keys: tuple[str, ...] = ()
    task_delete_reason_like: str | None = None
    without_delete_reason: bool = False
    task_min_priority: int | None = None
    task_max_priority: int | None = None
    task_created_on: datetime | None = None
    task_completed_on: datetime | None = None
    ignore_task_assignee: bool = False


class VariableFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which variables."""

    id: str | None = None
    process_instance_id: str | None = None
    process_instance_id_with_children: str | None = None
    execution_id: str | None = None
    task_id: str | None = None
    variable_name: str | None = None
    variable_name_like: str | None = None
    exclude_task_variables: bool = False
    exclude_local_variables: bool = False
    variables: tuple[Condition, ...] = ()


Variables = Mapping[str, Sequence[Variable]]
"""Variables by the id of the instance or task that holds them."""


Scope: TypeAlias = str | None
"""The one tenant whose rows are seen, empty for rows without a tenant; None: those of all tenants."""


class HistoryQueries(Protocol):
    """Answers, of what is seen in a scope only.

    Raises Unavailable while the database is away; the lists InvalidArgument for what cannot be read.
    """

    def instance(self, instance_id: str, scope: Scope) -> Awaitable[ProcessInstance | None]:
        """One instance, or None."""
        ...

    def activity(self, activity_id: str, scope: Scope) -> Awaitable[Activity | None]:
        """One activity, or None."""
        ...

    def task(self, task_id: str, scope: Scope) -> Awaitable[Task | None]:
        """One task, or None."""
        ...

    def variable(self, variable_id: str, scope: Scope) -> Awaitable[Variable | None]:
        """One variable with its bytes, or None."""
        ...

    def instances(self, wanted: InstanceFilter, page: Page, scope: Scope) -> Awaitable[Listed[ProcessInstance]]:
        """A page of instances."""
        ...

    def activities(self, wanted: ActivityFilter, page: Page, scope: Scope) -> Awaitable[Listed[Activity]]:
        """A page of activities."""
        ...

    def tasks(self, wanted: TaskFilter, page: Page, scope: Scope) -> Awaitable[Listed[Task]]:
        """A page of tasks."""
        ...

    def variables(self, wanted: VariableFilter, page: Page, scope: Scope) -> Awaitable[Listed[Variable]]:
        """A page of variables, without their bytes."""
        ...

    def variables_of_instances(self, instance_ids: Sequence[str]) -> Awaitable[Variables]:
        """The global variables of these instances, by name."""
        ...

    def variables_of_tasks(self, task_ids: Sequence[str]) -> Awaitable[Variables]:
        """The local variables of these tasks, by name."""
        ...

    def links_of(self, owner_id: str) -> Awaitable[Sequence[IdentityLink]]:
        """Who has to do with an instance or task."""
        ...
