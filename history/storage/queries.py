"""Answers out of history's database: one statement for one record, two or three for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, event, null, select

from history.app.queries import ActivityFilter, InstanceFilter, Scope, TaskFilter, VariableFilter, Variables
from history.model.records import Activity, IdentityLink, ProcessInstance, Task, Variable
from history.storage import codec, tables
from history.storage.conditions import Conditions, matching
from history.storage.filtering import activities_where, instances_where, tasks_where, variables_where
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
        "taskDefinitionKey": _task.task_definition_key,
        "assignee": _task.assignee,
        "owner": _task.owner,
        "priority": _task.priority,
        "dueDate": _task.due_date,
        "category": _task.category,
        "duration": _task.duration_ms,
        "start": _task.created_at,
        "startTime": _task.created_at,
        "endTime": _task.ended_at,
        "deleteReason": _task.delete_reason,
        "executionId": _task.execution_id,
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
            *self._conditions(instances_where, wanted), *_seen(_instance.tenant_id, scope)
        )
        return await self._page(INSTANCES, statement, (wanted, scope), page, _instance_of)

    async def activities(self, wanted: ActivityFilter, page: Page, scope: Scope) -> Listed[Activity]:
        """A page of activities."""
        statement = select(tables.activity).where(
            *self._conditions(activities_where, wanted), *_seen(_activity.tenant_id, scope)
        )
        return await self._page(ACTIVITIES, statement, (wanted, scope), page, _activity_of)

    async def tasks(self, wanted: TaskFilter, page: Page, scope: Scope) -> Listed[Task]:
        """A page of tasks."""
        statement = select(tables.task).where(*self._conditions(tasks_where, wanted), *_seen(_task.tenant_id, scope))
        return await self._page(TASKS, statement, (wanted, scope), page, _task_of)

    async def variables(self, wanted: VariableFilter, page: Page, scope: Scope) -> Listed[Variable]:
        """A page of variables, without their bytes."""
        conditions = self._conditions(variables_where, wanted)
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
