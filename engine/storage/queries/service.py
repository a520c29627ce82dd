"""All queries behind their ports: each method takes one connection of the pool for as long as it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engine.app.queries import (
    DEFAULT_MAX_FINDINGS,
    ActivityInstanceFilter,
    ActivityInstanceView,
    ConsistencyReport,
    DeploymentFilter,
    DeploymentView,
    EventSubscriptionFilter,
    EventSubscriptionView,
    ExecutionFilter,
    ExecutionView,
    ExternalWorkerJobFilter,
    ExternalWorkerJobView,
    IdentityLinkView,
    JobFilter,
    JobView,
    Listed,
    NamedVariable,
    Page,
    ProcessDefinitionFilter,
    ProcessDefinitionView,
    ProcessInstanceFilter,
    ProcessInstanceView,
    ResourceData,
    ResourceView,
    TaskFilter,
    TaskView,
    VariableInstanceFilter,
    VariableInstanceView,
)
from engine.app.sagas.ports import ParticipantFilter, SagaFilter, SagaLogFilter
from engine.app.sagas.state import LogLine, Participant, Saga
from engine.kernel.rights import Rights
from engine.storage.queries import (
    consistency,
    executions,
    instances,
    jobs,
    links,
    repository,
    sagas,
    subscriptions,
    tasks,
    variables,
)
from engine.storage.queries.pool import ReadPool
from engine.storage.queries.tokens import DefinitionOf
from mesh.clock import Clock
from mesh.db.database import Database

DEFAULT_THREADS: Final = 4


class _Part:
    """What every part of the queries holds."""

    def __init__(self, pool: ReadPool, definition_of: DefinitionOf, clock: Clock) -> None:
        self._pool = pool
        self._definition_of = definition_of
        self._clock = clock
        self._sqlite = pool.sqlite


class _Repository(_Part):
    """Implements `engine.app.queries.RepositoryQueries`."""

    async def get_deployment(self, deployment_id: str) -> DeploymentView:
        return await self._pool.run(lambda c: repository.get_deployment(c, deployment_id))

    async def list_deployments(self, wanted: DeploymentFilter, page: Page) -> Listed[DeploymentView]:
        return await self._pool.run(lambda c: repository.list_deployments(c, wanted, page, sqlite=self._sqlite))

    async def list_deployment_resources(self, deployment_id: str) -> Sequence[ResourceView]:
        return await self._pool.run(lambda c: repository.list_resources(c, deployment_id))

    async def get_deployment_resource(self, deployment_id: str, name: str) -> ResourceView:
        return await self._pool.run(lambda c: repository.get_resource(c, deployment_id, name))

    async def get_deployment_resource_data(self, deployment_id: str, name: str) -> ResourceData:
        return await self._pool.run(lambda c: repository.get_resource_data(c, deployment_id, name))

    async def get_process_definition(self, process_definition_id: str) -> ProcessDefinitionView:
        return await self._pool.run(lambda c: repository.get_definition(c, process_definition_id))

    async def list_process_definitions(
        self, wanted: ProcessDefinitionFilter, page: Page
    ) -> Listed[ProcessDefinitionView]:
        return await self._pool.run(lambda c: repository.list_definitions(c, wanted, page, sqlite=self._sqlite))

    async def get_process_definition_resource_data(self, process_definition_id: str) -> ResourceData:
        return await self._pool.run(lambda c: repository.get_definition_data(c, process_definition_id))

    async def get_process_definition_image(self, process_definition_id: str) -> ResourceData:
        return await self._pool.run(lambda c: repository.get_definition_image(c, process_definition_id))

    async def list_process_definition_identity_links(self, process_definition_id: str) -> Sequence[IdentityLinkView]:
        return await self._pool.run(lambda c: repository.list_definition_links(c, process_definition_id))

    async def get_process_definition_identity_link(
        self, process_definition_id: str, family: str, identity_id: str
    ) -> IdentityLinkView:
        return await self._pool.run(
            lambda c: repository.get_definition_link(c, process_definition_id, family, identity_id)
        )


class _Runtime(_Part):
    """Implements `engine.app.queries.RuntimeQueries`."""

    async def get_process_instance(
        self, process_instance_id: str, *, include_process_variables: bool = False
    ) -> ProcessInstanceView:
        return await self._pool.run(
            lambda c: instances.get_process_instance(c, process_instance_id, with_variables=include_process_variables)
        )

    async def list_process_instances(self, wanted: ProcessInstanceFilter, page: Page) -> Listed[ProcessInstanceView]:
        return await self._pool.run(lambda c: instances.list_process_instances(c, wanted, page, sqlite=self._sqlite))

    async def list_process_instance_variables(self, process_instance_id: str) -> Sequence[NamedVariable]:
        return await self._pool.run(lambda c: list(instances.variables_of(c, process_instance_id).values()))

    async def get_process_instance_variable(self, process_instance_id: str, name: str) -> NamedVariable:
        return await self._pool.run(
            lambda c: variables.pick(
                instances.variables_of(c, process_instance_id, name), name, f"process instance {process_instance_id}"
            )
        )

    async def list_process_instance_identity_links(self, process_instance_id: str) -> Sequence[IdentityLinkView]:
        return await self._pool.run(lambda c: instances.links_of(c, process_instance_id))

    async def get_process_instance_identity_link(
        self, process_instance_id: str, user: str, kind: str
    ) -> IdentityLinkView:
        return await self._pool.run(
            lambda c: links.pick(
                links.of_family(instances.links_of(c, process_instance_id), links.USERS),
                user,
                kind,
                f"process instance {process_instance_id}",
            )
        )

    async def get_execution(self, execution_id: str) -> ExecutionView:
        return await self._pool.run(lambda c: executions.get_execution(c, execution_id, self._definition_of))

    async def list_executions(self, wanted: ExecutionFilter, page: Page) -> Listed[ExecutionView]:
        return await self._pool.run(
            lambda c: executions.list_executions(c, wanted, page, self._definition_of, sqlite=self._sqlite)
        )

    async def list_active_activities(self, execution_id: str) -> Sequence[str]:
        return await self._pool.run(lambda c: executions.list_active_activities(c, execution_id))

    async def list_execution_variables(self, execution_id: str, scope: str = "") -> Sequence[NamedVariable]:
        return await self._pool.run(
            lambda c: executions.list_execution_variables(c, execution_id, scope, self._definition_of)
        )

    async def get_execution_variable(self, execution_id: str, name: str, scope: str = "") -> NamedVariable:
        return await self._pool.run(
            lambda c: executions.get_execution_variable(c, execution_id, name, scope, self._definition_of)
        )

    async def list_activity_instances(self, wanted: ActivityInstanceFilter, page: Page) -> Listed[ActivityInstanceView]:
        return await self._pool.run(
            lambda c: executions.list_activity_instances(c, wanted, page, self._definition_of, sqlite=self._sqlite)
        )

    async def list_event_subscriptions(
        self, wanted: EventSubscriptionFilter, page: Page
    ) -> Listed[EventSubscriptionView]:
        return await self._pool.run(
            lambda c: subscriptions.list_event_subscriptions(c, wanted, page, sqlite=self._sqlite)
        )

    async def get_event_subscription(self, event_subscription_id: str) -> EventSubscriptionView:
        return await self._pool.run(lambda c: subscriptions.get_event_subscription(c, event_subscription_id))

    async def list_variable_instances(self, wanted: VariableInstanceFilter, page: Page) -> Listed[VariableInstanceView]:
        return await self._pool.run(lambda c: variables.list_variable_instances(c, wanted, page, sqlite=self._sqlite))

    async def get_variable_instance(self, variable_instance_id: str) -> VariableInstanceView:
        return await self._pool.run(lambda c: variables.get_variable_instance(c, variable_instance_id))


class _Tasks(_Part):
    """Implements `engine.app.queries.TaskQueries`."""

    async def get_task(
        self, task_id: str, *, include_task_local_variables: bool = False, include_process_variables: bool = False
    ) -> TaskView:
        return await self._pool.run(
            lambda c: tasks.get_task(
                c,
                task_id,
                local_variables=include_task_local_variables,
                process_variables=include_process_variables,
            )
        )

    async def get_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskView]:
        return await self._pool.run(lambda c: tasks.get_tasks(c, task_ids))

    async def list_tasks(self, wanted: TaskFilter, page: Page) -> Listed[TaskView]:
        return await self._pool.run(lambda c: tasks.list_tasks(c, wanted, page, sqlite=self._sqlite))

    async def list_subtasks(self, task_id: str) -> Sequence[TaskView]:
        return await self._pool.run(lambda c: tasks.list_subtasks(c, task_id))

    async def list_task_variables(self, task_id: str, scope: str = "") -> Sequence[NamedVariable]:
        return await self._pool.run(lambda c: tasks.list_task_variables(c, task_id, scope, self._definition_of))

    async def get_task_variable(self, task_id: str, name: str, scope: str = "") -> NamedVariable:
        return await self._pool.run(lambda c: tasks.get_task_variable(c, task_id, name, scope, self._definition_of))

    async def list_task_identity_links(self, task_id: str, family: str = "") -> Sequence[IdentityLinkView]:
        return await self._pool.run(lambda c: tasks.list_task_identity_links(c, task_id, family))

    async def get_task_identity_link(self, task_id: str, family: str, identity_id: str, kind: str) -> IdentityLinkView:
        return await self._pool.run(lambda c: tasks.get_task_identity_link(c, task_id, family, identity_id, kind))


class _Jobs(_Part):
    """Implements `engine.app.queries.JobQueries`."""

    async def get_job(self, kind: str, job_id: str) -> JobView:
        return await self._pool.run(lambda c: jobs.get_job(c, kind, job_id, self._clock.now()))

    async def list_jobs(self, wanted: JobFilter, page: Page) -> Listed[JobView]:
        now = self._clock.now()
        return await self._pool.run(lambda c: jobs.list_jobs(c, wanted, page, now, sqlite=self._sqlite))

    async def get_job_exception_stacktrace(self, kind: str, job_id: str) -> str:
        return await self._pool.run(lambda c: jobs.get_exception_stacktrace(c, kind, job_id, self._clock.now()))

    async def get_external_worker_job(self, job_id: str) -> ExternalWorkerJobView:
        return await self._pool.run(lambda c: jobs.get_external_worker_job(c, job_id))

    async def list_external_worker_jobs(
        self, wanted: ExternalWorkerJobFilter, page: Page
    ) -> Listed[ExternalWorkerJobView]:
        now = self._clock.now()
        return await self._pool.run(lambda c: jobs.list_external_worker_jobs(c, wanted, page, now, sqlite=self._sqlite))


class _Sagas(_Part):
    """Implements `engine.app.sagas.ports.SagaQueries`."""

    async def get_saga(self, saga_id: str) -> Saga:
        return await self._pool.run(lambda c: sagas.get_saga(c, saga_id))

    async def list_sagas(self, wanted: SagaFilter, page: Page) -> Listed[Saga]:
        return await self._pool.run(lambda c: sagas.list_sagas(c, wanted, page, sqlite=self._sqlite))

    async def list_saga_log(self, wanted: SagaLogFilter, page: Page) -> Listed[LogLine]:
        return await self._pool.run(lambda c: sagas.list_saga_log(c, wanted, page, sqlite=self._sqlite))

    async def list_participants(self, wanted: ParticipantFilter, page: Page) -> Listed[Participant]:
        return await self._pool.run(lambda c: sagas.list_participants(c, wanted, page, sqlite=self._sqlite))


class SqlQueries(_Repository, _Runtime, _Tasks, _Jobs, _Sagas):
    """Implements `engine.app.queries.Queries`."""

    def __init__(
        self,
        database: Database,
        definition_of: DefinitionOf,
        clock: Clock,
        threads: int = DEFAULT_THREADS,
        rights: Callable[[], Rights | None] = lambda: None,
    ) -> None:
        """Read from `database` on as many threads; `definition_of` may block and is called on these threads.

        `rights` tells in the caller's task whose rows a query sees.
        """
        super().__init__(ReadPool(database, threads, rights), definition_of, clock)

    async def check_consistency(
        self, root_process_instance_id: str = "", max_findings: int = DEFAULT_MAX_FINDINGS
    ) -> ConsistencyReport:
        return await consistency.check(self._pool, root_process_instance_id, max_findings)

    def close(self) -> None:
        """Let queries under way end and refuse new ones; the database stays its owner's to close."""
        self._pool.close()
