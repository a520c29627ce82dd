"""Messages, timers, signals and completions that come to the same instance at once: one of them moves it on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from flowloom.engine.v1 import management_service_pb2 as management_pb
from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb

from tests.engine.concurrency.processes import (
    CLIENTS,
    FAILED_PRECONDITION,
    NOT_FOUND,
    OK,
    SOON_SECONDS,
    Crowd,
    Engine,
    complete,
)
from tests.faults import models

ROUNDS = 6
LISTENERS = 16
WORK_AND_LISTEN = models.bpmn(
    "workAndListen",
    models.parallel('<userTask id="b1" name="Work"/>', models.CATCH_ALARM.format(id="b2")),
    models.ALARM,
)

Call = Callable[[Engine], Awaitable[Any]]


def tell(business_key: str) -> Call:
    """A client's wish to send the message."""
    request = runtime_pb.CorrelateMessageRequest(message_name="paid", business_key=business_key)
    return lambda engine: engine.runtime.CorrelateMessage(request)


def fire(job_id: str) -> Call:
    """A client's wish to let the timer be due."""
    request = management_pb.MoveTimerJobRequest(job_id=job_id)
    return lambda engine: engine.management.MoveTimerJob(request)


def alarm(engine: Engine) -> Awaitable[Any]:
    """A client's wish to send the signal to all."""
    return engine.runtime.SendSignal(runtime_pb.SendSignalRequest(signal_name="alarm"))


async def test_message_timer_and_completion_at_once_end_the_instance_by_one_of_them(crowd: Crowd) -> None:
    await crowd.deploy(models.RACE)
    for number in range(ROUNDS):
        key = f"race-{number}"
        instance = await crowd.start("race", business_key=key)
        (task,) = await crowd.open_tasks(instance)
        (timer,) = await crowd.timers(instance)
        won: list[str] = []

        def noting(name: str, call: Call, won: list[str] = won) -> Call:
            async def noted(engine: Engine) -> None:
                await call(engine)
                won.append(name)

            return noted

        wishes = [noting("task", complete(task.id)), noting("message", tell(key)), fire(timer.id)]
        await crowd.together((wishes[n % 3] for n in range(CLIENTS)), allowed=(OK, NOT_FOUND, FAILED_PRECONDITION))

        await crowd.until_ended(instance)
        assert len(won) <= 1


async def test_signals_reach_instances_whose_tasks_are_completed_at_the_same_time(crowd: Crowd) -> None:
    await crowd.deploy(WORK_AND_LISTEN)
    instances = [await crowd.start("workAndListen", number=number) for number in range(LISTENERS)]
    works = [task.id for instance in instances for task in await crowd.open_tasks(instance, "Work")]
    assert len(works) == LISTENERS

    calls: list[Call] = [complete(task_id) for task_id in works]
    for place in range(0, LISTENERS, 4):
        calls.insert(place * 2, alarm)
    counts = await crowd.together(calls)

    assert counts == {OK: len(calls)}
    for instance in instances:
        assert [task.name for task in await _soon(crowd, instance)] == ["After"]


async def test_a_signal_from_both_sides_moves_each_waiting_instance_once(crowd: Crowd) -> None:
    await crowd.deploy(models.SIGNAL)
    instances = [await crowd.start("signal", number=number) for number in range(LISTENERS)]

    await crowd.together(alarm for _ in range(CLIENTS))

    for instance in instances:
        assert [task.name for task in await _soon(crowd, instance)] == ["After"]


async def test_one_message_of_many_is_taken_by_the_one_that_waits(crowd: Crowd) -> None:
    await crowd.deploy(models.MESSAGE)
    for number in range(ROUNDS):
        key = f"message-{number}"
        instance = await crowd.start("message", business_key=key)

        counts = await crowd.together((tell(key) for _ in range(CLIENTS)), allowed=(OK, NOT_FOUND))

        assert counts == {OK: 1, NOT_FOUND: CLIENTS - 1}
        assert [task.name for task in await crowd.open_tasks(instance)] == ["After"]


async def test_asynchronous_steps_started_everywhere_are_each_executed_once(crowd: Crowd) -> None:
    await crowd.deploy(models.ASYNC)
    instances: list[str] = []

    async def start(engine: Engine) -> None:
        request = runtime_pb.StartProcessInstanceRequest(process_definition_key="async")
        instances.append((await engine.runtime.StartProcessInstance(request)).id)

    await crowd.together(start for _ in range(CLIENTS * 2))

    for instance in instances:
        assert [task.name for task in await _soon(crowd, instance)] == ["Later"]


async def _soon(crowd: Crowd, instance_id: str) -> list[Any]:
    """The open tasks of an instance, once nothing is under way to it any more."""
    expected = 1
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            found = await crowd.open_tasks(instance_id)
            if len(found) == expected and found[0].name in ("After", "Later"):
                return found
            await asyncio.sleep(0.02)
