"""Outside work that the engine does itself: leased, extended while it lasts, reported, handed over."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.app.jobs import Acquisition
from engine.jobs.settings import JobSettings
from engine.kernel import commands as cmd
from engine.kernel.values import variables_of
from mesh.clock import SystemClock
from tests.engine.jobs.world import HTTP, Engine, eventually, running, sqlite_url

QUICK = JobSettings(outside_lease_seconds=1.0, job_look_seconds=0.1, outside_grace_seconds=0.05)


async def answered(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
    return cmd.CompleteJob(job_id=job_id, variables=variables_of({"status_code": 200, "body": "hello"}))


async def done(engine: Engine, instance_id: str) -> bool:
    return await engine.tasks(instance_id) == ["After"]


async def test_a_request_is_done_after_its_commit_and_its_answer_comes_back(tmp_path: Path) -> None:
    asked: list[Mapping[str, Any]] = []

    async def perform(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        asked.append(payload)
        return await answered(job_id, payload)

    async with running(sqlite_url(tmp_path), settings=QUICK, clock=SystemClock(), perform=perform) as engine:
        await engine.deploy(HTTP)
        instance = await engine.start("http")
        await eventually(lambda: done(engine, instance), 3.0)
        found = await engine.queries.get_process_instance_variable(instance, "e1ResponseBody")

    assert found.variable.value == "hello"
    assert asked[0]["request"]["url"] == "http://shop.example/"


async def test_with_manual_jobs_a_request_waits_for_the_run(tmp_path: Path) -> None:
    async with running(sqlite_url(tmp_path), perform=answered) as engine:
        await engine.deploy(HTTP)
        instance = await engine.start("http")

        assert await engine.tasks(instance) == []
        assert await engine.control.run_jobs() == 1
        assert await engine.tasks(instance) == ["After"]


async def test_a_failed_attempt_costs_a_retry_and_is_tried_later(tmp_path: Path) -> None:
    async def perform(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        return cmd.FailJob(job_id=job_id, error="nobody there")

    async with running(sqlite_url(tmp_path), perform=perform) as engine:
        await engine.deploy(HTTP)
        instance = await engine.start("http")

        assert await engine.control.run_jobs() == 1
        assert await engine.control.run_jobs() == 0
        engine.advance(hours=1)
        assert await engine.control.run_jobs() == 1
        engine.advance(hours=1)
        assert await engine.control.run_jobs() == 1
        (dead,) = await engine.jobs("deadletter-jobs", instance)

    assert dead.exception_message == "nobody there"


async def test_a_bug_in_the_work_fails_the_attempt_with_its_trace(tmp_path: Path) -> None:
    async def perform(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        raise ZeroDivisionError("oops")

    async with running(sqlite_url(tmp_path), perform=perform) as engine:
        await engine.deploy(HTTP)
        instance = await engine.start("http")
        await engine.control.run_jobs()
        engine.advance(seconds=10)
        (job,) = await engine.jobs("jobs", instance)
        trace = await engine.queries.get_job_exception_stacktrace("jobs", job.id)

    assert job.exception_message == "ZeroDivisionError: oops"
    assert "perform" in trace


async def test_an_error_that_nobody_catches_fails_the_attempt(tmp_path: Path) -> None:
    async def perform(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        return cmd.ThrowJobError(job_id=job_id, error_code="HTTP404")

    async with running(sqlite_url(tmp_path), perform=perform) as engine:
        await engine.deploy(HTTP)
        instance = await engine.start("http")
        await engine.control.run_jobs()
        engine.advance(seconds=10)
        (job,) = await engine.jobs("jobs", instance)

    assert job.retries == 2
    assert "HTTP404" in job.exception_message


async def test_a_slow_job_keeps_its_lease_and_is_not_done_twice(tmp_path: Path) -> None:
    begun: list[str] = []
    go_on = asyncio.Event()

    async def perform(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        begun.append(job_id)
        await go_on.wait()
        return await answered(job_id, payload)

    url = sqlite_url(tmp_path)
    async with (
        running(url, settings=QUICK, clock=SystemClock(), perform=perform, owner="one") as one,
        running(url, settings=QUICK, clock=SystemClock(), perform=perform, owner="two"),
    ):
        await one.deploy(HTTP)
        instance = await one.start("http")
        first_until = await one.leases.next_available("http")

        async def extended() -> bool:
            until = await one.leases.next_available("http")
            return until is not None and first_until is not None and (until - first_until).total_seconds() > 1.2

        await eventually(extended, 5.0)
        go_on.set()
        await eventually(lambda: done(one, instance), 3.0)

    assert len(begun) == 1


async def test_the_work_of_a_process_that_died_is_taken_over_when_its_lease_ends(tmp_path: Path) -> None:
    async with running(sqlite_url(tmp_path), settings=QUICK, clock=SystemClock(), perform=answered) as engine:
        await engine.executor.stop()
        await engine.deploy(HTTP)
        instance = await engine.start("http")
        now = engine.clock.now()
        dead = Acquisition(lane="http", owner="dead", until=now + 0.4 * (engine.outside._until() - now), now=now)
        assert len((await engine.leases.acquire(dead)).jobs) == 1
        engine.outside.start()

        await eventually(lambda: done(engine, instance), 3.0)


async def test_what_is_not_done_when_the_process_ends_is_given_back(tmp_path: Path) -> None:
    async def never(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        await asyncio.Event().wait()
        raise AssertionError("expected to be cancelled")

    url = sqlite_url(tmp_path)
    async with running(url, clock=SystemClock()) as looking:
        async with running(url, settings=QUICK, clock=SystemClock(), perform=never) as ending:
            await ending.deploy(HTTP)
            await ending.start("http")

            async def held() -> bool:
                return bool((await looking.jobs("jobs"))[0].lock_owner)

            await eventually(held)
        (job,) = await looking.jobs("jobs")

    assert (job.lock_owner, job.retries) == ("", 3)


async def test_a_result_for_a_suspended_instance_is_not_counted_as_a_failure(tmp_path: Path) -> None:
    holder: list[Engine] = []

    async def perform(job_id: str, payload: Mapping[str, Any]) -> cmd.Command:
        if holder:
            await holder.pop().group.submit(cmd.SuspendInstance(instance_id=instances[0]))
        return await answered(job_id, payload)

    instances: list[str] = []
    async with running(sqlite_url(tmp_path), perform=perform) as engine:
        holder.append(engine)
        await engine.deploy(HTTP)
        instances.append(await engine.start("http"))
        await engine.control.run_jobs()
        (job,) = await engine.jobs("suspended-jobs", instances[0])
        await engine.group.submit(cmd.ActivateInstance(instance_id=instances[0]))
        await engine.control.run_jobs()
        tasks = await engine.tasks(instances[0])

    assert (job.retries, tasks) == (3, ["After"])
