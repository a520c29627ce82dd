"""What lists can be filtered by. Fields are named as in the contract; all that are given must hold.

Not given: None, False or an empty tuple. In a `…_like`, % stands for any characters and _ for one. `…_before` and
`…_after` exclude the moment itself.
"""

from datetime import datetime

import msgspec

from engine.kernel.values import Variable


class VariableCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on a variable (Flowable's query variable).

    `operation`: equals, notEquals, equalsIgnoreCase, notEqualsIgnoreCase, like, likeIgnoreCase, greaterThan,
    greaterThanOrEquals, lessThan, lessThanOrEquals, exists or notExists. `name` empty: any variable with that value,
    only with equals. `value` is None only with exists and notExists. The operations that end in `notEquals` want a
    variable of that name with another value, as Flowable does.
    """

    name: str = ""
    operation: str
    value: Variable | None = None


class DeploymentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deployments."""

    name: str | None = None
    name_like: str | None = None
    category: str | None = None
    category_not_equals: str | None = None
    key: str | None = None
    key_like: str | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False


class ProcessDefinitionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which process definitions. `startable_by_groups`: the groups of `startable_by_user`, as far as they are known."""

    id: str | None = None
    key: str | None = None
    key_like: str | None = None
    name: str | None = None
    name_like: str | None = None
    name_like_ignore_case: str | None = None
    category: str | None = None
    category_like: str | None = None
    category_not_equals: str | None = None
    version: int | None = None
    latest: bool = False
    suspended: bool | None = None
    deployment_id: str | None = None
    resource_name: str | None = None
    resource_name_like: str | None = None
    startable_by_user: str | None = None
    startable_by_groups: tuple[str, ...] = ()
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False


class ProcessInstanceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which running process instances.

    Flowable's list and its query have different names for some conditions; both are here.
    """

    id: str | None = None
    process_instance_ids: tuple[str, ...] = ()
    name: str | None = None
    name_like: str | None = None
    name_like_ignore_case: str | None = None
    business_key: str | None = None
    business_key_like: str | None = None
    business_status: str | None = None
    process_definition_id: str | None = None
    process_definition_key: str | None = None
    process_definition_keys: tuple[str, ...] = ()
    exclude_process_definition_keys: tuple[str, ...] = ()
    process_definition_name: str | None = None
    process_definition_category: str | None = None
    process_definition_version: int | None = None
    deployment_id: str | None = None
    super_process_instance_id: str | None = None
    sub_process_instance_id: str | None = None
    root_process_instance_id: str | None = None
    exclude_subprocesses: bool = False
    active_activity_id: str | None = None
    involved_user: str | None = None
    started_by: str | None = None
    started_before: datetime | None = None
    started_after: datetime | None = None
    suspended: bool | None = None
    callback_id: str | None = None
    reference_id: str | None = None
    include_process_variables: bool = False
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
    variables: tuple[VariableCondition, ...] = ()
    process_instance_id: str | None = None
    process_instance_name: str | None = None
    process_instance_name_like: str | None = None
    process_instance_name_like_ignore_case: str | None = None
    process_business_key: str | None = None
    process_business_key_like: str | None = None
    process_business_key_like_ignore_case: str | None = None
    process_business_status: str | None = None
    process_definition_ids: tuple[str, ...] = ()
    process_definition_key_like: str | None = None
    process_definition_name_like: str | None = None
    process_definition_category_like: str | None = None
    deployment_id_in: tuple[str, ...] = ()
    active_activity_ids: tuple[str, ...] = ()


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions."""

    id: str | None = None
    activity_id: str | None = None
    parent_id: str | None = None
    process_instance_id: str | None = None
    root_process_instance_id: str | None = None
    process_business_key: str | None = None
    process_definition_id: str | None = None
    process_definition_key: str | None = None
    message_event_subscription_name: str | None = None
    signal_event_subscription_name: str | None = None
    waiting: bool | None = None
    only_child_executions: bool = False
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
    variables: tuple[VariableCondition, ...] = ()
    process_instance_variables: tuple[VariableCondition, ...] = ()
    process_instance_business_key: str | None = None


class ActivityInstanceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which stays of tokens at elements. Those that are over are the history's: `finished` True finds none here."""

    activity_instance_id: str | None = None
    activity_id: str | None = None
    activity_name: str | None = None
    activity_type: str | None = None
    execution_id: str | None = None
    process_instance_id: str | None = None
    process_definition_id: str | None = None
    task_assignee: str | None = None
    finished: bool | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False


class EventSubscriptionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which event subscriptions."""

    id: str | None = None
    event_type: str | None = None
    event_name: str | None = None
    activity_id: str | None = None
    execution_id: str | None = None
    process_instance_id: str | None = None
    process_definition_id: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    tenant_id: str | None = None
    without_tenant_id: bool = False
    tenant_id_like: str | None = None
    without_process_instance_id: bool = False


class VariableInstanceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which variables, wherever they hang. `variables`: each condition must hold for the variable itself."""

    task_id: str | None = None
    execution_id: str | None = None
    process_instance_id: str | None = None
    variable_name: str | None = None
    variable_name_like: str | None = None
    exclude_task_variables: bool = False
    exclude_local_variables: bool = False
    variables: tuple[VariableCondition, ...] = ()


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which open tasks.

    `user_groups`: the groups of `candidate_user` or `candidate_or_assigned`, as far as they are known; the engine
    itself knows nobody's groups. `active` None: suspended ones too.
    """

    name: str | None = None
    name_like: str | None = None
    name_like_ignore_case: str | None = None
    description: str | None = None
    description_like: str | None = None
    priority: int | None = None
    minimum_priority: int | None = None
    maximum_priority: int | None = None
    assignee: str | None = None
    assignee_like: str | None = None
    owner: str | None = None
    owner_like: str | None = None
    unassigned: bool = False
    assigned: bool = False
    delegation_state: str | None = None
    candidate_user: str | None = None
    candidate_group: str | None = None
    candidate_group_in: tuple[str, ...] = ()
    ignore_assignee: bool = False
    candidate_or_assigned: str | None = None
    user_groups: tuple[str, ...] = ()
    involved_user: str | None = None
    task_id: str | None = None
    task_definition_key: str | None = None
    task_definition_key_like: str | None = None
    task_definition_keys: tuple[str, ...] = ()
    process_instance_id: str | None = None
    process_instance_id_with_children: str | None = None
    process_instance_id_in: tuple[str, ...] = ()
    process_instance_business_key: str | None = None
    process_instance_business_key_like: str | None = None
    process_definition_id: str | None = None
    process_definition_key: str | None = None
    process_definition_key_like: str | None = None
    process_definition_name: str | None = None
    process_definition_name_like: str | None = None
    execution_id: str | None = None
    created_on: datetime | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    due_date: datetime | None = None
    due_before: datetime | None = None
    due_after: datetime | None = None
    without_due_date: bool = False
    exclude_sub_tasks: bool = False
    active: bool | None = None
    category: str | None = None
    category_in: tuple[str, ...] = ()
    form_key: str | None = None
    include_task_local_variables: bool = False
    include_process_variables: bool = False
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
    task_variables: tuple[VariableCondition, ...] = ()
    process_instance_variables: tuple[VariableCondition, ...] = ()
    candidate_groups: tuple[str, ...] = ()
    category_not_in: tuple[str, ...] = ()
    without_category: bool = False
    without_process_instance_id: bool = False

    @property
    def groups_asked_for(self) -> tuple[str, ...]:
        """The groups whose tasks are asked for, by whichever of the three names."""
        one = (self.candidate_group,) if self.candidate_group is not None else ()
        return (*one, *self.candidate_group_in, *self.candidate_groups)


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs of one kind: jobs, timer-jobs, suspended-jobs, deadletter-jobs or external-worker-jobs."""

    kind: str
    id: str | None = None
    process_instance_id: str | None = None
    without_process_instance_id: bool = False
    execution_id: str | None = None
    process_definition_id: str | None = None
    element_id: str | None = None
    element_name: str | None = None
    handler_type: str | None = None
    handler_types: tuple[str, ...] = ()
    timers_only: bool = False
    messages_only: bool = False
    with_exception: bool = False
    exception_message: str | None = None
    due_before: datetime | None = None
    due_after: datetime | None = None
    locked: bool = False
    unlocked: bool = False
    executable: bool = False
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False


class ExternalWorkerJobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs of external workers, dead or suspended ones not included."""

    id: str | None = None
    process_instance_id: str | None = None
    without_process_instance_id: bool = False
    execution_id: str | None = None
    process_definition_id: str | None = None
    element_id: str | None = None
    element_name: str | None = None
    topic: str | None = None
    lock_owner: str | None = None
    locked: bool = False
    unlocked: bool = False
    with_exception: bool = False
    exception_message: str | None = None
    due_before: datetime | None = None
    due_after: datetime | None = None
    tenant_id: str | None = None
    tenant_id_like: str | None = None
    without_tenant_id: bool = False
