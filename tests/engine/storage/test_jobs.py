"""Timers and asynchronous continuations through the group commit."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from engine.app.unit_of_work import Wanted
from engine.kernel import commands as cmd
from engine.kernel import decide as kernel
from engine.kernel.env import Env
from engine.kernel.state import Tree
from engine.storage import tables
from engine.storage.unit_of_work import SqlUnitOfWork
from mesh.db.database import Database
from tests.engine.storage.support import ONE_TASK, START, Bench, process, running

ASYNC = process(
    "later",
    '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="work"/>'
    '<manualTask id="work" flowable:async="true"/>'
    '<sequenceFlow id="f2" sourceRef="work" targetRef="e"/><endEvent id="e"/>',
)
BROKEN = ASYNC.replace('<manualTask id="work"', '<serviceTask id="work" flowable:expression="${missing.call()}"')
TIMER = process(
    "waiting",
    '<startEvent id="s"/><sequenceFlow id="f1" sourceRef="s" targetRef="t"/>'
    '<intermediateCatchEvent id="t"><timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition>'
    '</intermediateCatchEvent><sequenceFlow id="f2" sourceRef="t" targetRef="e"/><endEvent id="e"/>',
)


def _start_job(definition_id: str, repeat: str = "") -> dict[str, Any]:
    return {
        "id": "start-job",
        "root_id": "",
        "instance_id": "",
        "execution_id": "",
        "element_id": "s",
        "element_name": "",
        "kind": "timer",
        "handler": "timer-start-event",
        "due_at": START,
        "retries": 3,
        "repeat": repeat,
        "topic": "",
        "exclusive": True,
        "dead": False,
        "suspended": False,
        "error": "",
        "error_details": "",
        "lock_owner": "",
        "lock_token": "",
        "lease_until": None,
        "payload": "{}",
        "definition_id": definition_id,
        "tenant_id": "",
        "created_at": START,
        "lane": "engine",
        "available_at": START,
    }


async def test_due_continuations_are_executed_in_one_batch(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(ASYNC)
        await bench.together(*(bench.start(definition) for _ in range(20)))
        before = bench.count()

        executed = await bench.group.execute_due(64)

        assert executed == 20
        assert bench.left_over() == {}
        assert bench.count().commits - before.commits == 1
        assert bench.count().statements - before.statements <= 10
        assert await bench.group.execute_due(64) == 0


async def test_a_timer_waits_for_its_time(database: Database) -> None:
    async with running(database) as bench:
        await bench.start(bench.define(TIMER))
        bench.clock.advance(timedelta(minutes=59))
        assert await bench.group.execute_due() == 0

        bench.clock.advance(timedelta(minutes=1))

        assert await bench.group.execute_due() == 1
        assert bench.left_over() == {}


async def test_a_job_that_fails_loses_a_retry_in_the_same_transaction(database: Database) -> None:
    async with running(database) as bench:
        definition = bench.define(BROKEN)
        good = bench.define(ASYNC, definition_id="good")
        await bench.together(bench.start(definition), bench.start(good))

        assert await bench.group.execute_due() == 2

        (job,) = bench.rows(tables.job)
        assert (job["retries"], job["lane"], job["dead"]) == (2, "engine", False)
        assert job["due_at"] == job["available_at"] == START + timedelta(seconds=2)
        assert "missing" in job["error"]
        assert await bench.group.execute_due() == 0


async def test_a_job_without_retries_is_dead_and_left_alone(database: Database) -> None:
    async with running(database) as bench:
        await bench.start(bench.define(BROKEN))
        for _ in range(3):
            assert await bench.group.execute_due() == 1
            bench.clock.advance(timedelta(minutes=1))

        (job,) = bench.rows(tables.job)
        assert (job["retries"], job["lane"], job["dead"]) == (0, "dead", True)
        assert await bench.group.execute_due() == 0


async def test_a_bug_while_a_job_runs_keeps_its_traceback(database: Database) -> None:
    def stumbling(tree: Tree, command: cmd.Command, env: Env) -> kernel.Decision:
        decision = kernel.decide(tree, command, env)
        if isinstance(command, cmd.ExecuteJob):
            raise ZeroDivisionError("a bug")
        return decision

    async with running(database, decide=stumbling) as bench:
        await bench.start(bench.define(ASYNC))

        assert await bench.group.execute_due() == 1

        (job,) = bench.rows(tables.job)
        assert job["error"] == "ZeroDivisionError: a bug"
        assert "stumbling" in job["error_details"]


async def test_jobs_of_a_suspended_instance_are_nobodys(database: Database) -> None:
    async with running(database) as bench:
        instance = await bench.start(bench.define(ASYNC))
        await bench.group.submit(cmd.SuspendInstance(instance_id=instance))
        assert [(row["lane"], row["suspended"]) for row in bench.rows(tables.job)] == [("suspended", True)]
        assert await bench.group.execute_due() == 0

        await bench.group.submit(cmd.ActivateInstance(instance_id=instance))

        assert await bench.group.execute_due() == 1


async def test_a_timer_start_event_fires_once_and_is_scheduled_anew(database: Database) -> None:
    async with running(database) as one, running(database) as other:
        definition = one.define(ONE_TASK)
        other.source.known = one.source.known
        one.insert(tables.job, _start_job(definition, "R2/PT1H") | {"element_id": "start"})

        executed = await asyncio.gather(one.group.execute_due(), other.group.execute_due())

        assert sum(executed) == 1
        assert len(one.rows(tables.instance)) == 1
        (job,) = one.rows(tables.job, id="start-job")
        assert job["due_at"] == job["available_at"] == START + timedelta(hours=1)


async def test_a_timer_start_event_without_repetition_is_gone_after_it_fired(database: Database) -> None:
    async with running(database) as bench:
        bench.insert(tables.job, _start_job(bench.define(ASYNC)))

        assert await bench.group.execute_due() == 1

        assert bench.rows(tables.job, id="start-job") == []
        assert [row["start_user_id"] for row in bench.rows(tables.instance)] == [""]


async def test_a_timer_start_event_of_an_unknown_definition_is_put_off_with_its_error(database: Database) -> None:
    async with running(database) as bench:
        bench.insert(tables.job, _start_job("nothing"))

        await bench.group.execute_due()

        (job,) = bench.rows(tables.job)
        assert "expected a process definition" in job["error"]
        assert await bench.group.execute_due() == 0


@pytest.mark.mariadb
async def test_trees_that_somebody_else_holds_are_passed_over(mariadb: Database) -> None:
    async with running(mariadb) as bench:
        held, free = [await bench.start(bench.define(ASYNC, definition_id=name)) for name in ("a", "b")]
        holder = SqlUnitOfWork(mariadb)
        holder.load(Wanted(roots={held: None}))

        assert await bench.group.execute_due() == 1

        assert [row["root_id"] for row in bench.rows(tables.job)] == [held]
        assert bench.rows(tables.instance, id=free) == []
        holder.rollback()
        assert await bench.group.execute_due() == 1
        holder.close()


async def test_two_processes_execute_each_job_once(database: Database) -> None:
    async with running(database) as one, running(database) as other:
        definition = one.define(ASYNC)
        other.source.known = one.source.known
        await one.together(*(one.start(definition) for _ in range(60)))

        async def work(bench: Bench) -> int:
            done = 0
            while bench.rows(tables.job):
                done += await bench.group.execute_due(16)
            return done

        done = await asyncio.gather(work(one), work(other))

        assert sum(done) == 60
        assert one.left_over() == {}
