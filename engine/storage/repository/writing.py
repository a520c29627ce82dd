"""Writes of the repository inside its one transaction at a time."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Table, bindparam, delete, insert, select, update

from engine.app.repository import (
    CANDIDATE,
    DefinitionJob,
    DefinitionRecord,
    DeploymentRecord,
    ResourceRecord,
    Starter,
    StartSubscription,
)
from engine.kernel.state import TIMER
from engine.kernel.triggers.timer import START_HANDLER
from engine.storage.repository.reading import ConnectionReader
from engine.storage.repository.records import (
    DEFINITION,
    DEPLOYMENT,
    NOBODY,
    REPOSITORY_LANE,
    change_values,
    definition_of,
    definition_values,
    deployment_of,
    deployment_values,
    start_job_values,
    starter_values,
    subscription_values,
)
from engine.storage.rows import lane_of
from engine.storage.tables import deployment, identity_link, job, process_definition, resource, subscription


class SqlUnit(ConnectionReader):
    """Implements `RepositoryUnit`. Rows are deleted by their primary keys, so that no gap between others is locked."""

    def add_deployment(self, deployment_: DeploymentRecord, resources: Iterable[ResourceRecord]) -> None:
        self._connection.execute(insert(deployment), deployment_values(deployment_))
        for found in resources:
            # One by one: a file may be as large as the largest statement that the database takes.
            values = {
                "deployment_id": deployment_.id,
                "name": found.name,
                "bytes": found.data,
                "generated": found.generated,
            }
            self._connection.execute(insert(resource), values)

    def latest_deployment(self, name: str, tenant_id: str) -> DeploymentRecord | None:
        columns = deployment.c
        wanted = (
            select(*DEPLOYMENT)
            .where(columns.name == name, columns.tenant_id == tenant_id)
            .order_by(columns.deployed_at.desc(), columns.id.desc())
            .limit(1)
        )
        row = self._connection.execute(wanted).mappings().one_or_none()
        return deployment_of(row) if row is not None else None

    def resources(self, deployment_id: str) -> list[ResourceRecord]:
        found = [self.resource(deployment_id, name) for name in self.resource_names(deployment_id)]
        return [one for one in found if one is not None]

    def definitions_in(self, deployment_id: str) -> list[DefinitionRecord]:
        columns = process_definition.c
        wanted = select(*DEFINITION).where(columns.deployment_id == deployment_id).order_by(columns.id)
        return [definition_of(row) for row in self._connection.execute(wanted).mappings()]

    def add_definitions(self, definitions: Sequence[DefinitionRecord]) -> None:
        if definitions:
            self._connection.execute(insert(process_definition), [definition_values(found) for found in definitions])

    def lock_definitions(self, definition_ids: Sequence[str]) -> None:
        columns = process_definition.c
        wanted = select(columns.id).where(columns.id.in_(definition_ids)).order_by(columns.id).with_for_update()
        self._connection.execute(wanted).all()

    def set_suspended(self, definition_id: str, *, suspended: bool) -> None:
        self._connection.execute(
            update(process_definition).where(process_definition.c.id == definition_id).values(suspended=suspended)
        )
        for job_id, dead in self._start_jobs([definition_id]):
            lane = lane_of(TIMER, dead=dead, suspended=suspended)
            self._connection.execute(update(job).where(job.c.id == job_id).values(suspended=suspended, lane=lane))

    def set_category(self, definition_id: str, category: str) -> None:
        self._connection.execute(
            update(process_definition).where(process_definition.c.id == definition_id).values(category=category)
        )

    def drop_start_events(self, definition_ids: Sequence[str]) -> None:
        if not definition_ids:
            return
        columns = subscription.c
        wanted = select(columns.id).where(columns.definition_id.in_(definition_ids), columns.instance_id == NOBODY)
        self._drop(subscription, list(self._connection.scalars(wanted)))
        self._drop(job, [job_id for job_id, _ in self._start_jobs(definition_ids)])

    def add_start_events(self, subscriptions: Sequence[StartSubscription], jobs: Sequence[DefinitionJob]) -> None:
        if subscriptions:
            self._connection.execute(insert(subscription), [subscription_values(found) for found in subscriptions])
        if jobs:
            self._connection.execute(insert(job), [start_job_values(found) for found in jobs])

    def add_change(self, job_: DefinitionJob) -> None:
        self._connection.execute(insert(job), change_values(job_))

    def hold_change(self, job_id: str, until: datetime, now: datetime) -> bool:
        free = (job.c.id == job_id, job.c.lane == REPOSITORY_LANE, job.c.available_at <= now)
        held = self._connection.execute(update(job).where(*free).values(lease_until=until, available_at=until))
        return held.rowcount == 1

    def fail_change(self, job_id: str, retry_at: datetime, error: str) -> None:
        found = self.job(job_id)
        if found is None:
            return
        dead = found.retries <= 1
        lane = lane_of(TIMER, dead=True, suspended=False) if dead else REPOSITORY_LANE
        values = {"retries": found.retries - 1, "error": error, "dead": dead, "lane": lane}
        times = {"lease_until": None, "due_at": retry_at, "available_at": retry_at}
        self._connection.execute(update(job).where(job.c.id == job_id).values(**values, **times))

    def drop_job(self, job_id: str) -> None:
        self._drop(job, [job_id])

    def add_starters(self, definition_id: str, starters: Iterable[tuple[str, Starter]]) -> None:
        values = [starter_values(definition_id, link_id, starter, CANDIDATE) for link_id, starter in starters]
        if values:
            self._connection.execute(insert(identity_link), values)

    def drop_starter(self, definition_id: str, starter: Starter) -> bool:
        columns = identity_link.c
        gone = self._connection.execute(
            delete(identity_link).where(
                columns.owner_id == definition_id,
                columns.kind == CANDIDATE,
                columns.user_id == starter.user_id,
                columns.group_id == starter.group_id,
            )
        )
        return gone.rowcount > 0

    def drop_deployment(self, deployment_id: str, definition_ids: Sequence[str]) -> None:
        self.drop_start_events(definition_ids)
        of_definitions = select(job.c.id).where(job.c.definition_id.in_(definition_ids), job.c.instance_id == NOBODY)
        self._drop(job, list(self._connection.scalars(of_definitions)))
        for definition_id in definition_ids:
            self._connection.execute(delete(identity_link).where(identity_link.c.owner_id == definition_id))
        self._drop(process_definition, definition_ids)
        self._connection.execute(delete(resource).where(resource.c.deployment_id == deployment_id))
        self._drop(deployment, [deployment_id])

    def _start_jobs(self, definition_ids: Sequence[str]) -> list[tuple[str, bool]]:
        """Ids of the start timers, and whether they are dead."""
        columns = job.c
        wanted = select(columns.id, columns.dead).where(
            columns.definition_id.in_(definition_ids), columns.instance_id == NOBODY, columns.handler == START_HANDLER
        )
        return [(row.id, row.dead) for row in self._connection.execute(wanted)]

    def _drop(self, table: Table, ids: Sequence[str]) -> None:
        if ids:
            self._connection.execute(
                delete(table).where(table.c.id == bindparam("gone")), [{"gone": id_} for id_ in ids]
            )
