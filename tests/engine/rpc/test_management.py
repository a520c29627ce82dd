"""ManagementService over the in-process transport, on a real engine with manual jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import management_service_pb2 as pb
from google.protobuf import json_format

from engine.app.external_work import Acquire
from engine.jobs.settings import JobSettings
from engine.kernel import commands as cmd
from engine.kernel.values import variables_of
from mesh.clock import SystemClock
from mesh.rpc_errors import refusal_in
from tests.engine.jobs.world import ASYNC, EXTERNAL, FAILING, TIMER, Engine, running, sqlite_url


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with running(sqlite_url(tmp_path)) as found:
        yield found


async def refused(call: Any) -> tuple[str, str]:
    """The code and the reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    refusal = refusal_in(failed.value)
    return failed.value.code().name, refusal.reason if refusal is not None else ""


async def job_of(engine: Engine, kind: str) -> str:
    (job,) = (await engine.management.ListJobs(pb.ListJobsRequest(kind=kind))).data
    return job.id


async def kill(engine: Engine) -> str:
    """Start an instance whose job fails until it is dead; returns the instance."""
    await engine.deploy(FAILING)
    instance = await engine.start("failing")
    for _ in range(3):
        await engine.management.RunJobs(pb.RunJobsRequest())
        engine.advance(hours=1)
    return instance


async def test_jobs_are_listed_where_they_lie(engine: Engine) -> None:
    await engine.deploy(ASYNC, TIMER, EXTERNAL)
    await engine.start("async")
    await engine.start("timer", wait="PT1H")
    await engine.start("external")

    found = {
        kind: [job.handler_type for job in (await engine.management.ListJobs(pb.ListJobsRequest(kind=kind))).data]
        for kind in ("jobs", "timer-jobs", "external-worker-jobs", "deadletter-jobs", "suspended-jobs")
    }

    assert found == {
        "jobs": ["async-continuation"],
        "timer-jobs": ["trigger-timer"],
        "external-worker-jobs": ["external-worker-complete"],
        "deadletter-jobs": [],
        "suspended-jobs": [],
    }


async def test_a_job_is_found_only_where_it_lies(engine: Engine) -> None:
    await engine.deploy(ASYNC)
    await engine.start("async")
    job_id = await job_of(engine, "jobs")

    job = await engine.management.GetJob(pb.GetJobRequest(kind="jobs", job_id=job_id))

    assert (job.id, job.element_id, job.retries, job.kind) == (job_id, "e1", 3, "jobs")
    assert (await refused(engine.management.GetJob(pb.GetJobRequest(kind="timer-jobs", job_id=job_id))))[
        0
    ] == "NOT_FOUND"
    assert (await refused(engine.management.GetJob(pb.GetJobRequest(kind="odd", job_id=job_id))))[
        0
    ] == "INVALID_ARGUMENT"


async def test_executing_a_job_moves_the_instance_on_in_the_call(engine: Engine) -> None:
    await engine.deploy(ASYNC)
    instance = await engine.start("async")

    await engine.management.ExecuteJob(pb.ExecuteJobRequest(job_id=await job_of(engine, "jobs"), action="execute"))

    assert await engine.tasks(instance) == ["After"]


async def test_a_job_that_fails_when_executed_by_hand_loses_a_retry(engine: Engine) -> None:
    await engine.deploy(FAILING)
    await engine.start("failing")
    job_id = await job_of(engine, "jobs")

    answer = await refused(engine.management.ExecuteJob(pb.ExecuteJobRequest(job_id=job_id)))

    assert answer[0] == "FAILED_PRECONDITION"
    job = await engine.management.GetJob(pb.GetJobRequest(kind="timer-jobs", job_id=job_id))
    assert job.retries == 2
    assert "missing" in job.exception_message


async def test_another_action_than_the_contract_names_is_refused(engine: Engine) -> None:
    asked = engine.management.ExecuteJob(pb.ExecuteJobRequest(job_id="x", action="dance"))
    assert (await refused(asked))[0] == "INVALID_ARGUMENT"
    asked = engine.management.ExecuteTimerJobAction(pb.ExecuteTimerJobActionRequest(job_id="x", action=""))
    assert (await refused(asked))[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("by_action", [True, False])
async def test_a_moved_timer_is_due_now(engine: Engine, by_action: bool) -> None:
    await engine.deploy(TIMER)
    instance = await engine.start("timer", wait="PT1H")
    job_id = await job_of(engine, "timer-jobs")

    if by_action:
        await engine.management.ExecuteTimerJobAction(pb.ExecuteTimerJobActionRequest(job_id=job_id, action="move"))
    else:
        await engine.management.MoveTimerJob(pb.MoveTimerJobRequest(job_id=job_id))
    await engine.management.RunJobs(pb.RunJobsRequest())

    assert await engine.tasks(instance) == ["After"]


async def test_a_rescheduled_timer_has_its_new_due_date(engine: Engine) -> None:
    await engine.deploy(TIMER)
    await engine.start("timer", wait="PT1H")
    job_id = await job_of(engine, "timer-jobs")
    request = pb.RescheduleTimerJobRequest(job_id=job_id)
    request.due_date.FromDatetime(engine.clock.now() + timedelta(days=2))

    await engine.management.RescheduleTimerJob(request)

    job = await engine.management.GetJob(pb.GetJobRequest(kind="timer-jobs", job_id=job_id))
    assert job.due_date == request.due_date
    without = pb.RescheduleTimerJobRequest(job_id=job_id)
    assert (await refused(engine.management.RescheduleTimerJob(without)))[0] == "INVALID_ARGUMENT"


async def test_a_dead_job_tells_why_and_comes_back_with_its_attempts(engine: Engine) -> None:
    instance = await kill(engine)
    job_id = await job_of(engine, "deadletter-jobs")

    await engine.group.submit(cmd.SetVariables(execution_id=instance, variables=variables_of({"missing": 1})))
    await engine.management.MoveDeadLetterJob(pb.MoveDeadLetterJobRequest(job_id=job_id, retries=5))

    assert (await engine.management.GetJob(pb.GetJobRequest(kind="jobs", job_id=job_id))).retries == 5
    assert (await engine.management.RunJobs(pb.RunJobsRequest())).executed == 1
    assert await engine.tasks(instance) == ["After"]


async def test_of_many_dead_jobs_one_that_is_none_moves_none(engine: Engine) -> None:
    await kill(engine)
    job_id = await job_of(engine, "deadletter-jobs")
    bulk = engine.management.MoveDeadLetterJobs

    assert (await refused(bulk(pb.MoveDeadLetterJobsRequest(job_ids=[job_id, "none"]))))[0] == "NOT_FOUND"
    assert await job_of(engine, "deadletter-jobs") == job_id
    assert (await refused(bulk(pb.MoveDeadLetterJobsRequest())))[0] == "INVALID_ARGUMENT"
    assert (await refused(bulk(pb.MoveDeadLetterJobsRequest(job_ids=[job_id], retries=0))))[0] == "INVALID_ARGUMENT"
    await bulk(pb.MoveDeadLetterJobsRequest(job_ids=[job_id]))
    assert await job_of(engine, "jobs") == job_id


async def test_retries_are_set(engine: Engine) -> None:
    await engine.deploy(ASYNC)
    await engine.start("async")
    job_id = await job_of(engine, "jobs")

    await engine.management.SetJobRetries(pb.SetJobRetriesRequest(job_id=job_id, retries=7))

    assert (await engine.management.GetJob(pb.GetJobRequest(kind="jobs", job_id=job_id))).retries == 7
    below = pb.SetJobRetriesRequest(job_id=job_id, retries=-1)
    assert (await refused(engine.management.SetJobRetries(below)))[0] == "INVALID_ARGUMENT"


async def test_a_deleted_job_is_gone_and_one_in_execution_is_not_deleted(engine: Engine) -> None:
    await engine.deploy(ASYNC, EXTERNAL)
    await engine.start("async")
    job_id = await job_of(engine, "jobs")

    await engine.management.DeleteJob(pb.DeleteJobRequest(kind="jobs", job_id=job_id))

    assert (await refused(engine.management.GetJob(pb.GetJobRequest(kind="jobs", job_id=job_id))))[0] == "NOT_FOUND"
    await engine.start("external")
    worker_job = await job_of(engine, "external-worker-jobs")
    await engine.work.acquire(Acquire(topic="mail", worker_id="w", lease=timedelta(minutes=1)))
    deletion = engine.management.DeleteJob(pb.DeleteJobRequest(kind="external-worker-jobs", job_id=worker_job))
    assert await refused(deletion) == ("FAILED_PRECONDITION", "job-locked")


async def test_the_stack_trace_is_text(engine: Engine) -> None:
    await engine.deploy(FAILING)
    await engine.start("failing")
    job_id = await job_of(engine, "jobs")
    request = pb.GetJobExceptionStacktraceRequest(kind="jobs", job_id=job_id)
    assert (await refused(engine.management.GetJobExceptionStacktrace(request)))[0] == "NOT_FOUND"
    await engine.management.RunJobs(pb.RunJobsRequest())

    request.kind = "timer-jobs"
    found = await engine.management.GetJobExceptionStacktrace(request)

    assert found.content_type.startswith("text/plain")
    assert b"missing" in found.data


async def test_the_engine_tells_its_name_properties_and_capabilities(engine: Engine) -> None:
    info = await engine.management.GetEngineInfo(pb.GetEngineInfoRequest())
    properties = await engine.management.GetProperties(pb.GetPropertiesRequest())
    can = await engine.management.GetCapabilities(pb.GetCapabilitiesRequest())

    assert (info.name, info.HasField("exception")) == ("flowloom", False)
    assert json_format.MessageToDict(properties) == {"schema.version": "1"}
    assert {"userTask", "callActivity"} <= set(can.element_types)
    assert "timerEventDefinition" in can.event_definitions
    assert (can.manual_clock, can.manual_jobs, can.limits["steps"]) == (True, True, 10_000)


async def test_a_healthy_database_is_consistent(engine: Engine) -> None:
    await engine.deploy(ASYNC)
    await engine.start("async")

    found = await engine.management.CheckConsistency(pb.CheckConsistencyRequest())

    assert (found.consistent, found.instances_checked, list(found.findings)) == (True, 1, [])


async def test_the_clock_moves_by_a_duration_or_to_a_moment_and_fires(engine: Engine) -> None:
    await engine.deploy(TIMER)
    instance = await engine.start("timer", wait="PT2H")
    before = engine.clock.now()

    silent = await engine.management.AdvanceClock(pb.AdvanceClockRequest(advance="PT2H", fire=False))
    request = pb.AdvanceClockRequest()
    request.to.FromDatetime(before + timedelta(hours=3))
    fired = await engine.management.AdvanceClock(request)
    clock = await engine.management.GetClock(pb.GetClockRequest())

    assert (silent.executed, fired.executed) == (0, 1)
    assert clock.time.ToDatetime(UTC) == before + timedelta(hours=3)
    assert clock.manual
    assert await engine.tasks(instance) == ["After"]


async def test_a_clock_does_not_go_back_or_anywhere_unclear(engine: Engine) -> None:
    back = pb.AdvanceClockRequest()
    back.to.FromDatetime(engine.clock.now() - timedelta(seconds=1))
    both = pb.AdvanceClockRequest(advance="PT1H")
    both.to.FromDatetime(engine.clock.now())

    for request in (back, both, pb.AdvanceClockRequest(), pb.AdvanceClockRequest(advance="soon")):
        assert (await refused(engine.management.AdvanceClock(request)))[0] == "INVALID_ARGUMENT"


async def test_runs_by_hand_are_refused_where_jobs_and_clock_are_not_manual(tmp_path: Path) -> None:
    async with running(sqlite_url(tmp_path), settings=JobSettings(), clock=SystemClock()) as engine:
        assert (await refused(engine.management.RunJobs(pb.RunJobsRequest())))[0] == "FAILED_PRECONDITION"
        move = engine.management.AdvanceClock(pb.AdvanceClockRequest(advance="PT1H"))
        assert (await refused(move))[0] == "FAILED_PRECONDITION"


async def test_a_run_of_no_job_at_all_is_no_request(engine: Engine) -> None:
    assert (await refused(engine.management.RunJobs(pb.RunJobsRequest(max_jobs=0))))[0] == "INVALID_ARGUMENT"
