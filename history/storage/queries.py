"""Answers out of history's database: one statement for one record, two or three for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, event, func, null, or_, select

from history.app.queries import ActivityFilter, InstanceFilter, Scope, TaskFilter, VariableFilter, Variables
from history.model.ids import key_of_id
from history.model.records import Activity, IdentityLink, ProcessInstance, Task, Variable
from history.storage import codec, tables
from history.storage.conditions import Conditions, matching
from mesh.db.database import Database
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch

T = TypeVar("T")

_instance: Final = tables.process_instance.c
_activity: Final = tables.activity.c
_task: Final = tables.task.c
_variable: Final = tables.variable.c
_link: Final = tables.identity_link.c

INSTANCES: Final = Sorting(
    name="historic-process-instances",
    columns={
        "processInstanceId": _instance.id,
        "processDefinitionId": _instance.definition_id,
        "businessKey": _instance.business_key,
        "startTime": _instance.started_at,
        "endTime": _instance.ended_at,
        "duration": _instance.duration_ms,
        "tenantId": _instance.tenant_id,
    },
    default="processInstanceId",
    key=_instance.id,
)
ACTIVITIES: Final = Sorting(
    name="historic-activity-instances",
    columns={
        "startTime": _activity.started_at,
        "id": _activity.id,
        "activityId": _activity.element_id,
        "activityName": _activity.element_name,
        "activityType": _activity.element_type,
        "duration": _activity.duration_ms,
        "endTime": _activity.ended_at,
        "executionId": _activity.id,
        "processDefinitionId": _activity.definition_id,
        "processInstanceId": _activity.instance_id,
        "tenantId": _activity.tenant_id,
    },
    default="startTime",
    key=_activity.ordinal,
)
TASKS: Final = Sorting(
    name="historic-task-instances",
    columns={
        "taskInstanceId": _task.id,
        "name": _task.name,
        "description": _task.description,
        "assignee": _task.assignee,
        "owner": _task.owner,
        "priority": _task.priority,
        "dueDate": _task.due_date,
        "category": _task.category,
        "duration": _task.duration_ms,
        "startTime": _task.created_at,
        "endTime": _task.ended_at,
        "processInstanceId": _task.instance_id,
        "processDefinitionId": _task.definition_id,
        "tenantId": _task.tenant_id,
    },
    default="taskInstanceId",
    key=_task.id,
)
VARIABLES: Final = Sorting(
    name="historic-variable-instances",
    columns={"variableName": _variable.name, "processInstanceId": _variable.instance_id},
    default="variableName",
    key=_variable.id,
)

_WITHOUT_BYTES: Final = (
    _variable.id,
    _variable.root_id,
    _variable.instance_id,
    _variable.execution_id,
    _variable.task_id,
    _variable.name,
    _variable.type,
    _variable.value,
    null().label("bytes"),
    _variable.created_at,
    _variable.updated_at,
    _variable.revision,
    _variable.tenant_id,
)
_WITH_BYTES: Final = tuple(_variable.bytes if n == 8 else column for n, column in enumerate(_WITHOUT_BYTES))


class Queries:
    """The `HistoryQueries` of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        if database.is_sqlite:
            event.listen(database.reader, "connect", _teach_lower)

    async def instance(self, instance_id: str, scope: Scope) -> ProcessInstance | None:
        """One instance, or None."""
        return await self._one(
            select(tables.process_instance).where(_instance.id == instance_id, *_seen(_instance.tenant_id, scope)),
            _instance_of,
        )

    async def activity(self, activity_id: str, scope: Scope) -> Activity | None:
        """One activity, or None."""
        return await self._one(
            select(tables.activity).where(_activity.id == activity_id, *_seen(_activity.tenant_id, scope)), _activity_of
        )

    async def task(self, task_id: str, scope: Scope) -> Task | None:
        """One task, or None."""
        return await self._one(select(tables.task).where(_task.id == task_id, *_seen(_task.tenant_id, scope)), _task_of)

    async def variable(self, variable_id: str, scope: Scope) -> Variable | None:
        """One variable with its bytes, or None."""
        return await self._one(
            select(*_WITH_BYTES).where(_variable.id == variable_id, *_seen(_variable.tenant_id, scope)), _variable_of
        )

    async def instances(self, wanted: InstanceFilter, page: Page, scope: Scope) -> Listed[ProcessInstance]:
        """A page of instances."""
        statement = select(tables.process_instance).where(
            *self._conditions(_instances_where, wanted), *_seen(_instance.tenant_id, scope)
        )
        return await self._page(INSTANCES, statement, (wanted, scope), page, _instance_of)

    async def activities(self, wanted: ActivityFilter, page: Page, scope: Scope) -> Listed[Activity]:
        """A page of activities."""
        statement = select(tables.activity).where(
            *self._conditions(_activities_where, wanted), *_seen(_activity.tenant_id, scope)
        )
        return await self._page(ACTIVITIES, statement, (wanted, scope), page, _activity_of)

    async def tasks(self, wanted: TaskFilter, page: Page, scope: Scope) -> Listed[Task]:
        """A page of tasks."""
        statement = select(tables.task).where(*self._conditions(_tasks_where, wanted), *_seen(_task.tenant_id, scope))
        return await self._page(TASKS, statement, (wanted, scope), page, _task_of)

    async def variables(self, wanted: VariableFilter, page: Page, scope: Scope) -> Listed[Variable]:
        """A page of variables, without their bytes."""
        conditions = self._conditions(_variables_where, wanted)
        for n, condition in enumerate(wanted.variables):
            sqlite = self._database.is_sqlite
            conditions.append(matching(condition, tables.variable, f"variables[{n}]", sqlite=sqlite))
        statement = select(*_WITHOUT_BYTES).where(*conditions, *_seen(_variable.tenant_id, scope))
        return await self._page(VARIABLES, statement, (wanted, scope), page, _variable_of)

    async def variables_of_instances(self, instance_ids: Sequence[str]) -> Variables:
        """The global variables of these instances, by name."""
        globals_ = _variable.execution_id == _variable.instance_id
        return await self._held_by(_variable.execution_id, instance_ids, globals_, lambda found: found.execution_id)

    async def variables_of_tasks(self, task_ids: Sequence[str]) -> Variables:
        """The local variables of these tasks, by name."""
        return await self._held_by(_variable.task_id, task_ids, _variable.task_id != "", lambda found: found.task_id)

    async def instances_by_id(self, ids: Sequence[str], scope: Scope) -> Mapping[str, ProcessInstance]:
        """Those instances that are there and seen."""
        statement = select(tables.process_instance).where(_instance.id.in_(ids), *_seen(_instance.tenant_id, scope))
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return {found.id: found for found in map(_instance_of, rows)}

    async def tasks_by_id(self, ids: Sequence[str], scope: Scope) -> Mapping[str, Task]:
        """Those tasks that are there and seen."""
        statement = select(tables.task).where(_task.id.in_(ids), *_seen(_task.tenant_id, scope))
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return {found.id: found for found in map(_task_of, rows)}

    async def links_of(self, owner_id: str) -> Sequence[IdentityLink]:
        """Who has to do with an instance or task."""
        order = (_link.kind, _link.user_id, _link.group_id)
        statement = select(tables.identity_link).where(_link.owner_id == owner_id).order_by(*order)
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return [IdentityLink(**fields_of(row, tables.identity_link)) for row in rows]

    def _conditions(self, fill: Callable[[Conditions, Any], None], wanted: object) -> list[ColumnElement[Any]]:
        conditions = Conditions(sqlite=self._database.is_sqlite)
        fill(conditions, wanted)
        return conditions.all

    async def _one(self, statement: Select[Any], read: Callable[[Row[Any]], T]) -> T | None:
        row = await in_database(self._database, lambda connection: connection.execute(statement).first())
        return None if row is None else read(row)

    async def _page(
        self, sorting: Sorting, statement: Select[Any], wanted: object, page: Page, read: Callable[[Row[Any]], T]
    ) -> Listed[T]:
        def work(connection: Connection) -> Listed[T]:
            return fetch(connection, sorting, statement, wanted, page).read(read)

        return await in_database(self._database, work)

    async def _held_by(
        self,
        column: ColumnElement[Any],
        ids: Sequence[str],
        condition: ColumnElement[bool],
        holder: Callable[[Variable], str],
    ) -> Mapping[str, Sequence[Variable]]:
        if not ids:
            return {}
        statement = select(*_WITHOUT_BYTES).where(column.in_(ids), condition).order_by(_variable.name)
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        found: dict[str, list[Variable]] = {}
        for row in rows:
            variable = _variable_of(row)
            found.setdefault(holder(variable), []).append(variable)
        return found


def _seen(column: ColumnElement[Any], scope: Scope) -> list[ColumnElement[bool]]:
    return [] if scope is None else [column == scope]


def _instances_where(conditions: Conditions, wanted: InstanceFilter) -> None:
    c = _instance
    conditions.equal(c.id, wanted.process_instance_id)
    conditions.one_of(c.id, wanted.process_instance_ids, "process_instance_ids")
    conditions.equal(c.name, wanted.process_instance_name)
    conditions.like(c.name, wanted.process_instance_name_like)
    conditions.equal(c.business_key, wanted.process_business_key)
    conditions.like(c.business_key, wanted.process_business_key_like)
    conditions.equal(c.business_status, wanted.business_status)
    conditions.equal(c.definition_id, wanted.process_definition_id)
    conditions.equal(c.definition_key, wanted.process_definition_key)
    conditions.one_of(c.definition_key, wanted.process_definition_key_in, "process_definition_key_in")
    for key in wanted.process_definition_key_not_in:
        conditions.add(c.definition_key != key)
    conditions.equal(c.definition_name, wanted.process_definition_name)
    conditions.equal(c.definition_category, wanted.process_definition_category)
    conditions.equal(c.definition_version, wanted.process_definition_version)
    conditions.equal(c.deployment_id, wanted.deployment_id)
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
    conditions.equal(c.reference_id, wanted.reference_id)
    conditions.tenant(c.tenant_id, wanted)
    if wanted.active_activity_id is not None:
        here = select(_activity.instance_id).where(
            _activity.element_id == wanted.active_activity_id, _activity.ended_at.is_(None)
        )
        conditions.add(c.id.in_(here))
    if wanted.involved_user is not None:
        linked = select(_link.owner_id).where(_link.user_id == wanted.involved_user)
        conditions.add(or_(c.id.in_(linked), c.start_user_id == wanted.involved_user))
    conditions.variables(c.id, "execution_id", wanted.variables, "variables")


def _activities_where(conditions: Conditions, wanted: ActivityFilter) -> None:
    c = _activity
    conditions.equal(c.id, wanted.activity_instance_id)
    conditions.equal(c.id, wanted.execution_id)
    conditions.equal(c.element_id, wanted.activity_id)
    conditions.equal(c.element_name, wanted.activity_name)
    conditions.equal(c.element_type, wanted.activity_type)
    conditions.equal(c.instance_id, wanted.process_instance_id)
    conditions.equal(c.definition_id, wanted.process_definition_id)
    conditions.equal(c.called_instance_id, wanted.called_process_instance_id)
    conditions.equal(c.assignee, wanted.task_assignee)
    conditions.present(c.ended_at, wanted.finished)
    conditions.between(c.started_at, wanted.started_after, wanted.started_before)
    conditions.between(c.ended_at, wanted.finished_after, wanted.finished_before)
    conditions.tenant(c.tenant_id, wanted)
    conditions.equal(c.canceled, wanted.canceled)


def _tasks_where(conditions: Conditions, wanted: TaskFilter) -> None:
    c = _task
    conditions.equal(c.id, wanted.task_id)
    conditions.equal(c.instance_id, wanted.process_instance_id)
    _with_children(conditions, c.instance_id, c.root_id, wanted.process_instance_id_with_children)
    conditions.equal(c.definition_id, wanted.process_definition_id)
    conditions.equal(c.execution_id, wanted.execution_id)
    conditions.equal(c.name, wanted.task_name)
    conditions.like(c.name, wanted.task_name_like)
    if wanted.task_name_like_ignore_case is not None:
        conditions.like(func.lower(c.name), wanted.task_name_like_ignore_case.lower())
    conditions.equal(c.description, wanted.task_description)
    conditions.like(c.description, wanted.task_description_like)
    conditions.equal(c.task_definition_key, wanted.task_definition_key)
    conditions.equal(c.category, wanted.task_category)
    conditions.equal(c.delete_reason, wanted.task_delete_reason)
    conditions.equal(c.assignee, wanted.task_assignee)
    conditions.like(c.assignee, wanted.task_assignee_like)
    conditions.equal(c.owner, wanted.task_owner)
    conditions.like(c.owner, wanted.task_owner_like)
    conditions.equal(c.priority, wanted.task_priority)
    conditions.present(c.ended_at, wanted.finished)
    conditions.equal(c.parent_task_id, wanted.parent_task_id)
    conditions.equal(c.due_date, wanted.due_date)
    conditions.between(c.due_date, wanted.due_date_after, wanted.due_date_before)
    if wanted.without_due_date:
        conditions.add(c.due_date.is_(None))
    conditions.between(c.created_at, wanted.task_created_after, wanted.task_created_before)
    conditions.between(c.ended_at, wanted.task_completed_after, wanted.task_completed_before)
    conditions.equal(c.completed_by, wanted.task_completed_by)
    conditions.tenant(c.tenant_id, wanted)
    _tasks_by_others(conditions, wanted)
    conditions.variables(c.id, "task_id", wanted.task_variables, "task_variables")
    conditions.variables(c.instance_id, "execution_id", wanted.process_variables, "process_variables")


def _tasks_by_others(conditions: Conditions, wanted: TaskFilter) -> None:
    """Conditions on the task's instance and on who has to do with it."""
    of_instance = Conditions(sqlite=conditions.sqlite)
    of_instance.equal(_instance.business_key, wanted.process_business_key)
    of_instance.like(_instance.business_key, wanted.process_business_key_like)
    of_instance.equal(_instance.definition_key, wanted.process_definition_key)
    of_instance.equal(_instance.definition_name, wanted.process_definition_name)
    of_instance.present(_instance.ended_at, wanted.process_finished)
    if of_instance.all:
        conditions.add(_task.instance_id.in_(select(_instance.id).where(*of_instance.all)))
    user, group = wanted.task_involved_user, wanted.task_candidate_group
    if user is not None:
        linked = select(_link.owner_id).where(_link.user_id == user)
        conditions.add(or_(_task.id.in_(linked), _task.assignee == user, _task.owner == user))
    if group is not None:
        candidates = select(_link.owner_id).where(_link.group_id == group, _link.kind == "candidate")
        conditions.add(_task.id.in_(candidates))


def _variables_where(conditions: Conditions, wanted: VariableFilter) -> None:
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


def fields_of(row: Row[Any], table: FromClause) -> dict[str, Any]:
    return dict(zip((column.name for column in table.columns), row, strict=False))


def _instance_of(row: Row[Any]) -> ProcessInstance:
    return ProcessInstance(**fields_of(row, tables.process_instance))


def _activity_of(row: Row[Any]) -> Activity:
    return Activity(**fields_of(row, tables.activity))


def _task_of(row: Row[Any]) -> Task:
    return Task(**fields_of(row, tables.task))


def _variable_of(found: Row[Any]) -> Variable:
    row: Sequence[Any] = tuple(found)
    return Variable(
        id=row[0],
        root_id=row[1],
        instance_id=row[2],
        execution_id=row[3],
        task_id=row[4],
        name=row[5],
        type=row[6],
        value=codec.decode(row[6], row[7], row[8]),
        created_at=row[9],
        updated_at=row[10],
        revision=row[11],
        tenant_id=row[12],
    )


def _teach_lower(connection: Any, _: Any) -> None:
    """SQLite's own `lower` knows ASCII only; MySQL's knows all letters, and both must find the same."""
    connection.create_function("lower", 1, lambda text: text.lower() if text else text, deterministic=True)
