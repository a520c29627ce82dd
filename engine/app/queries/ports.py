"""The read side as its users see it: one protocol per service of the contract.

All methods answer from what is committed. `get_…` raise NotFound for what does not exist; lists raise InvalidArgument
for paging or conditions that cannot be read; all raise Unavailable while the database is away.
"""

from collections.abc import Sequence
from typing import Protocol

from engine.app.queries.consistency import DEFAULT_MAX_FINDINGS, ConsistencyReport
from engine.app.queries.filters import (
    ActivityInstanceFilter,
    DeploymentFilter,
    EventSubscriptionFilter,
    ExecutionFilter,
    ExternalWorkerJobFilter,
    JobFilter,
    ProcessDefinitionFilter,
    ProcessInstanceFilter,
    TaskFilter,
    VariableInstanceFilter,
)
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import (
    ActivityInstanceView,
    DeploymentView,
    EventSubscriptionView,
    ExecutionView,
    ExternalWorkerJobView,
    IdentityLinkView,
    JobView,
    NamedVariable,
    ProcessDefinitionView,
    ProcessInstanceView,
    ResourceData,
    ResourceView,
    TaskView,
    VariableInstanceView,
)


class RepositoryQueries(Protocol):
    """Deployments and process definitions. `family` is users or groups; anything else is InvalidArgument."""

    async def get_deployment(self, deployment_id: str) -> DeploymentView: ...

    async def list_deployments(self, wanted: DeploymentFilter, page: Page) -> Listed[DeploymentView]:
        """Sorts: id, name, deployTime, tenantId; default id."""
        ...

    async def list_deployment_resources(self, deployment_id: str) -> Sequence[ResourceView]:
        """By name."""
        ...

    async def get_deployment_resource(self, deployment_id: str, name: str) -> ResourceView: ...

    async def get_deployment_resource_data(self, deployment_id: str, name: str) -> ResourceData: ...

    async def get_process_definition(self, process_definition_id: str) -> ProcessDefinitionView: ...

    async def list_process_definitions(
        self, wanted: ProcessDefinitionFilter, page: Page
    ) -> Listed[ProcessDefinitionView]:
        """Sorts: name, id, key, category, deploymentId, version, tenantId; default name (Flowable's)."""
        ...

    async def get_process_definition_resource_data(self, process_definition_id: str) -> ResourceData: ...

    async def get_process_definition_image(self, process_definition_id: str) -> ResourceData:
        """InvalidArgument where it has no picture."""
        ...

    async def list_process_definition_identity_links(
        self, process_definition_id: str
    ) -> Sequence[IdentityLinkView]: ...

    async def get_process_definition_identity_link(
        self, process_definition_id: str, family: str, identity_id: str
    ) -> IdentityLinkView: ...


class RuntimeQueries(Protocol):
    """Process instances, executions, subscriptions and variables. `scope`: local, global or empty (both)."""

    async def get_process_instance(
        self, process_instance_id: str, *, include_process_variables: bool = False
    ) -> ProcessInstanceView: ...

    async def list_process_instances(self, wanted: ProcessInstanceFilter, page: Page) -> Listed[ProcessInstanceView]:
        """Sorts: id, processDefinitionId, processDefinitionKey, startTime, businessKey, tenantId; default id."""
        ...

    async def list_process_instance_variables(self, process_instance_id: str) -> Sequence[NamedVariable]:
        """By name."""
        ...

    async def get_process_instance_variable(self, process_instance_id: str, name: str) -> NamedVariable: ...

    async def list_process_instance_identity_links(self, process_instance_id: str) -> Sequence[IdentityLinkView]: ...

    async def get_process_instance_identity_link(
        self, process_instance_id: str, user: str, kind: str
    ) -> IdentityLinkView: ...

    async def get_execution(self, execution_id: str) -> ExecutionView: ...

    async def list_executions(self, wanted: ExecutionFilter, page: Page) -> Listed[ExecutionView]:
        """Sorts: id, processInstanceId, processDefinitionId, processDefinitionKey, tenantId; default processInstanceId.

        Executions of one instance stand in the order in which they began. `total` is None, and the sort `id` is
        refused, where more than `MAX_TREES_IN_MEMORY` instances would have to be read for it.
        """
        ...

    async def list_active_activities(self, execution_id: str) -> Sequence[str]:
        """The ids of the elements where the execution and those below it are, each once, oldest first."""
        ...

    async def list_execution_variables(self, execution_id: str, scope: str = "") -> Sequence[NamedVariable]:
        """By name; a local one hides an outer one of its name, unless only the global ones are asked for."""
        ...

    async def get_execution_variable(self, execution_id: str, name: str, scope: str = "") -> NamedVariable: ...

    async def list_activity_instances(self, wanted: ActivityInstanceFilter, page: Page) -> Listed[ActivityInstanceView]:
        """Sorts: processInstanceId, tenantId, startTime, id, activityId, activityName, activityType, endTime.

        Also executionId; the default is processInstanceId: of one instance, oldest first. With the first two `total`
        is None, and the others are refused, where more than `MAX_TREES_IN_MEMORY` instances would have to be read.
        """
        ...

    async def list_event_subscriptions(
        self, wanted: EventSubscriptionFilter, page: Page
    ) -> Listed[EventSubscriptionView]:
        """Sorts: id, created, executionId, processInstanceId, processDefinitionId, tenantId; default id."""
        ...

    async def get_event_subscription(self, event_subscription_id: str) -> EventSubscriptionView: ...

    async def list_variable_instances(self, wanted: VariableInstanceFilter, page: Page) -> Listed[VariableInstanceView]:
        """Sorts: variableName, processInstanceId; default variableName."""
        ...

    async def get_variable_instance(self, variable_instance_id: str) -> VariableInstanceView: ...


class TaskQueries(Protocol):
    """Open tasks. `scope`: local, global or empty (both). `family`: users, groups or, in lists, empty (both)."""

    async def get_task(
        self, task_id: str, *, include_task_local_variables: bool = False, include_process_variables: bool = False
    ) -> TaskView: ...

    async def get_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskView]:
        """In the order of the ids. NotFound if one is unknown; InvalidArgument for more than `MAX_PAGE_SIZE`."""
        ...

    async def list_tasks(self, wanted: TaskFilter, page: Page) -> Listed[TaskView]:
        """Sorts: id, name, description, priority, assignee, createTime, dueDate, category, executionId.

        Also processInstanceId and tenantId; default id.
        """
        ...

    async def list_subtasks(self, task_id: str) -> Sequence[TaskView]:
        """By id."""
        ...

    async def list_task_variables(self, task_id: str, scope: str = "") -> Sequence[NamedVariable]:
        """By name; a local one hides a global one of its name, unless only the global ones are asked for."""
        ...

    async def get_task_variable(self, task_id: str, name: str, scope: str = "") -> NamedVariable: ...

    async def list_task_identity_links(self, task_id: str, family: str = "") -> Sequence[IdentityLinkView]:
        """Also the assignee and the owner, as links of these types (Flowable does so)."""
        ...

    async def get_task_identity_link(
        self, task_id: str, family: str, identity_id: str, kind: str
    ) -> IdentityLinkView: ...


class JobQueries(Protocol):
    """Jobs; `kind` as in `JobFilter`, another one is InvalidArgument."""

    async def get_job(self, kind: str, job_id: str) -> JobView:
        """NotFound also where the job is of another kind. `kind` empty: wherever it lies."""
        ...

    async def list_jobs(self, wanted: JobFilter, page: Page) -> Listed[JobView]:
        """Sorts: id, dueDate, createTime, executionId, processInstanceId, retries, tenantId; default id."""
        ...

    async def get_job_exception_stacktrace(self, kind: str, job_id: str) -> str:
        """NotFound also where no attempt failed."""
        ...

    async def get_external_worker_job(self, job_id: str) -> ExternalWorkerJobView: ...

    async def list_external_worker_jobs(
        self, wanted: ExternalWorkerJobFilter, page: Page
    ) -> Listed[ExternalWorkerJobView]:
        """Sorts as `list_jobs`."""
        ...


class ConsistencyQueries(Protocol):
    """The check of the whole database."""

    async def check_consistency(
        self, root_process_instance_id: str = "", max_findings: int = DEFAULT_MAX_FINDINGS
    ) -> ConsistencyReport:
        """Of one tree (NotFound: no such root) or of everything. InvalidArgument: max_findings below 1 or too many."""
        ...


class Queries(RepositoryQueries, RuntimeQueries, TaskQueries, JobQueries, ConsistencyQueries, Protocol):
    """All of them."""
