"""Reads of the repository over one connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, select

from engine.app.repository import (
    CANDIDATE,
    DefinitionJob,
    DefinitionRecord,
    DeploymentRecord,
    MessageStart,
    ResourceRecord,
    Starter,
)
from engine.kernel.state import MESSAGE
from engine.storage.repository.records import (
    CHANGE,
    DEFINITION,
    DEPLOYMENT,
    NOBODY,
    REPOSITORY_LANE,
    change_of,
    definition_of,
    deployment_of,
)
from engine.storage.tables import (
    deployment,
    engine_property,
    identity_link,
    instance,
    job,
    process_definition,
    resource,
    subscription,
)

STAMP = "repository.stamp"
"""The engine property that every change of the repository renews."""


class ConnectionReader:
    """Implements `RepositoryReader`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stamp(self) -> str:
        found = self._connection.scalar(select(engine_property.c.value).where(engine_property.c.name == STAMP))
        return found or ""

    def deployment(self, deployment_id: str) -> DeploymentRecord | None:
        row = (
            self._connection.execute(select(*DEPLOYMENT).where(deployment.c.id == deployment_id))
            .mappings()
            .one_or_none()
        )
        return deployment_of(row) if row is not None else None

    def resource_names(self, deployment_id: str) -> list[str]:
        wanted = select(resource.c.name).where(resource.c.deployment_id == deployment_id).order_by(resource.c.name)
        return list(self._connection.scalars(wanted))

    def resource(self, deployment_id: str, name: str) -> ResourceRecord | None:
        wanted = select(resource.c.bytes, resource.c.generated).where(
            resource.c.deployment_id == deployment_id, resource.c.name == name
        )
        row = self._connection.execute(wanted).one_or_none()
        return ResourceRecord(name=name, data=row.bytes, generated=row.generated) if row is not None else None

    def definition(self, definition_id: str) -> DefinitionRecord | None:
        return self._definition(select(*DEFINITION).where(process_definition.c.id == definition_id))

    def latest(self, key: str, tenant_id: str) -> DefinitionRecord | None:
        return self._definition(_of_key(key, tenant_id).order_by(process_definition.c.version.desc()).limit(1))

    def version(self, key: str, tenant_id: str, version: int) -> DefinitionRecord | None:
        return self._definition(_of_key(key, tenant_id).where(process_definition.c.version == version))

    def versions(self, key: str, tenant_id: str) -> list[DefinitionRecord]:
        return self._definitions(_of_key(key, tenant_id).order_by(process_definition.c.version.desc()))

    def in_deployment(self, key: str, deployment_id: str) -> DefinitionRecord | None:
        columns = process_definition.c
        return self._definition(
            select(*DEFINITION).where(columns.deployment_id == deployment_id, columns.key == key).limit(1)
        )

    def definition_ids_in(self, deployment_id: str) -> list[str]:
        columns = process_definition.c
        wanted = select(columns.id).where(columns.deployment_id == deployment_id).order_by(columns.id)
        return list(self._connection.scalars(wanted))

    def newest_definitions(self, limit: int) -> list[DefinitionRecord]:
        columns = process_definition.c
        newest = (
            select(columns.key, columns.tenant_id, func.max(columns.version).label("version"))
            .group_by(columns.key, columns.tenant_id)
            .subquery()
        )
        of_newest = and_(
            columns.key == newest.c.key, columns.tenant_id == newest.c.tenant_id, columns.version == newest.c.version
        )
        # Ids of deployments are ordered by time.
        wanted = select(*DEFINITION).join(newest, of_newest).order_by(columns.deployment_id.desc(), columns.id)
        return self._definitions(wanted.limit(limit))

    def message_start(self, name: str, tenant_id: str) -> MessageStart | None:
        found = self.message_owners([name], tenant_id)
        return found[0] if found else None

    def message_owners(self, names: Sequence[str], tenant_id: str) -> list[MessageStart]:
        columns = subscription.c
        wanted = (
            select(columns.definition_id, columns.element_id, columns.name)
            .where(
                columns.name.in_(names),
                columns.kind == MESSAGE,
                columns.tenant_id == tenant_id,
                columns.instance_id == NOBODY,
            )
            .order_by(columns.name, columns.id)
        )
        return [MessageStart(**row._mapping) for row in self._connection.execute(wanted)]

    def starters(self, definition_id: str) -> list[Starter]:
        columns = identity_link.c
        wanted = (
            select(columns.user_id, columns.group_id)
            .where(columns.owner_id == definition_id, columns.kind == CANDIDATE)
            .order_by(columns.id)
        )
        return [Starter(**row._mapping) for row in self._connection.execute(wanted)]

    def instances_of(self, definition_ids: Sequence[str], state: str, after: str, limit: int) -> list[tuple[str, str]]:
        columns = instance.c
        wanted = (
            select(columns.id, columns.root_id)
            .where(columns.definition_id.in_(definition_ids), columns.id > after)
            .order_by(columns.id)
            .limit(limit)
        )
        if state:
            wanted = wanted.where(columns.state == state)
        return [(row.id, row.root_id) for row in self._connection.execute(wanted)]

    def has_instances(self, definition_ids: Sequence[str]) -> bool:
        return bool(self._connection.scalar(select(exists().where(instance.c.definition_id.in_(definition_ids)))))

    def job(self, job_id: str) -> DefinitionJob | None:
        wanted = select(*CHANGE).where(job.c.id == job_id, job.c.lane == REPOSITORY_LANE)
        row = self._connection.execute(wanted).mappings().one_or_none()
        return change_of(row) if row is not None else None

    def due_changes(self, now: datetime, limit: int) -> list[str]:
        wanted = (
            select(job.c.id)
            .where(job.c.lane == REPOSITORY_LANE, job.c.topic == "", job.c.available_at <= now)
            .order_by(job.c.available_at, job.c.id)
            .limit(limit)
        )
        return list(self._connection.scalars(wanted))

    def _definition(self, wanted: Select[Any]) -> DefinitionRecord | None:
        row = self._connection.execute(wanted).mappings().one_or_none()
        return definition_of(row) if row is not None else None

    def _definitions(self, wanted: Select[Any]) -> list[DefinitionRecord]:
        return [definition_of(row) for row in self._connection.execute(wanted).mappings()]


def _of_key(key: str, tenant_id: str) -> Select[Any]:
    return select(*DEFINITION).where(process_definition.c.key == key, process_definition.c.tenant_id == tenant_id)
