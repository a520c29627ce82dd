"""The mesh over gRPC, by the generated stubs."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import grpc
from flowloom.engine.v1 import (
    external_worker_service_pb2,
    external_worker_service_pb2_grpc,
    management_service_pb2,
    management_service_pb2_grpc,
    process_instance_pb2,
    repository_service_pb2,
    repository_service_pb2_grpc,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    variable_pb2,
)
from flowloom.history.v1 import history_service_pb2, history_service_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from mesh.access.calling import carrying
from tests.conformance import shapes
from tests.conformance.driver import (
    Activity,
    Instance,
    Job,
    Refused,
    Start,
    Subscription,
    Task,
    Values,
    Waiting,
    WorkerJob,
)
from tests.conformance.people import People
from tests.conformance.values import as_variables, from_variables

CALL_SECONDS: Final = 20.0
PAGE_SIZE: Final = 200
WORKER: Final = "conformance"

Json = dict[str, Any]


class GrpcDriver:
    """Talks to one address, with a deadline on each call."""

    def __init__(self, target: str, people: People | None = None) -> None:
        """`people` say who calls; without them nobody does, and the mesh must not ask."""
        self._people = people
        self._channel = grpc.aio.insecure_channel(
            target,
            options=(("grpc.max_receive_message_length", -1),),
            interceptors=carrying(people.metadata if people is not None else tuple),
        )
        self._repository = repository_service_pb2_grpc.RepositoryServiceStub(self._channel)
        self._runtime = runtime_service_pb2_grpc.RuntimeServiceStub(self._channel)
        self._tasks = task_service_pb2_grpc.TaskServiceStub(self._channel)
        self._management = management_service_pb2_grpc.ManagementServiceStub(self._channel)
        self._workers = external_worker_service_pb2_grpc.ExternalWorkerServiceStub(self._channel)
        self._history = history_service_pb2_grpc.HistoryServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def deploy(self, models: Mapping[str, bytes], tenant: str) -> str:
        uploads = [repository_service_pb2.ResourceUpload(name=name, bytes=data) for name, data in models.items()]
        request = repository_service_pb2.CreateDeploymentRequest(
            resources=uploads, name="conformance", tenant_id=tenant
        )
        return str((await _one(self._repository.CreateDeployment, request))["id"])

    async def deployments(self) -> list[str]:
        request = repository_service_pb2.ListDeploymentsRequest(sort="deployTime", order="desc")
        return [found["id"] for found in await _all(self._repository.ListDeployments, request)]

    async def delete_deployment(self, deployment_id: str) -> None:
        request = repository_service_pb2.DeleteDeploymentRequest(deployment_id=deployment_id, cascade=True)
        await _one(self._repository.DeleteDeployment, request)

    async def definitions(self, key: str) -> list[str]:
        request = repository_service_pb2.ListProcessDefinitionsRequest(key=key)
        return [found["id"] for found in await _all(self._repository.ListProcessDefinitions, request)]

    async def change_definition(self, definition_id: str, action: str) -> None:
        request = repository_service_pb2.UpdateProcessDefinitionRequest(
            process_definition_id=definition_id, action=action
        )
        await _one(self._repository.UpdateProcessDefinition, request)

    async def start(self, start: Start) -> str:
        request = runtime_service_pb2.StartProcessInstanceRequest(
            process_definition_key=start.key,
            message=start.message,
            version=start.version,
            business_key=start.business_key,
            tenant_id=start.tenant,
            start_user_id=start.starter if self._people is None else None,
            variables=_variables(start.variables),
        )
        if self._people is None or start.starter is None:
            return str((await _one(self._runtime.StartProcessInstance, request))["id"])
        call = partial(self._runtime.StartProcessInstance, metadata=await self._people.metadata_of(start.starter))
        return str((await _one(call, request))["id"])

    async def instance(self, instance_id: str) -> Instance | None:
        request = runtime_service_pb2.GetProcessInstanceRequest(process_instance_id=instance_id)
        found = await _found(self._runtime.GetProcessInstance, request)
        return shapes.instance(found) if found is not None else None

    async def called_instances(self, instance_id: str, deep: bool) -> list[str]:
        if deep:
            request = runtime_service_pb2.ListProcessInstancesRequest(root_process_instance_id=instance_id)
        else:
            request = runtime_service_pb2.ListProcessInstancesRequest(super_process_instance_id=instance_id)
        found = await _all(self._runtime.ListProcessInstances, request)
        return [each["id"] for each in found if each["id"] != instance_id]

    async def count_running(self, key: str) -> int:
        request = runtime_service_pb2.ListProcessInstancesRequest(process_definition_key=key)
        return len(await _all(self._runtime.ListProcessInstances, request))

    async def change_instance(self, instance_id: str, action: str) -> None:
        request = runtime_service_pb2.UpdateProcessInstanceRequest(process_instance_id=instance_id, action=action)
        await _one(self._runtime.UpdateProcessInstance, request)

    async def delete_instance(self, instance_id: str, reason: str | None) -> None:
        request = runtime_service_pb2.DeleteProcessInstanceRequest(
            process_instance_id=instance_id, delete_reason=reason
        )
        await _one(self._runtime.DeleteProcessInstance, request)

    async def move(self, instance_id: str, cancel: Sequence[str], start: Sequence[str]) -> None:
        request = runtime_service_pb2.ChangeProcessInstanceStateRequest(
            process_instance_id=instance_id, cancel_activity_ids=cancel, start_activity_ids=start
        )
        await _one(self._runtime.ChangeProcessInstanceState, request)

    async def migrate(self, instance_id: str, key: str, version: int, mappings: Sequence[Mapping[str, Any]]) -> None:
        request = runtime_service_pb2.MigrateProcessInstanceRequest(
            process_instance_id=instance_id,
            to_process_definition_key=key,
            to_process_definition_version=version,
            activity_mappings=[ParseDict(dict(each), process_instance_pb2.ActivityMapping()) for each in mappings],
        )
        await _one(self._runtime.MigrateProcessInstance, request)

    async def variables(self, instance_id: str) -> dict[str, Any]:
        request = runtime_service_pb2.ListProcessInstanceVariablesRequest(process_instance_id=instance_id)
        return from_variables(await _streamed(self._runtime.ListProcessInstanceVariables, request))

    async def set_variables(self, instance_id: str, values: Values) -> None:
        request = runtime_service_pb2.UpsertProcessInstanceVariablesRequest(
            process_instance_id=instance_id, variables=_variables(values)
        )
        await _streamed(self._runtime.UpsertProcessInstanceVariables, request)

    async def set_local_variables(self, execution_id: str, values: Values) -> None:
        request = runtime_service_pb2.UpsertExecutionVariablesRequest(
            execution_id=execution_id, variables=_variables(values, "local")
        )
        await _streamed(self._runtime.UpsertExecutionVariables, request)

    async def remove_variable(self, instance_id: str, name: str) -> None:
        request = runtime_service_pb2.DeleteProcessInstanceVariableRequest(
            process_instance_id=instance_id, variable_name=name
        )
        await _one(self._runtime.DeleteProcessInstanceVariable, request)

    async def waiting(self, instance_id: str, deep: bool) -> list[Waiting]:
        request = runtime_service_pb2.ListExecutionsRequest(waiting=True)
        if deep:
            request.root_process_instance_id = instance_id
        else:
            request.process_instance_id = instance_id
        return [shapes.waiting(found) for found in await _all(self._runtime.ListExecutions, request)]

    async def subscriptions(self, instance_id: str) -> list[Subscription]:
        request = runtime_service_pb2.ListEventSubscriptionsRequest(process_instance_id=instance_id)
        return [shapes.subscription(found) for found in await _all(self._runtime.ListEventSubscriptions, request)]

    async def trigger(self, execution_id: str, values: Values) -> None:
        request = runtime_service_pb2.ExecuteExecutionActionRequest(
            execution_id=execution_id, action="trigger", variables=_variables(values)
        )
        await _one(self._runtime.ExecuteExecutionAction, request)

    async def correlate(self, name: str, instance_id: str | None, business_key: str | None, values: Values) -> None:
        request = runtime_service_pb2.CorrelateMessageRequest(
            message_name=name,
            process_instance_id=instance_id,
            business_key=business_key,
            variables=_variables(values),
        )
        await _one(self._runtime.CorrelateMessage, request)

    async def signal(self, name: str, instance_id: str | None, values: Values) -> None:
        request = runtime_service_pb2.SendSignalRequest(
            signal_name=name, process_instance_id=instance_id, variables=_variables(values)
        )
        await _one(self._runtime.SendSignal, request)

    async def tasks(self, instance_id: str, deep: bool) -> list[Task]:
        request = task_service_pb2.ListTasksRequest(sort="id", order="asc")
        if deep:
            request.process_instance_id_with_children = instance_id
        else:
            request.process_instance_id = instance_id
        return [shapes.task(found) for found in await _all(self._tasks.ListTasks, request)]

    async def candidates(self, task_id: str) -> tuple[list[str], list[str]]:
        request = task_service_pb2.ListTaskIdentityLinksRequest(task_id=task_id)
        return shapes.candidates(await _streamed(self._tasks.ListTaskIdentityLinks, request))

    async def complete(self, task_id: str, values: Values, local: bool, outcome: str | None) -> None:
        request = task_service_pb2.CompleteTaskRequest(
            task_id=task_id, variables=_variables(values, "local" if local else ""), outcome=outcome
        )
        await _one(self._tasks.CompleteTask, request)

    async def claim(self, task_id: str, user: str | None) -> None:
        await _one(self._tasks.ClaimTask, task_service_pb2.ClaimTaskRequest(task_id=task_id, assignee=user))

    async def unclaim(self, task_id: str) -> None:
        await _one(self._tasks.UnclaimTask, task_service_pb2.UnclaimTaskRequest(task_id=task_id))

    async def delegate(self, task_id: str, user: str | None) -> None:
        request = task_service_pb2.DelegateTaskRequest(task_id=task_id, assignee=user or "")
        await _one(self._tasks.DelegateTask, request)

    async def resolve(self, task_id: str) -> None:
        await _one(self._tasks.ResolveTask, task_service_pb2.ResolveTaskRequest(task_id=task_id))

    async def assign(self, task_id: str, user: str | None) -> None:
        await _one(self._tasks.AssignTask, task_service_pb2.AssignTaskRequest(task_id=task_id, assignee=user))

    async def jobs(self, instance_id: str, kind: str) -> list[Job]:
        request = management_service_pb2.ListJobsRequest(kind=kind, process_instance_id=instance_id)
        return [shapes.job(found) for found in await _all(self._management.ListJobs, request)]

    async def revive(self, job_id: str) -> None:
        await _one(self._management.MoveDeadLetterJob, management_service_pb2.MoveDeadLetterJobRequest(job_id=job_id))

    async def run_jobs(self, most: int | None) -> None:
        await _one(self._management.RunJobs, management_service_pb2.RunJobsRequest(max_jobs=most))

    async def advance_clock(self, duration: str, fire: bool) -> None:
        request = management_service_pb2.AdvanceClockRequest(advance=duration, fire=fire)
        await _one(self._management.AdvanceClock, request)

    async def acquire(self, topic: str) -> WorkerJob | None:
        request = external_worker_service_pb2.AcquireJobsRequest(
            topic=topic, worker_id=WORKER, lock_duration="PT5M", number_of_tasks=1
        )
        found = await _streamed(self._workers.AcquireJobs, request)
        return shapes.worker_job(found[0]) if found else None

    async def complete_job(self, job: WorkerJob, values: Values) -> None:
        request = external_worker_service_pb2.CompleteJobRequest(
            job_id=job.id, worker_id=WORKER, lock_token=job.lock_token, variables=_variables(values)
        )
        await _one(self._workers.CompleteJob, request)

    async def fail_job(self, job: WorkerJob, message: str, retries: int | None) -> None:
        request = external_worker_service_pb2.FailJobRequest(
            job_id=job.id,
            worker_id=WORKER,
            lock_token=job.lock_token,
            error_message=message,
            retries=retries,
            retry_timeout="PT0S",
        )
        await _one(self._workers.FailJob, request)

    async def throw_bpmn_error(self, job: WorkerJob, code: str, values: Values) -> None:
        request = external_worker_service_pb2.ThrowBpmnErrorRequest(
            job_id=job.id,
            worker_id=WORKER,
            lock_token=job.lock_token,
            error_code=code,
            variables=_variables(values),
        )
        await _one(self._workers.ThrowBpmnError, request)

    async def historic_instance(self, instance_id: str) -> Instance | None:
        request = history_service_pb2.GetHistoricProcessInstanceRequest(process_instance_id=instance_id)
        found = await _found(self._history.GetHistoricProcessInstance, request)
        return shapes.instance(found) if found is not None else None

    async def count_historic(self, definition_id: str, state: str) -> int:
        request = history_service_pb2.ListHistoricProcessInstancesRequest(
            process_definition_id=definition_id, state=state
        )
        return len(await _all(self._history.ListHistoricProcessInstances, request))

    async def historic_variables(self, instance_id: str, deep: bool) -> list[dict[str, Any]]:
        request = history_service_pb2.ListHistoricVariableInstancesRequest(
            exclude_task_variables=True, exclude_local_variables=True
        )
        if deep:
            request.process_instance_id_with_children = instance_id
        else:
            request.process_instance_id = instance_id
        return [found["variable"] for found in await _all(self._history.ListHistoricVariableInstances, request)]

    async def activities(self, instance_id: str) -> list[Activity]:
        request = history_service_pb2.ListHistoricActivityInstancesRequest(process_instance_id=instance_id)
        return [shapes.activity(found) for found in await _all(self._history.ListHistoricActivityInstances, request)]


def _variables(values: Values, scope: str = "") -> list[variable_pb2.Variable]:
    return [ParseDict(each, variable_pb2.Variable()) for each in as_variables(values, scope)]


async def _one(call: Callable[..., Awaitable[Message]], request: Message) -> Json:
    try:
        return MessageToDict(await call(request, timeout=CALL_SECONDS))
    except grpc.aio.AioRpcError as failed:
        raise _refusal(failed) from failed


async def _found(call: Callable[..., Awaitable[Message]], request: Message) -> Json | None:
    try:
        return await _one(call, request)
    except Refused as refused:
        if refused.code == "NOT_FOUND":
            return None
        raise


async def _streamed(call: Callable[..., AsyncIterable[Message]], request: Message) -> list[Json]:
    try:
        return [MessageToDict(found) async for found in call(request, timeout=CALL_SECONDS)]
    except grpc.aio.AioRpcError as failed:
        raise _refusal(failed) from failed


async def _all(call: Callable[..., Awaitable[Message]], request: Any) -> list[Json]:
    """Return every page of a list."""
    found: list[Json] = []
    request.size = PAGE_SIZE
    while True:
        request.start = len(found)
        page: Iterable[Json] = (await _one(call, request)).get("data", [])
        before = len(found)
        found.extend(page)
        if len(found) - before < PAGE_SIZE:
            return found


def _refusal(failed: grpc.aio.AioRpcError) -> Refused:
    return Refused(failed.code().name, failed.details() or "")
