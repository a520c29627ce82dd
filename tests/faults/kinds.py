"""Every kind of command that changes something: what must be there before it, and the command itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from flowloom.engine.v1 import external_worker_service_pb2 as workers_pb
from flowloom.engine.v1 import repository_service_pb2 as repository_pb
from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb
from flowloom.engine.v1 import task_service_pb2 as task_pb

from tests.faults import models
from tests.faults.embedded import Embedded, variables

REQUEST: Final = "the-request"
Facts = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of command.

    `send` sends it with the request id `REQUEST` and returns its answer (None: it answers nothing that must be the same
    again, as a job that is run). `steps`: it is more than one transaction, so its traces may be found half-way; the
    retry finishes it all the same. `leases`: it changes nothing but leases, which no command's batch does.
    `looks`: it is a look for work, which takes what it finds free and is repeated for ever.
    """

    name: str
    prepare: Callable[[Embedded], Awaitable[Facts]]
    send: Callable[[Embedded, Facts], Awaitable[Any]]
    steps: bool = False
    leases: bool = False
    looks: bool = False


async def _instance(engine: Embedded, model: str, key: str, **values: Any) -> Facts:
    await engine.deploy(model)
    return {"instance": await engine.start(key, business_key="key", **values)}


async def _with_task(engine: Embedded, model: str, key: str, name: str = "", **values: Any) -> Facts:
    facts = await _instance(engine, model, key, **values)
    return facts | {"task": await engine.task(facts["instance"], name)}


async def _with_execution(engine: Embedded, model: str, key: str, **values: Any) -> Facts:
    facts = await _instance(engine, model, key, **values)
    return facts | {"execution": await engine.execution_at(facts["instance"], "e1")}


async def _deployed(engine: Embedded, *documents: str) -> Facts:
    deployment = await engine.deploy(*documents)
    return {"deployment": deployment.id}


async def _delegated(engine: Embedded) -> Facts:
    facts = await _with_task(engine, models.ONE, "one")
    await engine.tasks.ClaimTask(task_pb.ClaimTaskRequest(task_id=facts["task"], assignee="kermit"))
    await engine.tasks.DelegateTask(task_pb.DelegateTaskRequest(task_id=facts["task"], assignee="gonzo"))
    return facts


async def _one_branch_done(engine: Embedded) -> Facts:
    facts = await _instance(engine, models.JOIN, "joining")
    await engine.complete(await engine.task(facts["instance"], "Left"))
    return facts | {"task": await engine.task(facts["instance"], "Right")}


async def _four_of_five_done(engine: Embedded) -> Facts:
    facts = await _instance(engine, models.FIVE, "five", n=5)
    *others, last = await engine.open_tasks(facts["instance"])
    for task in others:
        await engine.complete(task.id)
    return facts | {"task": last.id}


async def _listening(engine: Embedded) -> Facts:
    await engine.deploy(models.SIGNAL)
    await engine.deploy(models.ON_SIGNAL)
    for _ in range(3):
        await engine.start("signal")
    return {}


async def _thrower(engine: Embedded) -> Facts:
    await _listening(engine)
    return await _with_task(engine, models.THROW, "throw")


async def _external(engine: Embedded) -> Facts:
    return await _instance(engine, models.EXTERNAL, "external", amount=5)


async def _leased(engine: Embedded) -> Facts:
    facts = await _external(engine)
    request = workers_pb.AcquireJobsRequest(topic="work", worker_id="w", lock_duration="PT10H", number_of_tasks=1)
    (job,) = [job async for job in engine.workers.AcquireJobs(request)]
    return facts | {"job": job.id, "token": job.lock_token}


async def _suspended(engine: Embedded) -> Facts:
    facts = await _instance(engine, models.RICH, "rich", who="kermit")
    request = runtime_pb.UpdateProcessInstanceRequest(process_instance_id=facts["instance"], action="suspend")
    await engine.runtime.UpdateProcessInstance(request)
    return facts


async def _two_instances(engine: Embedded) -> Facts:
    facts = await _deployed(engine, models.ONE)
    facts["first"] = await engine.start("one")
    facts["second"] = await engine.start("one")
    return facts | {"definition": await _definition(engine, "one")}


async def _definition(engine: Embedded, key: str) -> str:
    request = repository_pb.ListProcessDefinitionsRequest(key=key, latest=True)
    (found,) = (await engine.repository.ListProcessDefinitions(request)).data
    return str(found.id)


async def _two_versions(engine: Embedded) -> Facts:
    facts = await _with_task(engine, models.TWO, "two")
    await engine.deploy(models.TWO.replace('name="Second"', 'name="Second, better"'))
    return facts | {"definition": await _definition(engine, "two")}


async def _two_start_versions(engine: Embedded) -> Facts:
    await engine.deploy(models.STARTED_BY_ALL)
    return await _deployed(engine, models.STARTED_BY_ALL.replace("PT1H", "PT2H"))


async def _calling(engine: Embedded) -> Facts:
    await engine.deploy(models.TWO)
    facts = await _instance(engine, models.CALLING, "calling")
    (called,) = (
        await engine.runtime.ListProcessInstances(
            runtime_pb.ListProcessInstancesRequest(super_process_instance_id=facts["instance"])
        )
    ).data
    await engine.complete(await engine.task(called.id))
    return facts | {"task": await engine.task(called.id)}


async def _standalone(engine: Embedded) -> Facts:
    task = await engine.tasks.CreateTask(task_pb.CreateTaskRequest(name="Shop", assignee="kermit"))
    return {"task": task.id}


# --- the commands ---------------------------------------------------------------------------------------------------


def _start(key: str, **values: Any) -> Callable[[Embedded, Facts], Awaitable[Any]]:
    async def send(engine: Embedded, _: Facts) -> Any:
        return await engine.runtime.StartProcessInstance(
            runtime_pb.StartProcessInstanceRequest(
                process_definition_key=key, business_key="key", variables=variables(**values), request_id=REQUEST
            )
        )

    return send


async def _start_with_status(engine: Embedded, _: Facts) -> Any:
    return await engine.runtime.StartProcessInstance(
        runtime_pb.StartProcessInstanceRequest(process_definition_key="one", business_status="new", request_id=REQUEST)
    )


def _complete(**values: Any) -> Callable[[Embedded, Facts], Awaitable[Any]]:
    async def send(engine: Embedded, facts: Facts) -> Any:
        await engine.complete(facts["task"], request_id=REQUEST, **values)

    return send


async def _claim(engine: Embedded, facts: Facts) -> Any:
    request = task_pb.ClaimTaskRequest(task_id=facts["task"], assignee="kermit", request_id=REQUEST)
    return await engine.tasks.ClaimTask(request)


async def _delegate(engine: Embedded, facts: Facts) -> Any:
    request = task_pb.DelegateTaskRequest(task_id=facts["task"], assignee="gonzo", request_id=REQUEST)
    return await engine.tasks.DelegateTask(request)


async def _resolve(engine: Embedded, facts: Facts) -> Any:
    request = task_pb.ResolveTaskRequest(task_id=facts["task"], variables=variables(ok=True), request_id=REQUEST)
    return await engine.tasks.ResolveTask(request)


async def _update_task(engine: Embedded, facts: Facts) -> Any:
    request = task_pb.UpdateTaskRequest(task_id=facts["task"], name="Better", priority=90, request_id=REQUEST)
    return await engine.tasks.UpdateTask(request)


async def _add_candidate(engine: Embedded, facts: Facts) -> Any:
    request = task_pb.CreateTaskIdentityLinkRequest(
        task_id=facts["task"], user="piggy", type="candidate", request_id=REQUEST
    )
    return await engine.tasks.CreateTaskIdentityLink(request)


async def _set_variables(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.UpsertProcessInstanceVariablesRequest(
        process_instance_id=facts["instance"], variables=variables(amount=2, note="x" * 500), request_id=REQUEST
    )
    return [variable async for variable in engine.runtime.UpsertProcessInstanceVariables(request)]


async def _delete_variable(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.DeleteProcessInstanceVariableRequest(
        process_instance_id=facts["instance"], variable_name="amount", request_id=REQUEST
    )
    return await engine.runtime.DeleteProcessInstanceVariable(request)


async def _correlate(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.CorrelateMessageRequest(
        message_name="paid", business_key="key", variables=variables(sum=5), request_id=REQUEST
    )
    return await engine.runtime.CorrelateMessage(request)


async def _order(engine: Embedded, _: Facts) -> Any:
    request = runtime_pb.CorrelateMessageRequest(message_name="order", request_id=REQUEST)
    return await engine.runtime.CorrelateMessage(request)


async def _trigger(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.ExecuteExecutionActionRequest(
        execution_id=facts["execution"], action="trigger", variables=variables(ok=True), request_id=REQUEST
    )
    # What it answers of an execution that ended is no more than its id, for a repeated request; see `Woken`.
    return (await engine.runtime.ExecuteExecutionAction(request)).id


async def _broadcast(engine: Embedded, _: Facts) -> Any:
    request = runtime_pb.SendSignalRequest(signal_name="alarm", variables=variables(level=3), request_id=REQUEST)
    return await engine.runtime.SendSignal(request)


async def _run_jobs(engine: Embedded, _: Facts) -> Any:
    # How many were run is no answer to keep: a job that was run before the death is not run again.
    await engine.run_jobs()


async def _acquire(engine: Embedded, _: Facts) -> Any:
    request = workers_pb.AcquireJobsRequest(
        topic="work", worker_id="w", lock_duration="PT1H", number_of_tasks=5, request_id=REQUEST
    )
    return [job.id async for job in engine.workers.AcquireJobs(request)]


async def _complete_job(engine: Embedded, facts: Facts) -> Any:
    request = workers_pb.CompleteJobRequest(
        job_id=facts["job"],
        worker_id="w",
        lock_token=facts["token"],
        variables=variables(ok=True),
        request_id=REQUEST,
    )
    return await engine.workers.CompleteJob(request)


async def _fail_job(engine: Embedded, facts: Facts) -> Any:
    request = workers_pb.FailJobRequest(
        job_id=facts["job"], worker_id="w", lock_token=facts["token"], error_message="no paper", request_id=REQUEST
    )
    return await engine.workers.FailJob(request)


async def _bpmn_error(engine: Embedded, facts: Facts) -> Any:
    request = workers_pb.ThrowBpmnErrorRequest(
        job_id=facts["job"], worker_id="w", lock_token=facts["token"], error_code="BROKEN", request_id=REQUEST
    )
    return await engine.workers.ThrowBpmnError(request)


async def _extend(engine: Embedded, facts: Facts) -> Any:
    request = workers_pb.ExtendJobLockRequest(
        job_id=facts["job"], worker_id="w", lock_token=facts["token"], lock_duration="PT20H", request_id=REQUEST
    )
    return await engine.workers.ExtendJobLock(request)


def _act(action: str) -> Callable[[Embedded, Facts], Awaitable[Any]]:
    async def send(engine: Embedded, facts: Facts) -> Any:
        request = runtime_pb.UpdateProcessInstanceRequest(
            process_instance_id=facts["instance"], action=action, request_id=REQUEST
        )
        return await engine.runtime.UpdateProcessInstance(request)

    return send


async def _delete(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.DeleteProcessInstanceRequest(
        process_instance_id=facts["instance"], delete_reason="enough", request_id=REQUEST
    )
    return await engine.runtime.DeleteProcessInstance(request)


async def _delete_two(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.BulkDeleteProcessInstancesRequest(
        action="delete", instance_ids=[facts["first"], facts["second"]], request_id=REQUEST
    )
    return await engine.runtime.BulkDeleteProcessInstances(request)


async def _change_state(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.ChangeProcessInstanceStateRequest(
        process_instance_id=facts["instance"],
        cancel_activity_ids=["e1"],
        start_activity_ids=["e2"],
        request_id=REQUEST,
    )
    return await engine.runtime.ChangeProcessInstanceState(request)


async def _migrate(engine: Embedded, facts: Facts) -> Any:
    request = runtime_pb.MigrateProcessInstanceRequest(
        process_instance_id=facts["instance"], to_process_definition_id=facts["definition"], request_id=REQUEST
    )
    return await engine.runtime.MigrateProcessInstance(request)


async def _deploy(engine: Embedded, _: Facts) -> Any:
    return await engine.deploy(models.STARTED_BY_ALL.replace("PT1H", "PT3H"), models.TWO, request_id=REQUEST)


async def _delete_deployment(engine: Embedded, facts: Facts) -> Any:
    request = repository_pb.DeleteDeploymentRequest(deployment_id=facts["deployment"], cascade=True, request_id=REQUEST)
    return await engine.repository.DeleteDeployment(request)


async def _suspend_definition(engine: Embedded, facts: Facts) -> Any:
    request = repository_pb.UpdateProcessDefinitionRequest(
        process_definition_id=facts["definition"],
        action="suspend",
        include_process_instances=True,
        request_id=REQUEST,
    )
    return await engine.repository.UpdateProcessDefinition(request)


async def _create_task(engine: Embedded, _: Facts) -> Any:
    request = task_pb.CreateTaskRequest(name="Shop", assignee="kermit", request_id=REQUEST)
    return await engine.tasks.CreateTask(request)


async def _comment(engine: Embedded, facts: Facts) -> Any:
    request = task_pb.CreateTaskCommentRequest(task_id=facts["task"], message="Why?", request_id=REQUEST)
    return await engine.tasks.CreateTaskComment(request)


async def _nothing(_: Embedded) -> Facts:
    return {}


def _of(model: str, key: str, **values: Any) -> Callable[[Embedded], Awaitable[Facts]]:
    return lambda engine: _instance(engine, model, key, **values)


def _task_of(model: str, key: str, name: str = "", **values: Any) -> Callable[[Embedded], Awaitable[Facts]]:
    return lambda engine: _with_task(engine, model, key, name, **values)


def _just(*documents: str) -> Callable[[Embedded], Awaitable[Facts]]:
    return lambda engine: _deployed(engine, *documents)


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(name="start", prepare=_just(models.ONE), send=_start("one", amount=5)),
        Kind(
            name="start-with-every-wait",
            prepare=_just(models.RICH),
            send=_start("rich", who="kermit", order={"lines": [1, 2]}),
        ),
        Kind(name="start-that-ends", prepare=_just(models.STRAIGHT), send=_start("straight")),
        Kind(name="start-that-calls", prepare=_just(models.CALLING, models.TWO), send=_start("calling")),
        Kind(name="start-multi-instance", prepare=_just(models.FIVE), send=_start("five", n=5)),
        Kind(name="start-by-message", prepare=_just(models.ORDER), send=_order),
        Kind(name="start-with-status", prepare=_just(models.ONE), send=_start_with_status, steps=True),
        Kind(name="complete", prepare=_task_of(models.TWO, "two", amount=1), send=_complete(amount=2, note="good")),
        Kind(name="complete-that-ends", prepare=_task_of(models.ONE, "one", amount=1), send=_complete(amount=2)),
        Kind(name="complete-that-joins", prepare=_one_branch_done, send=_complete()),
        Kind(name="complete-last-of-many", prepare=_four_of_five_done, send=_complete()),
        Kind(name="complete-that-returns-to-caller", prepare=_calling, send=_complete()),
        Kind(name="complete-with-boundary", prepare=_task_of(models.RICH, "rich", who="kermit"), send=_complete()),
        Kind(name="complete-that-throws", prepare=_thrower, send=_complete()),
        Kind(name="claim", prepare=_task_of(models.ONE, "one"), send=_claim),
        Kind(name="delegate", prepare=_task_of(models.ONE, "one"), send=_delegate),
        Kind(name="resolve", prepare=_delegated, send=_resolve),
        Kind(name="update-task", prepare=_task_of(models.ONE, "one"), send=_update_task),
        Kind(name="add-candidate", prepare=_task_of(models.ONE, "one"), send=_add_candidate, steps=True),
        Kind(name="set-variables", prepare=_of(models.ONE, "one", amount=1), send=_set_variables),
        Kind(name="delete-variable", prepare=_of(models.ONE, "one", amount=1), send=_delete_variable),
        Kind(name="message", prepare=_of(models.MESSAGE, "message"), send=_correlate),
        Kind(name="trigger", prepare=lambda engine: _with_execution(engine, models.WAIT, "wait"), send=_trigger),
        Kind(name="signal", prepare=_listening, send=_broadcast),
        Kind(name="timer", prepare=_of(models.TIMER, "timer"), send=_run_jobs, looks=True),
        Kind(name="timer-start", prepare=_just(models.EVERY_HOUR), send=_run_jobs, looks=True),
        Kind(name="async", prepare=_of(models.ASYNC, "async"), send=_run_jobs, looks=True),
        Kind(name="failing-job", prepare=_of(models.FAILING, "failing"), send=_run_jobs, looks=True),
        Kind(name="acquire", prepare=_external, send=_acquire, leases=True),
        Kind(name="complete-job", prepare=_leased, send=_complete_job),
        Kind(name="fail-job", prepare=_leased, send=_fail_job),
        Kind(name="bpmn-error", prepare=_leased, send=_bpmn_error),
        Kind(name="extend-lock", prepare=_leased, send=_extend, leases=True),
        Kind(name="suspend", prepare=_of(models.RICH, "rich", who="kermit"), send=_act("suspend")),
        Kind(name="activate", prepare=_suspended, send=_act("activate")),
        Kind(name="delete", prepare=_of(models.RICH, "rich", who="kermit"), send=_delete),
        Kind(name="delete-two", prepare=_two_instances, send=_delete_two),
        Kind(name="change-state", prepare=_of(models.TWO, "two"), send=_change_state),
        Kind(name="migrate", prepare=_two_versions, send=_migrate),
        Kind(name="deploy", prepare=_two_start_versions, send=_deploy),
        Kind(name="delete-deployment", prepare=_two_instances, send=_delete_deployment, steps=True),
        Kind(name="delete-latest-version", prepare=_two_start_versions, send=_delete_deployment),
        Kind(name="suspend-definition", prepare=_two_instances, send=_suspend_definition, steps=True),
        Kind(name="create-task", prepare=_nothing, send=_create_task),
        Kind(name="complete-task-of-nobody", prepare=_standalone, send=_complete()),
        Kind(name="comment", prepare=_standalone, send=_comment),
    )
}
