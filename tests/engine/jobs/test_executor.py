"""The job executor: what runs by itself, when, and what only a test's hand runs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.app.definition_changes import ChangeState
from engine.jobs.settings import JobSettings
from engine.kernel import commands as cmd
from mesh.clock import SystemClock
from tests.engine.jobs.world import ASYNC, FAILING, TIMER, Engine, document, eventually, running, sqlite_url

AUTOMATIC = JobSettings(job_look_seconds=30.0)


@pytest.fixture
async def manual(tmp_path: Path) -> AsyncIterator[Engine]:
    async with running(sqlite_url(tmp_path)) as engine:
        yield engine


@pytest.fixture
async def automatic(tmp_path: Path) -> AsyncIterator[Engine]:
    async with running(sqlite_url(tmp_path), settings=AUTOMATIC, clock=SystemClock()) as engine:
        yield engine


async def test_an_asynchronous_continuation_runs_as_soon_as_it_is_committed(automatic: Engine) -> None:
    await automatic.deploy(ASYNC)

    instance = await automatic.start("async")

    await eventually(lambda: has_task(automatic, instance), 2.0)


async def test_a_timer_fires_when_it_is_due_and_not_before(automatic: Engine) -> None:
    await automatic.deploy(TIMER)
    loop = asyncio.get_running_loop()
    begun = loop.time()

    instance = await automatic.start("timer", wait="PT0.3S")

    assert await automatic.tasks(instance) == []
    await eventually(lambda: has_task(automatic, instance), 2.0)
    assert 0.3 <= loop.time() - begun < 1.0


async def test_a_sooner_timer_wakes_the_executor_that_sleeps_for_a_later_one(automatic: Engine) -> None:
    await automatic.deploy(TIMER)
    await automatic.start("timer", wait="PT1H")
    await asyncio.sleep(0.05)

    sooner = await automatic.start("timer", wait="PT0.1S")

    await eventually(lambda: has_task(automatic, sooner), 2.0)


async def test_what_another_process_schedules_is_found_by_looking(tmp_path: Path) -> None:
    settings = JobSettings(job_look_seconds=0.05)
    async with (
        running(sqlite_url(tmp_path)) as scheduler,
        running(sqlite_url(tmp_path), settings=settings, clock=SystemClock()) as runner,
    ):
        await scheduler.deploy(ASYNC)

        instance = await scheduler.start("async")

        await eventually(lambda: has_task(runner, instance), 2.0)


async def test_manual_jobs_do_not_run_by_themselves(manual: Engine) -> None:
    await manual.deploy(ASYNC, TIMER)
    waiting = await manual.start("async")
    timed = await manual.start("timer", wait="PT1H")
    manual.advance(hours=2)
    await asyncio.sleep(0.05)

    assert await manual.tasks(waiting) == await manual.tasks(timed) == []
    assert await manual.control.run_jobs() == 2
    assert await manual.tasks(waiting) == await manual.tasks(timed) == ["After"]


async def test_a_manual_run_executes_no_more_than_told(manual: Engine) -> None:
    await manual.deploy(ASYNC)
    for _ in range(5):
        await manual.start("async")

    assert await manual.control.run_jobs(2) == 2
    assert await manual.control.run_jobs() == 3
    assert await manual.control.run_jobs() == 0


async def test_moving_the_clock_fires_what_becomes_due_unless_told_not_to(manual: Engine) -> None:
    await manual.deploy(TIMER)
    instance = await manual.start("timer", wait="PT2H")

    assert await manual.control.move_clock(lambda now: now + timedelta(hours=1), fire=True) == 0
    assert await manual.control.move_clock(lambda now: now + timedelta(hours=1), fire=False) == 0
    assert await manual.tasks(instance) == []
    assert await manual.control.move_clock(lambda now: now, fire=True) == 1
    assert await manual.tasks(instance) == ["After"]


async def test_a_failing_job_is_tried_three_times_with_growing_pauses_and_is_dead_then(manual: Engine) -> None:
    await manual.deploy(FAILING)
    instance = await manual.start("failing")

    assert await manual.control.run_jobs() == 1
    (job,) = await manual.jobs("timer-jobs", instance)
    assert (job.retries, job.due_date - manual.clock.now()) == (2, timedelta(seconds=2))
    assert "missing" in job.exception_message
    manual.advance(seconds=1)
    assert await manual.control.run_jobs() == 0
    manual.advance(seconds=1)
    assert await manual.control.run_jobs() == 1
    (job,) = await manual.jobs("timer-jobs", instance)
    assert (job.retries, job.due_date - manual.clock.now()) == (1, timedelta(seconds=4))
    manual.advance(hours=1)
    assert await manual.control.run_jobs() == 1
    assert await manual.jobs("timer-jobs", instance) == []
    (dead,) = await manual.jobs("deadletter-jobs", instance)
    assert dead.retries == 0
    manual.advance(days=1)
    assert await manual.control.run_jobs() == 0


async def test_jobs_of_a_suspended_instance_wait_until_it_goes_on(manual: Engine) -> None:
    await manual.deploy(ASYNC)
    instance = await manual.start("async")
    await manual.group.submit(cmd.SuspendInstance(instance_id=instance))

    assert await manual.control.run_jobs() == 0
    await manual.group.submit(cmd.ActivateInstance(instance_id=instance))
    assert await manual.control.run_jobs() == 1


async def test_timer_start_events_start_instances(manual: Engine) -> None:
    await manual.deploy(
        document(
            "clockwork",
            '<startEvent id="s"><timerEventDefinition><timeCycle>R2/PT1H</timeCycle></timerEventDefinition>'
            "</startEvent>"
            '<sequenceFlow id="f" sourceRef="s" targetRef="t"/><userTask id="t" name="Tick"/>',
        )
    )

    assert await manual.control.move_clock(lambda now: now + timedelta(hours=1), fire=True) == 1
    assert await manual.control.move_clock(lambda now: now + timedelta(hours=1), fire=True) == 1
    assert await manual.control.move_clock(lambda now: now + timedelta(hours=5), fire=True) == 0


async def test_a_scheduled_suspension_of_a_definition_is_carried_out_when_due(manual: Engine) -> None:
    await manual.deploy(ASYNC)
    definition_id = manual.definitions.start_by_key("async").definition_id
    at = manual.clock.now() + timedelta(hours=1)
    await manual.changes.change_state(ChangeState(definition_id=definition_id, suspend=True, at=at))

    assert await manual.control.run_jobs() == 0
    assert await manual.control.move_clock(lambda now: at, fire=True) == 1
    assert (await manual.queries.get_process_definition(definition_id)).suspended


async def test_two_processes_share_the_work_and_do_nothing_twice(tmp_path: Path) -> None:
    settings = JobSettings(job_look_seconds=0.05, job_batch=4)
    async with running(sqlite_url(tmp_path)) as scheduler:
        await scheduler.deploy(ASYNC)
        instances = [await scheduler.start("async") for _ in range(60)]
        async with (
            running(sqlite_url(tmp_path), settings=settings, clock=SystemClock(), owner="one") as one,
            running(sqlite_url(tmp_path), settings=settings, clock=SystemClock(), owner="two"),
        ):

            async def all_done() -> bool:
                return not await one.jobs("jobs")

            await eventually(all_done)
        for instance in instances:
            assert await scheduler.tasks(instance) == ["After"]


async def has_task(engine: Engine, instance_id: str) -> bool:
    return await engine.tasks(instance_id) == ["After"]
