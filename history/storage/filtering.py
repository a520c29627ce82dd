"""What the filters of lists ask for, as conditions on history's rows."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, or_, select

from history.app.queries import ActivityFilter, InstanceFilter, TaskFilter, VariableFilter
from history.model.ids import key_of_id
from history.storage import tables
from history.storage.conditions import Conditions, limited

_instance: Final = tables.process_instance.c
_activity: Final = tables.activity.c
_task: Final = tables.task.c
_variable: Final = tables.variable.c
_link: Final = tables.identity_link.c


def instances_where(conditions: Conditions, wanted: InstanceFilter) -> None:
    """Conditions on process instances."""
    c = _instance
    conditions.equal(c.id, wanted.process_instance_id)
    conditions.one_of(c.id, wanted.process_instance_ids, "process_instance_ids")
    conditions.equal(c.name, wanted.process_instance_name)
    conditions.like(c.name, wanted.process_instance_name_like)
    conditions.like_ignore_case(c.name, wanted.process_instance_name_like_ignore_case)
    for key in (wanted.process_business_key, wanted.business_key):
        conditions.equal(c.business_key, key)
    for pattern in (wanted.process_business_key_like, wanted.business_key_like):
        conditions.like(c.business_key, pattern)
    conditions.equal(c.business_status, wanted.business_status)
    conditions.equal(c.super_instance_id, wanted.super_process_instance_id)
    conditions.equal(c.root_id, wanted.root_process_instance_id)
    if wanted.exclude_subprocesses:
        conditions.add(c.super_instance_id == "")
    conditions.present(c.ended_at, wanted.finished)
    conditions.equal(c.state, wanted.state)
    conditions.equal(c.start_user_id, wanted.started_by)
    conditions.equal(c.end_user_id, wanted.finished_by)
    conditions.between(c.started_at, wanted.started_after, wanted.started_before)
    conditions.between(c.ended_at, wanted.finished_after, wanted.finished_before)
    conditions.equal(c.callback_id, wanted.callback_id)
    conditions.equal(c.callback_type, wanted.callback_type)
    if wanted.without_callback_id:
        conditions.add(c.callback_id == "")
    conditions.equal(c.reference_id, wanted.reference_id)
    conditions.tenant(c.tenant_id, wanted)
    _instances_of_definition(conditions, wanted)
    _instances_by_others(conditions, wanted)
    conditions.variables(c.id, "execution_id", wanted.variables, "variables")


def _instances_of_definition(conditions: Conditions, wanted: InstanceFilter) -> None:
    c = _instance
    conditions.equal(c.definition_id, wanted.process_definition_id)
    conditions.equal(c.definition_key, wanted.process_definition_key)
    conditions.one_of(c.definition_key, wanted.process_definition_key_in, "process_definition_key_in")
    for key in wanted.process_definition_key_not_in:
        conditions.add(c.definition_key != key)
    conditions.equal(c.definition_name, wanted.process_definition_name)
    conditions.equal(c.definition_category, wanted.process_definition_category)
    conditions.equal(c.definition_version, wanted.process_definition_version)
    conditions.equal(c.deployment_id, wanted.deployment_id)
    conditions.one_of(c.deployment_id, wanted.deployment_id_in, "deployment_id_in")


def _instances_by_others(conditions: Conditions, wanted: InstanceFilter) -> None:
    """Conditions on where an instance is and on who has to do with it."""
    elements = (wanted.active_activity_id,) if wanted.active_activity_id is not None else ()
    for one_of in (elements, limited(wanted.active_activity_ids, "active_activity_ids")):
        if one_of:
            at = _activity.element_id.in_(one_of)
            conditions.add(_instance.id.in_(select(_activity.instance_id).where(at, _activity.ended_at.is_(None))))
    user = wanted.involved_user
    if user is not None:
        linked = select(_link.owner_id).where(_link.user_id == user)
        conditions.add(or_(_instance.id.in_(linked), _instance.start_user_id == user))


def activities_where(conditions: Conditions, wanted: ActivityFilter) -> None:
    """Conditions on activities."""
    c = _activity
    conditions.equal(c.id, wanted.activity_instance_id)
    conditions.equal(c.id, wanted.execution_id)
    conditions.equal(c.element_id, wanted.activity_id)
    conditions.equal(c.element_name, wanted.activity_name)
    conditions.equal(c.element_type, wanted.activity_type)
    conditions.equal(c.instance_id, wanted.process_instance_id)
    conditions.one_of(c.instance_id, wanted.process_instance_ids, "process_instance_ids")
    conditions.equal(c.definition_id, wanted.process_definition_id)
    conditions.equal(c.called_instance_id, wanted.called_process_instance_id)
    conditions.equal(c.assignee, wanted.task_assignee)
    conditions.present(c.ended_at, wanted.finished)
    conditions.between(c.started_at, wanted.started_after, wanted.started_before)
    conditions.between(c.ended_at, wanted.finished_after, wanted.finished_before)
    conditions.tenant(c.tenant_id, wanted)
    conditions.equal(c.canceled, wanted.canceled)


def tasks_where(conditions: Conditions, wanted: TaskFilter) -> None:
    """Conditions on tasks."""
    c = _task
    conditions.equal(c.id, wanted.task_id)
    conditions.equal(c.instance_id, wanted.process_instance_id)
    if wanted.without_process_instance_id:
        conditions.add(c.instance_id == "")
    _with_children(conditions, c.instance_id, c.root_id, wanted.process_instance_id_with_children)
    conditions.equal(c.definition_id, wanted.process_definition_id)
    conditions.equal(c.execution_id, wanted.execution_id)
    conditions.equal(c.task_definition_key, wanted.task_definition_key)
    conditions.like(c.task_definition_key, wanted.task_definition_key_like)
    conditions.one_of(c.task_definition_key, wanted.task_definition_keys, "task_definition_keys")
    conditions.equal(c.parent_task_id, wanted.parent_task_id)
    conditions.tenant(c.tenant_id, wanted)
    _tasks_by_texts(conditions, wanted)
    _tasks_by_times(conditions, wanted)
    _tasks_by_instance(conditions, wanted)
    _tasks_by_people(conditions, wanted)
    conditions.variables(c.id, "task_id", wanted.task_variables, "task_variables")
    conditions.variables(c.instance_id, "execution_id", wanted.process_variables, "process_variables")


def _tasks_by_texts(conditions: Conditions, wanted: TaskFilter) -> None:
    c = _task
    conditions.equal(c.name, wanted.task_name)
    conditions.like(c.name, wanted.task_name_like)
    conditions.like_ignore_case(c.name, wanted.task_name_like_ignore_case)
    conditions.equal(c.description, wanted.task_description)
    conditions.like(c.description, wanted.task_description_like)
    conditions.equal(c.category, wanted.task_category)
    conditions.equal(c.delete_reason, wanted.task_delete_reason)
    conditions.like(c.delete_reason, wanted.task_delete_reason_like)
    if wanted.without_delete_reason:
        conditions.add(c.delete_reason == "")
    conditions.equal(c.priority, wanted.task_priority)
    if wanted.task_min_priority is not None:
        conditions.add(c.priority >= wanted.task_min_priority)
    if wanted.task_max_priority is not None:
        conditions.add(c.priority <= wanted.task_max_priority)


def _tasks_by_times(conditions: Conditions, wanted: TaskFilter) -> None:
    c = _task
    conditions.present(c.ended_at, wanted.finished)
    conditions.equal(c.due_date, wanted.due_date)
    conditions.between(c.due_date, wanted.due_date_after, wanted.due_date_before)
    if wanted.without_due_date:
        conditions.add(c.due_date.is_(None))
    conditions.equal(c.created_at, wanted.task_created_on)
    conditions.between(c.created_at, wanted.task_created_after, wanted.task_created_before)
    conditions.equal(c.ended_at, wanted.task_completed_on)
    conditions.between(c.ended_at, wanted.task_completed_after, wanted.task_completed_before)


def _tasks_by_instance(conditions: Conditions, wanted: TaskFilter) -> None:
    """What only the task's instance knows."""
    of_instance = Conditions(sqlite=conditions.sqlite)
    of_instance.equal(_instance.business_key, wanted.process_business_key)
    of_instance.like(_instance.business_key, wanted.process_business_key_like)
    of_instance.equal(_instance.definition_key, wanted.process_definition_key)
    of_instance.like(_instance.definition_key, wanted.process_definition_key_like)
    of_instance.equal(_instance.definition_name, wanted.process_definition_name)
    of_instance.like(_instance.definition_name, wanted.process_definition_name_like)
    of_instance.present(_instance.ended_at, wanted.process_finished)
    if of_instance.all:
        conditions.add(_task.instance_id.in_(select(_instance.id).where(*of_instance.all)))


def _tasks_by_people(conditions: Conditions, wanted: TaskFilter) -> None:
    c = _task
    conditions.equal(c.assignee, wanted.task_assignee)
    conditions.like(c.assignee, wanted.task_assignee_like)
    conditions.equal(c.owner, wanted.task_owner)
    conditions.like(c.owner, wanted.task_owner_like)
    conditions.equal(c.completed_by, wanted.task_completed_by)
    user, group = wanted.task_involved_user, wanted.task_candidate_group
    if user is not None:
        linked = select(_link.owner_id).where(_link.user_id == user)
        conditions.add(or_(c.id.in_(linked), c.assignee == user, c.owner == user))
    if group is not None:
        candidates = select(_link.owner_id).where(_link.group_id == group, _link.kind == "candidate")
        conditions.add(c.id.in_(candidates))
        if not wanted.ignore_task_assignee:
            conditions.add(c.assignee == "")


def variables_where(conditions: Conditions, wanted: VariableFilter) -> None:
    """Conditions on variables."""
    c = _variable
    if wanted.id is not None:
        conditions.equal(c.id, key_of_id(wanted.id) or "")
    conditions.equal(c.instance_id, wanted.process_instance_id)
    _with_children(conditions, c.instance_id, c.root_id, wanted.process_instance_id_with_children)
    conditions.equal(c.execution_id, wanted.execution_id)
    conditions.equal(c.task_id, wanted.task_id)
    conditions.equal(c.name, wanted.variable_name)
    conditions.like(c.name, wanted.variable_name_like)
    if wanted.exclude_task_variables:
        conditions.add(c.task_id == "")
    if wanted.exclude_local_variables:
        conditions.add(c.execution_id == c.instance_id)


def _with_children(
    conditions: Conditions, instance: ColumnElement[Any], root: ColumnElement[Any], instance_id: str | None
) -> None:
    """Of the instance and of all that it called: a walk down from it, within its root."""
    if instance_id is None:
        return
    top = select(_instance.id, _instance.root_id).where(_instance.id == instance_id).cte("tree", recursive=True)
    below = tables.process_instance.alias()
    tree = top.union(select(below.c.id, below.c.root_id).join(top, below.c.super_instance_id == top.c.id))
    conditions.add(root.in_(select(tree.c.root_id)))
    conditions.add(instance.in_(select(tree.c.id)))
