"""ExternalWorkerService over the in-process transport, on a real engine with manual jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import external_worker_service_pb2 as pb
from flowloom.engine.v1 import job_pb2, variable_pb2
from google.protobuf import json_format

from engine.jobs.settings import JobSettings
from mesh.clock import SystemClock
from mesh.rpc_errors import refusal_in
from tests.engine.jobs.world import EXTERNAL, Engine, document, eventually, running, sqlite_url

WITH_BOUNDARY = document(
    "caught",
    '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="work"/>'
    '<serviceTask id="work" flowable:type="external-worker" flowable:topic="mail"/>'
    '<sequenceFlow id="f2" sourceRef="work" targetRef="t1"/><userTask id="t1" name="Went well"/>'
    '<boundaryEvent id="b" attachedToRef="work"><errorEventDefinition/></boundaryEvent>'
    '<sequenceFlow id="f3" sourceRef="b" targetRef="t2"/><userTask id="t2" name="Went wrong"/>',
)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with running(sqlite_url(tmp_path)) as found:
        await found.deploy(EXTERNAL, WITH_BOUNDARY)
        yield found


def variables(**values: Any) -> list[variable_pb2.Variable]:
    found = []
    for name, value in values.items():
        variable = variable_pb2.Variable(name=name)
        json_format.ParseDict(value, variable.value)
        found.append(variable)
    return found


async def refused(call: Any) -> tuple[str, str]:
    """The code and the reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    refusal = refusal_in(failed.value)
    return failed.value.code().name, refusal.reason if refusal is not None else ""


async def acquire(engine: Engine, worker: str = "w", **more: Any) -> list[job_pb2.ExternalWorkerJob]:
    asked = {"topic": "mail", "worker_id": worker, "lock_duration": "PT5M", **more}
    return [job async for job in engine.worker.AcquireJobs(pb.AcquireJobsRequest(**asked))]


async def test_a_worker_gets_one_job_with_its_variables_unless_it_asks_for_more(engine: Engine) -> None:
    instance = await engine.start("external", name="kermit", count=3)
    await engine.start("external")

    (job,) = await acquire(engine)

    assert (job.process_instance_id, job.topic, job.element_id, job.retries) == (instance, "mail", "e1", 3)
    assert (job.process_definition_key, job.lock_owner) == ("external", "w")
    assert job.lock_token
    assert {v.name: (v.type, json_format.MessageToDict(v.value)) for v in job.variables} == {
        "name": ("string", "kermit"),
        "count": ("integer", 3),
    }
    assert len(await acquire(engine, number_of_tasks=10)) == 1


async def test_after_completion_the_instance_goes_on_by_a_job_of_its_own(engine: Engine) -> None:
    instance = await engine.start("external")
    (job,) = await acquire(engine)

    await engine.worker.CompleteJob(
        pb.CompleteJobRequest(job_id=job.id, worker_id="w", variables=variables(result={"x": 1}))
    )

    assert await engine.tasks(instance) == []
    assert [j.handler_type for j in await engine.jobs("jobs", instance)] == ["external-worker-complete"]
    assert await engine.jobs("external-worker-jobs", instance) == []
    await engine.control.run_jobs()
    assert await engine.tasks(instance) == ["After"]
    found = await engine.queries.get_process_instance_variable(instance, "result")
    assert found.variable.value == {"x": 1}


async def test_a_failed_job_is_tried_later_and_at_last_dead(engine: Engine) -> None:
    instance = await engine.start("external")
    (job,) = await acquire(engine)
    await engine.worker.FailJob(
        pb.FailJobRequest(
            job_id=job.id, worker_id="w", error_message="no mail server", error_details="trace", retry_timeout="PT1M"
        )
    )

    assert await acquire(engine) == []
    engine.advance(minutes=1)
    (again,) = await acquire(engine)
    assert (again.retries, again.exception_message) == (2, "no mail server")
    await engine.worker.FailJob(pb.FailJobRequest(job_id=job.id, worker_id="w", error_message="again", retries=0))
    (dead,) = await engine.jobs("deadletter-jobs", instance)
    assert dead.exception_message == "again"
    assert await acquire(engine) == []


async def test_with_no_timeout_at_all_a_failed_job_is_free_at_once(engine: Engine) -> None:
    await engine.start("external")
    (job,) = await acquire(engine)
    await engine.worker.FailJob(pb.FailJobRequest(job_id=job.id, worker_id="w", retries=2, retry_timeout="PT0S"))

    assert [found.id for found in await acquire(engine)] == [job.id]


@pytest.mark.parametrize("code", ["BOUNCED", None])
async def test_a_bpmn_error_leads_to_its_handler(engine: Engine, code: str | None) -> None:
    instance = await engine.start("caught")
    (job,) = await acquire(engine)

    await engine.worker.ThrowBpmnError(
        pb.ThrowBpmnErrorRequest(job_id=job.id, worker_id="w", error_code=code, variables=variables(why="full"))
    )
    await engine.control.run_jobs()

    assert await engine.tasks(instance) == ["Went wrong"]
    assert (await engine.queries.get_process_instance_variable(instance, "why")).variable.value == "full"


async def test_only_the_holder_may_report(engine: Engine) -> None:
    await engine.start("external")
    (job,) = await acquire(engine)
    complete = engine.worker.CompleteJob

    other = pb.CompleteJobRequest(job_id=job.id, worker_id="other")
    assert await refused(complete(other)) == ("PERMISSION_DENIED", "lock-lost")
    old = pb.CompleteJobRequest(job_id=job.id, worker_id="w", lock_token="old")
    assert await refused(complete(old)) == ("PERMISSION_DENIED", "lock-lost")
    assert (await refused(complete(pb.CompleteJobRequest(job_id=job.id))))[0] == "INVALID_ARGUMENT"
    assert (await refused(complete(pb.CompleteJobRequest(job_id="none", worker_id="w"))))[0] == "NOT_FOUND"
    await complete(pb.CompleteJobRequest(job_id=job.id, worker_id="w", lock_token=job.lock_token))
    assert (await refused(complete(pb.CompleteJobRequest(job_id=job.id, worker_id="w"))))[0] == "NOT_FOUND"


async def test_a_repeated_report_with_the_same_request_id_is_answered_again(engine: Engine) -> None:
    await engine.start("external")
    (job,) = await acquire(engine)
    request = pb.CompleteJobRequest(job_id=job.id, worker_id="w", request_id="r")

    await engine.worker.CompleteJob(request)
    await engine.worker.CompleteJob(request)

    assert len(await engine.jobs("jobs")) == 1


async def test_a_batch_has_an_outcome_for_each_item(engine: Engine) -> None:
    for _ in range(3):
        await engine.start("external")
    jobs = await acquire(engine, number_of_tasks=3)
    items = [pb.JobCompletion(job_id=job.id) for job in jobs]
    items.insert(1, pb.JobCompletion(job_id="none"))

    found = await engine.worker.CompleteJobs(pb.CompleteJobsRequest(worker_id="w", jobs=items))

    assert [outcome.job_id for outcome in found.outcomes] == [item.job_id for item in items]
    assert [outcome.code for outcome in found.outcomes] == [0, grpc.StatusCode.NOT_FOUND.value[0], 0, 0]
    assert found.outcomes[1].reason == "job-not-found"
    assert await engine.control.run_jobs() == 3


async def test_failures_and_errors_come_in_batches_too(engine: Engine) -> None:
    await engine.start("caught")
    await engine.start("caught")
    one, two = await acquire(engine, number_of_tasks=2)

    failed = await engine.worker.FailJobs(
        pb.FailJobsRequest(worker_id="w", jobs=[pb.JobFailure(job_id=one.id, retries=0)])
    )
    thrown = await engine.worker.ThrowBpmnErrors(
        pb.ThrowBpmnErrorsRequest(worker_id="w", jobs=[pb.JobBpmnError(job_id=two.id, error_code="E")])
    )
    await engine.control.run_jobs()

    assert [o.code for o in (*failed.outcomes, *thrown.outcomes)] == [0, 0]
    assert await engine.tasks(two.process_instance_id) == ["Went wrong"]
    assert len(await engine.jobs("deadletter-jobs", one.process_instance_id)) == 1


async def test_locks_are_extended_and_given_up(engine: Engine) -> None:
    await engine.start("external")
    (job,) = await acquire(engine)
    engine.advance(minutes=4)

    extended = await engine.worker.ExtendJobLock(
        pb.ExtendJobLockRequest(job_id=job.id, worker_id="w", lock_duration="PT10M", lock_token=job.lock_token)
    )
    batch = await engine.worker.ExtendJobLocks(
        pb.ExtendJobLocksRequest(
            worker_id="w", lock_duration="PT10M", jobs=[pb.JobLock(job_id=job.id), pb.JobLock(job_id="none")]
        )
    )

    assert (extended.lock_expiration_time.ToDatetime() - engine.clock.now().replace(tzinfo=None)).seconds == 600
    assert batch.outcomes[0].lock_expiration_time == extended.lock_expiration_time
    assert batch.outcomes[1].code == grpc.StatusCode.NOT_FOUND.value[0]
    foreign = pb.UnacquireJobRequest(job_id=job.id, worker_id="other")
    assert (await refused(engine.worker.UnacquireJob(foreign)))[0] == "PERMISSION_DENIED"
    await engine.worker.UnacquireJob(pb.UnacquireJobRequest(job_id=job.id, worker_id="w"))
    assert len(await acquire(engine, "next")) == 1
    await engine.worker.UnacquireAllJobs(pb.UnacquireAllJobsRequest(worker_id="next"))
    assert len(await acquire(engine, "third")) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic": ""},
        {"worker_id": ""},
        {"lock_duration": "5 minutes"},
        {"lock_duration": "PT0S"},
        {"lock_duration": "P1Y"},
        {"number_of_tasks": 0},
        {"number_of_tasks": 100_000},
        {"scope_type": "cmmn"},
    ],
)
async def test_a_wish_that_nobody_can_meet_is_refused(engine: Engine, wrong: dict[str, Any]) -> None:
    assert (await refused(acquire(engine, **wrong)))[0] == "INVALID_ARGUMENT"


async def test_jobs_of_workers_are_listed_and_read(engine: Engine) -> None:
    await engine.start("external")
    (job,) = await acquire(engine)

    listed = await engine.worker.ListExternalWorkerJobs(pb.ListExternalWorkerJobsRequest(topic="mail", locked=True))
    found = await engine.worker.GetExternalWorkerJob(pb.GetExternalWorkerJobRequest(job_id=job.id))

    assert [row.id for row in listed.data] == [job.id]
    assert (found.lock_owner, found.topic) == ("w", "mail")
    nothing = engine.worker.GetExternalWorkerJob(pb.GetExternalWorkerJobRequest(job_id="none"))
    assert (await refused(nothing))[0] == "NOT_FOUND"


# --- streams ----------------------------------------------------------------------------------------------------------


def listen(engine: Engine, worker: str = "w", **more: Any) -> Any:
    asked = {"topic": "mail", "worker_id": worker, "lock_duration": "PT5M", **more}
    return engine.worker.StreamJobs(pb.StreamJobsRequest(**asked))


async def next_jobs(stream: Any, seconds: float = 2.0) -> list[job_pb2.ExternalWorkerJob]:
    async with asyncio.timeout(seconds):
        return list((await stream.read()).jobs)


async def nothing_comes(stream: Any, seconds: float = 0.15) -> asyncio.Task[Any]:
    """The stream is silent; returns the read that is still waiting."""
    waiting = asyncio.ensure_future(stream.read())
    done, _ = await asyncio.wait([waiting], timeout=seconds)
    assert not done
    return waiting


async def test_a_stream_gets_what_waits_and_then_what_comes(engine: Engine) -> None:
    first = await engine.start("external")
    stream = listen(engine)

    assert [job.process_instance_id for job in await next_jobs(stream)] == [first]
    waiting = await nothing_comes(stream)
    second = await engine.start("external")

    async with asyncio.timeout(1.0):
        assert [job.process_instance_id for job in (await waiting).jobs] == [second]
    stream.cancel()


async def test_a_stream_holds_no_more_than_it_may_until_it_reports(engine: Engine) -> None:
    for _ in range(3):
        await engine.start("external")
    stream = listen(engine, max_in_flight=2)

    first = await next_jobs(stream)
    assert len(first) == 2
    waiting = await nothing_comes(stream)
    await engine.worker.CompleteJob(pb.CompleteJobRequest(job_id=first[0].id, worker_id="w"))

    async with asyncio.timeout(1.0):
        assert len((await waiting).jobs) == 1
    stream.cancel()


async def test_two_streams_of_a_topic_never_get_the_same_job(engine: Engine) -> None:
    streams = [listen(engine, "one", max_in_flight=10), listen(engine, "two", max_in_flight=10)]
    found: list[str] = []

    async def collect(stream: Any) -> None:
        async for response in stream:
            found.extend(job.id for job in response.jobs)

    readers = [asyncio.create_task(collect(stream)) for stream in streams]
    for _ in range(12):
        await engine.start("external")

    async def all_came() -> bool:
        return len(found) >= 12

    await eventually(all_came, 3.0)
    assert len(found) == len(set(found)) == 12
    for stream, reader in zip(streams, readers, strict=True):
        stream.cancel()
        await asyncio.wait([reader])


async def test_what_a_broken_stream_held_comes_free_with_its_lease(engine: Engine) -> None:
    await engine.start("external")
    stream = listen(engine)
    (job,) = await next_jobs(stream)
    stream.cancel()

    assert await acquire(engine, "next") == []
    engine.advance(minutes=6)
    assert [found.id for found in await acquire(engine, "next")] == [job.id]


async def test_a_released_job_goes_to_whoever_listens(engine: Engine) -> None:
    await engine.start("external")
    (job,) = await acquire(engine)
    stream = listen(engine, "listener")
    waiting = await nothing_comes(stream)

    await engine.worker.UnacquireJob(pb.UnacquireJobRequest(job_id=job.id, worker_id="w"))

    async with asyncio.timeout(1.0):
        assert [found.id for found in (await waiting).jobs] == [job.id]
    stream.cancel()


async def test_a_quiet_stream_says_that_it_lives(tmp_path: Path) -> None:
    async with running(sqlite_url(tmp_path), alive_seconds=0.1) as engine:
        stream = listen(engine)

        assert await next_jobs(stream) == []
        stream.cancel()


async def test_a_stream_ends_when_the_server_goes_away(engine: Engine) -> None:
    stream = listen(engine)
    waiting = await nothing_comes(stream)

    engine.draining.set()

    assert await refused(waiting) == ("UNAVAILABLE", "draining")


async def test_a_stream_of_nobody_is_refused(engine: Engine) -> None:
    assert (await refused(listen(engine, worker="").read()))[0] == "INVALID_ARGUMENT"


async def test_a_worker_on_a_stream_serves_instances_that_run_by_themselves(tmp_path: Path) -> None:
    async with running(sqlite_url(tmp_path), settings=JobSettings(), clock=SystemClock()) as engine:
        await engine.deploy(EXTERNAL)
        stream = listen(engine)

        async def serve() -> None:
            async for response in stream:
                items = [pb.JobCompletion(job_id=job.id, lock_token=job.lock_token) for job in response.jobs]
                if items:
                    await engine.worker.CompleteJobs(pb.CompleteJobsRequest(worker_id="w", jobs=items))

        serving = asyncio.create_task(serve())
        instances = [await engine.start("external") for _ in range(20)]

        async def all_done() -> bool:
            return all([await engine.tasks(instance) == ["After"] for instance in instances])

        await eventually(all_done, 5.0)
        stream.cancel()
        await asyncio.wait([serving])


async def test_a_worker_in_a_loop_is_told_its_number_and_how_many_there_are(engine: Engine) -> None:
    looped = document(
        "looped",
        '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="work"/>'
        '<serviceTask id="work" flowable:type="external-worker" flowable:topic="mail">'
        "<multiInstanceLoopCharacteristics><loopCardinality>2</loopCardinality></multiInstanceLoopCharacteristics>"
        "</serviceTask>",
    )
    await engine.deploy(looped)
    await engine.start("looped", name="kermit")

    told: list[dict[str, Any]] = []
    for _ in range(2):
        (job,) = await acquire(engine)
        told.append({v.name: json_format.MessageToDict(v.value) for v in job.variables})
        await engine.worker.CompleteJob(pb.CompleteJobRequest(job_id=job.id, worker_id="w"))

    told.sort(key=lambda found: found["loopCounter"])
    assert told == [{"name": "kermit", "nrOfInstances": 2, "loopCounter": number} for number in (0, 1)]
