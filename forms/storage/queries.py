"""The read side of forms: one statement each, and one more where a list counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, select

from forms.app.filters import DefinitionFilter, DeploymentFilter, InstanceFilter
from forms.model.records import DEPLOYED, DISCARDED, PREPARED, SUBMITTED, Definition, Deployment, Instance
from forms.storage import tables
from forms.storage.store import record_of
from mesh.db.database import Database
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch

R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")

_DEPLOYMENT: Final = tables.deployment
_DEFINITION: Final = tables.definition
_INSTANCE: Final = tables.instance

_RARE: Final = (PREPARED, DISCARDED)
_GLOB: Final = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}

_DEPLOYMENTS: Final = Sorting(
    name="form deployments",
    columns={
        "id": _DEPLOYMENT.c.id,
        "name": _DEPLOYMENT.c.name,
        "deployTime": _DEPLOYMENT.c.deployed_at,
        "tenantId": _DEPLOYMENT.c.tenant_id,
    },
    default="id",
    key=_DEPLOYMENT.c.id,
)
_DEFINITIONS: Final = Sorting(
    name="form definitions",
    columns={
        "id": _DEFINITION.c.id,
        "key": _DEFINITION.c.key,
        "name": _DEFINITION.c.name,
        "category": _DEFINITION.c.category,
        "version": _DEFINITION.c.version,
        "deploymentId": _DEFINITION.c.deployment_id,
        "tenantId": _DEFINITION.c.tenant_id,
    },
    default="name",
    key=_DEFINITION.c.id,
)
_INSTANCES: Final = Sorting(
    name="form instances",
    columns={
        "id": _INSTANCE.c.id,
        "submittedDate": _INSTANCE.c.submitted_at,
        "submittedBy": _INSTANCE.c.submitted_by,
        "taskId": _INSTANCE.c.task_id,
        "processInstanceId": _INSTANCE.c.process_instance_id,
        "formDefinitionId": _INSTANCE.c.form_definition_id,
        "tenantId": _INSTANCE.c.tenant_id,
    },
    default="id",
    key=_INSTANCE.c.id,
)


class SqlQueries:
    """The `Queries`."""

    def __init__(self, database: Database) -> None:
        """Read from there."""
        self._database = database

    async def deployment(self, deployment_id: str) -> Deployment | None:
        found = await self._one(_DEPLOYMENT, Deployment, _DEPLOYMENT.c.id == deployment_id)
        # What was discarded is only remembered, so that nothing brings it back.
        return found if found is not None and found.state != DISCARDED else None

    async def deployments(self, wanted: DeploymentFilter, page: Page) -> Listed[Deployment]:
        columns = _DEPLOYMENT.c
        conditions = [
            _in_state(columns.state, wanted.state or DEPLOYED),
            *_equal(columns, wanted, ("name", "category", "tenant_id", "parent_deployment_id")),
            *_like(columns.name, wanted.name_like, sqlite=self._database.is_sqlite),
            *_tenantless(columns, wanted),
        ]
        if wanted.deployed_before is not None:
            conditions.append(columns.deployed_at < wanted.deployed_before)
        return await self._page(_DEPLOYMENTS, _DEPLOYMENT, Deployment, conditions, wanted, page)

    async def resource(self, deployment_id: str, name: str) -> bytes | None:
        table = tables.resource
        statement = select(table.c.data).where(table.c.deployment_id == deployment_id, table.c.name == name)
        return await self._read(lambda connection: connection.execute(statement).scalar_one_or_none())

    async def definition(self, definition_id: str) -> Definition | None:
        return await self._one(_DEFINITION, Definition, _DEFINITION.c.id == definition_id)

    async def definitions(self, wanted: DefinitionFilter, page: Page) -> Listed[Definition]:
        columns = _DEFINITION.c
        conditions = [
            *_equal(
                columns,
                wanted,
                ("key", "name", "category", "version", "deployment_id", "parent_deployment_id", "tenant_id"),
            ),
            *_like(columns.key, wanted.key_like, sqlite=self._database.is_sqlite),
            *_like(columns.name, wanted.name_like, sqlite=self._database.is_sqlite),
            *_tenantless(columns, wanted),
        ]
        if wanted.latest:
            later = _DEFINITION.alias("later")
            # Asked of each row through the unique index of key, tenant and version.
            conditions.append(
                ~select(later.c.id)
                .where(
                    later.c.key == columns.key,
                    later.c.tenant_id == columns.tenant_id,
                    later.c.version > columns.version,
                )
                .exists()
            )
        return await self._page(_DEFINITIONS, _DEFINITION, Definition, conditions, wanted, page)

    async def definition_of_parent(self, key: str, parent_deployment_id: str, tenant_id: str) -> Definition | None:
        columns = _DEFINITION.c
        condition = and_(
            columns.parent_deployment_id == parent_deployment_id, columns.key == key, columns.tenant_id == tenant_id
        )
        return await self._one(_DEFINITION, Definition, condition)

    async def definition_of_tenant(self, key: str, tenant_id: str, version: int | None) -> Definition | None:
        columns = _DEFINITION.c
        conditions = [columns.key == key, columns.tenant_id == tenant_id]
        if version is not None:
            conditions.append(columns.version == version)
        statement = select(_DEFINITION).where(*conditions).order_by(columns.version.desc()).limit(1)
        row = await self._read(lambda connection: connection.execute(statement).first())
        return None if row is None else record_of(Definition, row)

    async def instance(self, instance_id: str) -> Instance | None:
        return await self._one(_INSTANCE, Instance, _INSTANCE.c.id == instance_id)

    async def instance_of_step(self, saga_id: str, step_id: str) -> Instance | None:
        condition = and_(_INSTANCE.c.saga_id == saga_id, _INSTANCE.c.step_id == step_id)
        return await self._one(_INSTANCE, Instance, condition)

    async def instances(self, wanted: InstanceFilter, page: Page) -> Listed[Instance]:
        columns = _INSTANCE.c
        conditions = [
            _in_state(columns.state, wanted.state or SUBMITTED),
            *_equal(
                columns,
                wanted,
                (
                    "form_definition_id",
                    "form_key",
                    "task_id",
                    "process_instance_id",
                    "process_definition_id",
                    "submitted_by",
                    "tenant_id",
                ),
            ),
            *_tenantless(columns, wanted),
        ]
        # What is not settled yet counts from when it was prepared, which is its submitted_at too.
        if wanted.submitted_before is not None:
            conditions.append(columns.submitted_at < wanted.submitted_before)
        if wanted.submitted_after is not None:
            conditions.append(columns.submitted_at > wanted.submitted_after)
        return await self._page(_INSTANCES, _INSTANCE, Instance, conditions, wanted, page)

    async def _one(self, table: Table, kind: type[R], condition: Any) -> R | None:
        statement = select(table).where(condition)
        row = await self._read(lambda connection: connection.execute(statement).first())
        return None if row is None else record_of(kind, row)

    async def _page(
        self,
        sorting: Sorting,
        table: Table,
        kind: type[R],
        conditions: list[ColumnElement[bool]],
        wanted: msgspec.Struct,
        page: Page,
    ) -> Listed[R]:
        statement = select(table).where(*conditions)
        found = await self._read(lambda connection: fetch(connection, sorting, statement, wanted, page))
        return found.read(lambda row: record_of(kind, row))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await in_database(self._database, work)


def _equal(columns: Any, wanted: msgspec.Struct, names: tuple[str, ...]) -> list[ColumnElement[bool]]:
    return [columns[name] == value for name in names if (value := getattr(wanted, name)) is not None]


def _in_state(column: ColumnElement[str], state: str) -> ColumnElement[bool]:
    """Nearly every row is deployed or submitted, so no index may serve these; the few others are found by theirs."""
    if state in _RARE:
        return column == state
    return and_(*(column != rare for rare in _RARE))


def _like(column: ColumnElement[str], pattern: str | None, *, sqlite: bool) -> list[ColumnElement[bool]]:
    """SQLite's LIKE is deaf to the case of ASCII letters; its GLOB is not, and uses indexes as MySQL's LIKE does.

    No character escapes another, on both.
    """
    if pattern is None:
        return []
    if not sqlite:
        return [column.like(pattern.replace("\\", "\\\\"))]
    glob = "".join(_GLOB.get(character, character) for character in pattern)
    return [column.op("GLOB", is_comparison=True)(glob)]


def _tenantless(columns: Any, wanted: Any) -> list[ColumnElement[bool]]:
    return [columns.tenant_id == ""] if wanted.without_tenant_id else []
