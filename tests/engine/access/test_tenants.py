"""A principal with a tenant sees and changes that tenant's rows, and cannot tell whether others are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flowloom.engine.v1 import external_worker_service_pb2 as ew
from flowloom.engine.v1 import management_service_pb2 as mg
from flowloom.engine.v1 import repository_service_pb2 as rp
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts

from tests.engine.access.world import ONE, TIMED, WAITING, WORKER, Person, World, outcome
from tests.engine.rpc.world import variable

Call = Callable[[Person], Any]


class Rows:
    """What one tenant has."""

    deployment = definition = instance = execution = task = job = worker_job = subscription = variable = ""

    async def fill(self, who: Person) -> Rows:
        self.deployment = await who.deploy(ONE, WORKER, WAITING, TIMED)
        self.instance = (await who.start("one", business_key="order")).id
        (task,) = await who.tasks_of(process_instance_id=self.instance)
        self.task, self.execution = task.id, task.execution_id
        self.definition = task.process_definition_id
        await who.start("worked")
        await who.start("waiting")
        await who.start("timed")
        found = await who.management.ListJobs(mg.ListJobsRequest(kind="timer-jobs"))
        self.job = found.data[0].id
        workers = await who.workers.ListExternalWorkerJobs(ew.ListExternalWorkerJobsRequest())
        self.worker_job = workers.data[0].id
        subscriptions = await who.runtime.ListEventSubscriptions(rt.ListEventSubscriptionsRequest(event_type="message"))
        self.subscription = subscriptions.data[0].id
        variables = await who.runtime.ListVariableInstances(
            rt.ListVariableInstancesRequest(process_instance_id=self.instance)
        )
        self.variable = variables.data[0].id
        return self


def calls_on(rows: Rows) -> dict[str, Call]:
    """Every method that names a row, by name; none of them may succeed for somebody who does not see it."""
    v = [variable("x", 1, "integer")]
    return {
        "GetDeployment": lambda w: w.repository.GetDeployment(rp.GetDeploymentRequest(deployment_id=rows.deployment)),
        "ListDeploymentResources": lambda w: w.repository.ListDeploymentResources(
            rp.ListDeploymentResourcesRequest(deployment_id=rows.deployment)
        ),
        "GetDeploymentResource": lambda w: w.repository.GetDeploymentResource(
            rp.GetDeploymentResourceRequest(deployment_id=rows.deployment, resource_id="p0.bpmn20.xml")
        ),
        "GetDeploymentResourceData": lambda w: w.repository.GetDeploymentResourceData(
            rp.GetDeploymentResourceDataRequest(deployment_id=rows.deployment, resource_name="p0.bpmn20.xml")
        ),
        "GetProcessDefinition": lambda w: w.repository.GetProcessDefinition(
            rp.GetProcessDefinitionRequest(process_definition_id=rows.definition)
        ),
        "GetProcessDefinitionResourceData": lambda w: w.repository.GetProcessDefinitionResourceData(
            rp.GetProcessDefinitionResourceDataRequest(process_definition_id=rows.definition)
        ),
        "GetProcessDefinitionModel": lambda w: w.repository.GetProcessDefinitionModel(
            rp.GetProcessDefinitionModelRequest(process_definition_id=rows.definition)
        ),
        "ListProcessDefinitionIdentityLinks": lambda w: w.repository.ListProcessDefinitionIdentityLinks(
            rp.ListProcessDefinitionIdentityLinksRequest(process_definition_id=rows.definition)
        ),
        "CreateProcessDefinitionIdentityLink": lambda w: w.repository.CreateProcessDefinitionIdentityLink(
            rp.CreateProcessDefinitionIdentityLinkRequest(process_definition_id=rows.definition, user="x")
        ),
        "DeleteProcessDefinitionIdentityLink": lambda w: w.repository.DeleteProcessDefinitionIdentityLink(
            rp.DeleteProcessDefinitionIdentityLinkRequest(
                process_definition_id=rows.definition, family="users", identity_id="x"
            )
        ),
        "UpdateProcessDefinition suspend": lambda w: w.repository.UpdateProcessDefinition(
            rp.UpdateProcessDefinitionRequest(process_definition_id=rows.definition, action="suspend")
        ),
        "UpdateProcessDefinition category": lambda w: w.repository.UpdateProcessDefinition(
            rp.UpdateProcessDefinitionRequest(process_definition_id=rows.definition, category="x")
        ),
        "StartProcessInstance": lambda w: w.runtime.StartProcessInstance(
            rt.StartProcessInstanceRequest(process_definition_id=rows.definition)
        ),
        "GetProcessInstance": lambda w: w.runtime.GetProcessInstance(
            rt.GetProcessInstanceRequest(process_instance_id=rows.instance)
        ),
        "UpdateProcessInstance": lambda w: w.runtime.UpdateProcessInstance(
            rt.UpdateProcessInstanceRequest(process_instance_id=rows.instance, name="mine")
        ),
        "UpdateProcessInstance suspend": lambda w: w.runtime.UpdateProcessInstance(
            rt.UpdateProcessInstanceRequest(process_instance_id=rows.instance, action="suspend")
        ),
        "ChangeProcessInstanceState": lambda w: w.runtime.ChangeProcessInstanceState(
            rt.ChangeProcessInstanceStateRequest(
                process_instance_id=rows.instance, cancel_activity_ids=["e1"], start_activity_ids=["e2"]
            )
        ),
        "ListProcessInstanceVariables": lambda w: w.runtime.ListProcessInstanceVariables(
            rt.ListProcessInstanceVariablesRequest(process_instance_id=rows.instance)
        ),
        "CreateProcessInstanceVariables": lambda w: w.runtime.CreateProcessInstanceVariables(
            rt.CreateProcessInstanceVariablesRequest(process_instance_id=rows.instance, variables=v)
        ),
        "GetProcessInstanceVariable": lambda w: w.runtime.GetProcessInstanceVariable(
            rt.GetProcessInstanceVariableRequest(process_instance_id=rows.instance, variable_name="amount")
        ),
        "ListProcessInstanceIdentityLinks": lambda w: w.runtime.ListProcessInstanceIdentityLinks(
            rt.ListProcessInstanceIdentityLinksRequest(process_instance_id=rows.instance)
        ),
        "CreateProcessInstanceIdentityLink": lambda w: w.runtime.CreateProcessInstanceIdentityLink(
            rt.CreateProcessInstanceIdentityLinkRequest(process_instance_id=rows.instance, user="x", type="participant")
        ),
        "EvaluateConditions": lambda w: w.runtime.EvaluateConditions(
            rt.EvaluateConditionsRequest(process_instance_id=rows.instance)
        ),
        "GetExecution": lambda w: w.runtime.GetExecution(rt.GetExecutionRequest(execution_id=rows.execution)),
        "ListActiveActivities": lambda w: w.runtime.ListActiveActivities(
            rt.ListActiveActivitiesRequest(execution_id=rows.execution)
        ),
        "ListExecutionVariables": lambda w: w.runtime.ListExecutionVariables(
            rt.ListExecutionVariablesRequest(execution_id=rows.execution)
        ),
        "UpsertExecutionVariables": lambda w: w.runtime.UpsertExecutionVariables(
            rt.UpsertExecutionVariablesRequest(execution_id=rows.execution, variables=v)
        ),
        "ExecuteExecutionAction": lambda w: w.runtime.ExecuteExecutionAction(
            rt.ExecuteExecutionActionRequest(execution_id=rows.execution, action="trigger")
        ),
        "GetEventSubscription": lambda w: w.runtime.GetEventSubscription(
            rt.GetEventSubscriptionRequest(event_subscription_id=rows.subscription)
        ),
        "GetVariableInstanceData": lambda w: w.runtime.GetVariableInstanceData(
            rt.GetVariableInstanceDataRequest(variable_instance_id=rows.variable)
        ),
        "SendSignal": lambda w: w.runtime.SendSignal(
            rt.SendSignalRequest(signal_name="s", process_instance_id=rows.instance)
        ),
        "CorrelateMessage": lambda w: w.runtime.CorrelateMessage(
            rt.CorrelateMessageRequest(message_name="paid", process_instance_id=rows.instance)
        ),
        "GetTask": lambda w: w.tasks.GetTask(ts.GetTaskRequest(task_id=rows.task)),
        "UpdateTask": lambda w: w.tasks.UpdateTask(ts.UpdateTaskRequest(task_id=rows.task, name="mine")),
        "BulkUpdateTasks": lambda w: w.tasks.BulkUpdateTasks(
            ts.BulkUpdateTasksRequest(task_ids=[rows.task], name="mine")
        ),
        "ClaimTask": lambda w: w.tasks.ClaimTask(ts.ClaimTaskRequest(task_id=rows.task, assignee="x")),
        "CompleteTask": lambda w: w.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=rows.task)),
        "ExecuteTaskAction": lambda w: w.tasks.ExecuteTaskAction(
            ts.ExecuteTaskActionRequest(task_id=rows.task, action="complete")
        ),
        "ListSubtasks": lambda w: w.tasks.ListSubtasks(ts.ListSubtasksRequest(task_id=rows.task)),
        "CreateTask below": lambda w: w.tasks.CreateTask(ts.CreateTaskRequest(name="x", parent_task_id=rows.task)),
        "ListTaskVariables": lambda w: w.tasks.ListTaskVariables(ts.ListTaskVariablesRequest(task_id=rows.task)),
        "CreateTaskVariables": lambda w: w.tasks.CreateTaskVariables(
            ts.CreateTaskVariablesRequest(task_id=rows.task, variables=v)
        ),
        "ListTaskIdentityLinks": lambda w: w.tasks.ListTaskIdentityLinks(
            ts.ListTaskIdentityLinksRequest(task_id=rows.task)
        ),
        "CreateTaskIdentityLink": lambda w: w.tasks.CreateTaskIdentityLink(
            ts.CreateTaskIdentityLinkRequest(task_id=rows.task, user="x", type="candidate")
        ),
        "CreateTaskComment": lambda w: w.tasks.CreateTaskComment(
            ts.CreateTaskCommentRequest(task_id=rows.task, message="x")
        ),
        "ListTaskEvents": lambda w: w.tasks.ListTaskEvents(ts.ListTaskEventsRequest(task_id=rows.task)),
        "GetJob": lambda w: w.management.GetJob(mg.GetJobRequest(kind="timer-jobs", job_id=rows.job)),
        "MoveTimerJob": lambda w: w.management.MoveTimerJob(mg.MoveTimerJobRequest(job_id=rows.job)),
        "SetJobRetries": lambda w: w.management.SetJobRetries(mg.SetJobRetriesRequest(job_id=rows.job, retries=1)),
        "MoveDeadLetterJobs": lambda w: w.management.MoveDeadLetterJobs(
            mg.MoveDeadLetterJobsRequest(action="move", job_ids=[rows.job])
        ),
        "DeleteJob": lambda w: w.management.DeleteJob(mg.DeleteJobRequest(kind="timer-jobs", job_id=rows.job)),
        "GetExternalWorkerJob": lambda w: w.workers.GetExternalWorkerJob(
            ew.GetExternalWorkerJobRequest(job_id=rows.worker_job)
        ),
        "CompleteJob": lambda w: w.workers.CompleteJob(
            ew.CompleteJobRequest(job_id=rows.worker_job, worker_id="worker")
        ),
        "ExtendJobLock": lambda w: w.workers.ExtendJobLock(
            ew.ExtendJobLockRequest(job_id=rows.worker_job, worker_id="worker", lock_duration="PT1M")
        ),
        "UnacquireJob": lambda w: w.workers.UnacquireJob(
            ew.UnacquireJobRequest(job_id=rows.worker_job, worker_id="worker")
        ),
        "DeleteProcessInstance": lambda w: w.runtime.DeleteProcessInstance(
            rt.DeleteProcessInstanceRequest(process_instance_id=rows.instance)
        ),
        "BulkDeleteProcessInstances": lambda w: w.runtime.BulkDeleteProcessInstances(
            rt.BulkDeleteProcessInstancesRequest(instance_ids=[rows.instance])
        ),
        "DeleteDeployment": lambda w: w.repository.DeleteDeployment(
            rp.DeleteDeploymentRequest(deployment_id=rows.deployment, cascade=True)
        ),
    }


def lists_of(who: Person) -> dict[str, Any]:
    """Every list, unfiltered."""
    return {
        "deployments": who.repository.ListDeployments(rp.ListDeploymentsRequest(size=1000)),
        "definitions": who.repository.ListProcessDefinitions(rp.ListProcessDefinitionsRequest(size=1000)),
        "instances": who.runtime.ListProcessInstances(rt.ListProcessInstancesRequest(size=1000)),
        "executions": who.runtime.ListExecutions(rt.ListExecutionsRequest(size=1000)),
        "activities": who.runtime.ListActivityInstances(rt.ListActivityInstancesRequest(size=1000)),
        "subscriptions": who.runtime.ListEventSubscriptions(rt.ListEventSubscriptionsRequest(size=1000)),
        "variables": who.runtime.ListVariableInstances(rt.ListVariableInstancesRequest(size=1000)),
        "tasks": who.tasks.ListTasks(ts.ListTasksRequest(size=1000)),
        "timers": who.management.ListJobs(mg.ListJobsRequest(kind="timer-jobs", size=1000)),
        "worker jobs": who.workers.ListExternalWorkerJobs(ew.ListExternalWorkerJobsRequest(size=1000)),
    }


async def counts(who: Person) -> dict[str, int]:
    return {name: len((await found).data) for name, found in lists_of(who).items()}


async def test_rows_of_another_tenant_are_not_there(world: World) -> None:
    acme = world.person("alice", "*", tenant_id="acme")
    umbrella = world.person("bob", "*", tenant_id="umbrella")
    nobody = world.person("carol", "engine.*")
    admin = world.person("admin", "*")
    rows = await Rows().fill(acme)
    await acme.workers.AcquireJobs(_acquire()).read()
    task = await acme.tasks.CreateTask(ts.CreateTaskRequest(name="alone"))
    before = await counts(acme)

    for stranger in (umbrella, nobody):
        assert await counts(stranger) == dict.fromkeys(before, 0)
        outcomes = {name: await outcome(call(stranger)) for name, call in calls_on(rows).items()}
        assert {found.split()[0] for found in outcomes.values()} == {"NOT_FOUND"}, outcomes
        assert await outcome(stranger.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))) == (
            "NOT_FOUND task-not-found"
        )
        assert await outcome(stranger.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=task.id))) == (
            "NOT_FOUND task-not-found"
        )

    assert await counts(acme) == before
    assert all(count > 0 for count in before.values()), before
    assert await counts(admin) == before


async def test_what_is_not_there_is_refused_in_the_same_words_as_what_is_not_seen(small: World) -> None:
    acme = small.person("alice", "*", tenant_id="acme")
    umbrella = small.person("bob", "*", tenant_id="umbrella")
    rows = await Rows().fill(acme)
    unknown = Rows()
    for name in ("deployment", "definition", "instance", "execution", "task", "job", "worker_job", "subscription"):
        setattr(unknown, name, "01890000-0000-7000-8000-000000000000")
    unknown.variable = "bm9uZQ"

    seen = {name: await outcome(call(umbrella)) for name, call in calls_on(rows).items()}

    assert {name: await outcome(call(umbrella)) for name, call in calls_on(unknown).items()} == seen


async def test_the_calls_of_this_test_are_calls_that_succeed_for_whoever_owns_the_rows(small: World) -> None:
    """Otherwise a NOT_FOUND for the stranger would mean nothing."""
    acme = small.person("alice", "*", tenant_id="acme")
    for name in calls_on(Rows()):
        rows = await Rows().fill(acme)
        await acme.workers.AcquireJobs(_acquire()).read()
        found = await outcome(calls_on(rows)[name](acme))
        assert found in {"ok", *_OTHERWISE.get(name, ())}, f"{name}: {found}"


_OTHERWISE = {
    "GetVariableInstanceData": ("NOT_FOUND variable-not-binary",),
    # No starter, no running condition, nothing that waits there: refused for another reason than who asks.
    "DeleteProcessDefinitionIdentityLink": ("NOT_FOUND identity-link-not-found",),
    "ExecuteExecutionAction": ("FAILED_PRECONDITION not-waiting", "FAILED_PRECONDITION not-triggerable"),
    "CorrelateMessage": ("NOT_FOUND subscription-not-found",),
    "MoveDeadLetterJobs": ("NOT_FOUND job-not-found",),
    "SendSignal": ("NOT_FOUND subscription-not-found",),
}


@pytest.mark.parametrize(
    "call",
    [
        lambda w: w.repository.CreateDeployment(rp.CreateDeploymentRequest(tenant_id="umbrella", name="x")),
        lambda w: w.repository.ListDeployments(rp.ListDeploymentsRequest(tenant_id="umbrella")),
        lambda w: w.repository.ListProcessDefinitions(rp.ListProcessDefinitionsRequest(tenant_id="umbrella")),
        lambda w: w.runtime.ListProcessInstances(rt.ListProcessInstancesRequest(tenant_id="umbrella")),
        lambda w: w.runtime.StartProcessInstance(
            rt.StartProcessInstanceRequest(process_definition_key="one", tenant_id="umbrella")
        ),
        lambda w: w.runtime.StartProcessInstance(
            rt.StartProcessInstanceRequest(process_definition_key="one", override_definition_tenant_id="umbrella")
        ),
        lambda w: w.runtime.SendSignal(rt.SendSignalRequest(signal_name="s", tenant_id="umbrella")),
        lambda w: w.runtime.CorrelateMessage(rt.CorrelateMessageRequest(message_name="m", tenant_id="umbrella")),
        lambda w: w.tasks.CreateTask(ts.CreateTaskRequest(name="x", tenant_id="umbrella")),
        lambda w: w.tasks.ListTasks(ts.ListTasksRequest(tenant_id="umbrella")),
        lambda w: w.management.ListJobs(mg.ListJobsRequest(kind="jobs", tenant_id="umbrella")),
        lambda w: w.workers.AcquireJobs(_acquire(tenant_id="umbrella")),
        lambda w: w.workers.UnacquireAllJobs(ew.UnacquireAllJobsRequest(worker_id="w", tenant_id="umbrella")),
    ],
)
async def test_naming_a_foreign_tenant_is_refused(shared: World, call: Call) -> None:
    acme = shared.person("alice", "*", tenant_id="acme")

    assert await outcome(call(acme)) == "PERMISSION_DENIED foreign-tenant"


async def test_what_is_made_without_naming_a_tenant_is_the_callers(small: World) -> None:
    acme = small.person("alice", "*", tenant_id="acme")
    rows = await Rows().fill(acme)
    standalone = await acme.tasks.CreateTask(ts.CreateTaskRequest(name="alone"))
    task = await acme.tasks.GetTask(ts.GetTaskRequest(task_id=rows.task))
    deployment = await acme.repository.GetDeployment(rp.GetDeploymentRequest(deployment_id=rows.deployment))

    assert {standalone.tenant_id, task.tenant_id, deployment.tenant_id} == {"acme"}


async def test_a_worker_gets_its_tenants_jobs_only(small: World) -> None:
    acme = small.person("alice", "*", tenant_id="acme")
    umbrella = small.person("bob", "*", tenant_id="umbrella")
    for who in (acme, umbrella):
        await who.deploy(WORKER)
        await who.start("worked")

    taken = [job async for job in umbrella.workers.AcquireJobs(_acquire(number_of_tasks=10))]

    assert [job.tenant_id for job in taken] == ["umbrella"]
    assert (
        await outcome(umbrella.workers.CompleteJob(ew.CompleteJobRequest(job_id=taken[0].id, worker_id="worker")))
        == "ok"
    )


async def test_messages_and_signals_stay_in_the_tenant(small: World) -> None:
    acme = small.person("alice", "*", tenant_id="acme")
    umbrella = small.person("bob", "*", tenant_id="umbrella")
    await acme.deploy(WAITING)
    await acme.start("waiting")

    correlate = rt.CorrelateMessageRequest(message_name="paid")
    assert (await outcome(umbrella.runtime.CorrelateMessage(correlate))).startswith("NOT_FOUND")
    assert await outcome(acme.runtime.CorrelateMessage(correlate)) == "ok"


async def test_the_check_of_everything_is_for_whoever_sees_everything(shared: World) -> None:
    acme = shared.person("alice", "*", tenant_id="acme")
    admin = shared.person("admin", "*")

    assert await outcome(acme.management.CheckConsistency(mg.CheckConsistencyRequest())) == (
        "PERMISSION_DENIED privilege-missing"
    )
    assert await outcome(admin.management.CheckConsistency(mg.CheckConsistencyRequest())) == "ok"


def _acquire(**more: Any) -> ew.AcquireJobsRequest:
    return ew.AcquireJobsRequest(topic="parcels", worker_id="worker", lock_duration="PT5M", **more)
