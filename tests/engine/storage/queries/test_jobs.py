"""Jobs by where they lie."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from engine.app.queries import ExternalWorkerJobFilter, JobFilter, Page
from engine.kernel import commands as cmd
from engine.storage import tables
from mesh.errors import InvalidArgument, NotFound
from tests.engine.storage.queries.world import ASYNC, REVIEW, WORKER, ReadWorld
from tests.engine.storage.support import START

PAGE = Page()
KINDS = ("jobs", "timer-jobs", "suspended-jobs", "deadletter-jobs", "external-worker-jobs")


async def _ids(world: ReadWorld, kind: str = "jobs", **wanted: Any) -> list[str]:
    listed = await world.queries.list_jobs(JobFilter(kind=kind, **wanted), PAGE)
    assert all(job.kind == kind for job in listed.rows)
    return [job.id for job in listed.rows]


async def _counts(world: ReadWorld) -> list[int]:
    return [len(await _ids(world, kind)) for kind in KINDS]


def _change(world: ReadWorld, job_id: str, **values: Any) -> None:
    with world.database.engine.begin() as connection:
        connection.execute(update(tables.job).where(tables.job.c.id == job_id).values(**values))


def _job(world: ReadWorld, instance_id: str) -> str:
    (row,) = world.bench.rows(tables.job, instance_id=instance_id)
    return str(row["id"])


async def test_each_job_lies_in_exactly_one_place(world: ReadWorld) -> None:
    for model in (ASYNC, REVIEW, WORKER):
        world.bench.define(model)
    await world.bench.start("later")
    timed = await world.bench.start("review", due=None)
    worked = await world.bench.start("worker")
    assert await _counts(world) == [1, 1, 0, 0, 1]

    world.bench.clock.advance(timedelta(hours=2))
    assert await _counts(world) == [2, 0, 0, 0, 1]

    await world.bench.group.submit(cmd.SuspendInstance(instance_id=timed))
    assert await _counts(world) == [1, 0, 1, 0, 1]

    _change(world, _job(world, worked), dead=True, lane="dead")
    assert await _counts(world) == [1, 0, 1, 1, 0]


async def test_leased_timer_is_a_job_until_the_lease_ends(world: ReadWorld) -> None:
    world.bench.define(REVIEW)
    job_id = _job(world, await world.bench.start("review", due=None))
    until = START + timedelta(seconds=10)
    _change(world, job_id, lock_owner="me", lease_until=until)

    assert await _ids(world) == await _ids(world, locked=True) == [job_id]
    assert await _ids(world, unlocked=True) == []
    assert (await world.queries.get_job("jobs", job_id)).lock_expiration_time == until

    world.bench.clock.advance(timedelta(seconds=10))
    assert await _ids(world) == []
    assert await _ids(world, "timer-jobs", unlocked=True) == [job_id]


async def test_job_is_found_only_among_its_kind(world: ReadWorld) -> None:
    world.bench.define(REVIEW)
    instance_id = await world.bench.start("review", due=None)
    job_id = _job(world, instance_id)

    job = await world.queries.get_job("timer-jobs", job_id)

    assert (job.element_id, job.handler_type, job.retries) == ("late", "trigger-timer", 3)
    assert (job.process_instance_id, job.due_date) == (instance_id, START + timedelta(hours=1))
    assert (job.create_time, job.lock_owner, job.correlation_id) == (START, "", job_id)
    assert await world.queries.get_job("", job_id) == job
    for kind, wanted in (("jobs", job_id), ("timer-jobs", "x"), ("", "x")):
        with pytest.raises(NotFound, match=wanted):
            await world.queries.get_job(kind, wanted)
    for ask in (world.queries.get_job("work", job_id), world.queries.list_jobs(JobFilter(kind="work"), PAGE)):
        with pytest.raises(InvalidArgument, match="deadletter-jobs"):
            await ask


async def test_job_filters(world: ReadWorld) -> None:
    for model in (ASYNC, REVIEW):
        world.bench.define(model)
    later, timed = await world.bench.start("later"), await world.bench.start("review", due=None)
    world.bench.clock.advance(timedelta(hours=2))
    a, t = _job(world, later), _job(world, timed)
    _change(world, t, error="boom", error_details="Traceback: boom", retries=0)

    for wanted in (
        {"process_instance_id": later},
        {"process_definition_id": "later"},
        {"element_id": "task"},
        {"handler_type": "async-continuation"},
        {"handler_types": ("async-continuation", "x")},
        {"messages_only": True},
        {"due_before": START + timedelta(minutes=1)},
        {"executable": True},
    ):
        assert await _ids(world, **wanted) == [a], wanted
    for wanted in (
        {"timers_only": True},
        {"due_after": START},
        {"with_exception": True},
        {"exception_message": "boom"},
        {"execution_id": world.execution_at(timed, "approve")},
    ):
        assert await _ids(world, **wanted) == [t], wanted
    assert await _ids(world, without_process_instance_id=True) == await _ids(world, tenant_id="acme") == []
    with pytest.raises(InvalidArgument, match="found both"):
        await _ids(world, timers_only=True, messages_only=True)
    assert await world.queries.get_job_exception_stacktrace("jobs", t) == "Traceback: boom"
    with pytest.raises(NotFound, match="failed attempt"):
        await world.queries.get_job_exception_stacktrace("jobs", a)


async def test_external_worker_jobs_name_their_topic_and_definition(world: ReadWorld) -> None:
    world.bench.define(WORKER)
    instance_id = await world.bench.start("worker")
    job_id = _job(world, instance_id)

    listed = await world.queries.list_external_worker_jobs(ExternalWorkerJobFilter(topic="shipping"), PAGE)
    (job,) = listed.rows

    assert (job.id, job.topic, job.element_id, job.element_name) == (job_id, "shipping", "ship", "Ship")
    assert (job.process_definition_key, job.element_instance_id) == ("worker", world.execution_at(instance_id, "ship"))
    assert await world.queries.get_external_worker_job(job_id) == job
    _change(world, job_id, lock_owner="w1", lock_token="t", lease_until=START + timedelta(seconds=9))
    locked = await world.queries.list_external_worker_jobs(ExternalWorkerJobFilter(lock_owner="w1", locked=True), PAGE)
    assert [(row.lock_owner, row.lock_token) for row in locked.rows] == [("w1", "t")]
    none = await world.queries.list_external_worker_jobs(ExternalWorkerJobFilter(topic="x"), PAGE)
    assert (none.size, none.total) == (0, 0)
    with pytest.raises(NotFound):
        await world.queries.get_external_worker_job("x")
