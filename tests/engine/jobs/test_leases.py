"""Leases on outside jobs: one holder at a time, on SQLite and on MariaDB."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.app.external_work import Acquire
from engine.app.jobs import LeaseChange, LeasedJob
from engine.kernel import commands as cmd
from engine.kernel.values import Variable
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.engine.jobs.world import EXTERNAL, Engine, bpmn, running, sqlite_url

MINUTE = timedelta(minutes=1)
PARALLEL = bpmn(
    "parallel",
    '<serviceTask id="e1" flowable:type="external-worker" flowable:topic="mail" flowable:exclusive="false">'
    '<multiInstanceLoopCharacteristics flowable:collection="${items}" flowable:elementVariable="item"/></serviceTask>',
)
ONE_BY_ONE = PARALLEL.replace('id="parallel"', 'id="onebyone"').replace(' flowable:exclusive="false"', "")
WITH_INPUTS = bpmn(
    "inputs",
    '<serviceTask id="e1" flowable:type="external-worker" flowable:topic="mail"><extensionElements>'
    '<flowable:externalWorkerInParameter source="a" target="b"/></extensionElements></serviceTask>',
)


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDb | None]:
    if not mariadb_is_installed():
        yield None
        return
    with running_mariadb() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    url = sqlite_url(tmp_path)
    if request.param == "mariadb":
        found: MariaDb | None = request.getfixturevalue("server")
        if found is None:
            pytest.skip("no MariaDB is installed")
        url = found.create_database()
    async with running(url, writers=2 if request.param == "mariadb" else 1) as made:
        yield made


async def take(engine: Engine, worker: str = "w", count: int = 1, **more: object) -> list[LeasedJob]:
    ask = Acquire(topic="mail", worker_id=worker, lease=MINUTE, count=count, **more)  # type: ignore[arg-type]
    return await engine.work.acquire(ask)


async def test_the_oldest_job_goes_first_and_to_one_worker_only(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    first = await engine.start("external")
    engine.advance(seconds=1)
    second = await engine.start("external")

    (one,) = await take(engine, "one")
    (two,) = await take(engine, "two")

    assert (one.instance_id, two.instance_id) == (first, second)
    assert await take(engine, "three") == []
    assert (one.owner, one.topic, one.element_id, one.definition_key) == ("one", "mail", "e1", "external")
    assert one.until == engine.clock.now() + MINUTE


async def test_only_the_topic_that_is_asked_for_is_given(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    await engine.start("external")

    assert await engine.work.acquire(Acquire(topic="other", worker_id="w", lease=MINUTE)) == []


async def test_the_variables_that_the_execution_sees_come_with_the_job(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    await engine.start("external", name="kermit", data={"x": [1]}, big=2**40)

    (job,) = await take(engine)

    assert job.variables == {
        "name": Variable("string", "kermit"),
        "data": Variable("json", {"x": [1]}),
        "big": Variable("long", 2**40),
    }


async def test_inner_variables_hide_outer_ones(engine: Engine) -> None:
    await engine.deploy(PARALLEL)
    await engine.start("parallel", items=["a", "b"], item="outer")

    jobs = await take(engine, count=10)

    assert sorted(str(job.variables["item"].value) for job in jobs) == ["a", "b"]


async def test_a_model_that_names_its_inputs_gives_only_those(engine: Engine) -> None:
    await engine.deploy(WITH_INPUTS)
    await engine.start("inputs", a=1, secret=2)

    (job,) = await take(engine)

    assert job.variables == {"b": Variable("integer", 1)}


async def test_exclusive_jobs_of_an_instance_are_given_one_at_a_time(engine: Engine) -> None:
    await engine.deploy(ONE_BY_ONE)
    instance = await engine.start("onebyone", items=["a", "b", "c"])
    other = await engine.start("onebyone", items=["d"])

    jobs = await take(engine, count=10)

    assert {job.instance_id for job in jobs} == {instance, other}
    assert len(jobs) == 2
    assert await take(engine, "other", count=10) == []
    await engine.work.report(
        cmd.CompleteJob(job_id=next(j.id for j in jobs if j.instance_id == instance), worker_id="w")
    )
    assert [job.instance_id for job in await take(engine, "other", count=10)] == [instance]


async def test_many_blocked_jobs_do_not_hide_one_behind_them(engine: Engine) -> None:
    await engine.deploy(ONE_BY_ONE)
    await engine.start("onebyone", items=list(range(60)))
    await take(engine)
    engine.advance(seconds=1)
    behind = await engine.start("onebyone", items=["x"])

    assert [job.instance_id for job in await take(engine, "other")] == [behind]


async def test_jobs_that_are_not_exclusive_are_given_together(engine: Engine) -> None:
    await engine.deploy(PARALLEL)
    await engine.start("parallel", items=["a", "b", "c"])

    assert len(await take(engine, count=10)) == 3


async def test_many_workers_at_once_never_get_the_same_job(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    instances = [await engine.start("external") for _ in range(40)]

    taken = await asyncio.gather(*(take(engine, f"w{n}", 5) for n in range(12)))

    found = [job.id for jobs in taken for job in jobs]
    assert len(found) == len(set(found)) == len(instances)


async def test_exclusiveness_holds_against_workers_that_ask_at_once(engine: Engine) -> None:
    await engine.deploy(ONE_BY_ONE)
    await engine.start("onebyone", items=list(range(10)))

    taken = await asyncio.gather(*(take(engine, f"w{n}", 3) for n in range(8)))

    assert sum(len(jobs) for jobs in taken) == 1


async def test_a_lease_that_ran_out_gives_the_job_to_the_next_and_fences_the_former_off(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    await engine.start("external")
    (slow,) = await take(engine, "w")
    engine.advance(seconds=61)

    (again,) = await take(engine, "w")

    assert again.id == slow.id
    assert again.token != slow.token
    with pytest.raises(Exception, match="locked") as refused:
        await engine.work.report(cmd.CompleteJob(job_id=slow.id, worker_id="w", lock_token=slow.token))
    assert getattr(refused.value, "status", "") == "PERMISSION_DENIED"
    await engine.work.report(cmd.CompleteJob(job_id=again.id, worker_id="w", lock_token=again.token))


async def test_a_lease_can_be_extended_by_its_holder_only(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    await engine.start("external")
    (job,) = await take(engine, "w")
    engine.advance(seconds=50)
    mine = LeaseChange(job_id=job.id, owner="w", token=job.token)

    until = await engine.work.extend_one(mine, MINUTE)
    outcomes = await engine.leases.extend(
        [
            LeaseChange(job_id=job.id, owner="other"),
            LeaseChange(job_id=job.id, owner="w", token="old"),
            LeaseChange(job_id="none", owner="w"),
            LeaseChange(job_id=job.id, owner="w"),
        ],
        until,
    )

    assert outcomes == ["not-held", "not-held", "not-found", ""]
    engine.advance(seconds=50)
    assert await take(engine, "other") == []
    engine.advance(seconds=11)
    assert [found.id for found in await take(engine, "other")] == [job.id]


async def test_a_released_job_is_free_at_once_with_all_its_retries(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    await engine.start("external")
    (job,) = await take(engine, "w")

    await engine.work.release(LeaseChange(job_id=job.id, owner="w"))

    (again,) = await take(engine, "other")
    assert (again.id, again.retries) == (job.id, 3)


async def test_all_jobs_of_a_worker_are_released_together(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    for _ in range(3):
        await engine.start("external")
    await take(engine, "w", 2)
    await take(engine, "other", 1)

    await engine.work.release_all("w", None)

    assert len(await take(engine, "third", 10)) == 2


async def test_a_repeated_request_gets_what_it_was_given_and_is_still_held(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    for _ in range(3):
        await engine.start("external", name="kermit")

    first = await take(engine, "w", 2, request_id="r1")
    again = await take(engine, "w", 2, request_id="r1")
    other = await take(engine, "w", 2, request_id="r2")

    assert [(job.id, job.token, job.until) for job in again] == [(job.id, job.token, job.until) for job in first]
    assert again[0].variables == first[0].variables
    assert len(first) == 2
    assert len(other) == 1


async def test_the_next_moment_with_work_is_known(engine: Engine) -> None:
    await engine.deploy(EXTERNAL)
    await engine.start("external")
    (job,) = await take(engine)

    assert await engine.leases.next_available("external", "mail") == job.until
    assert await engine.leases.next_available("external", "none") is None
