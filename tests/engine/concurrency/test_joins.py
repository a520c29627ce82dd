"""Branches that are completed at once meet in one join, and a loop's turns in one end."""

from __future__ import annotations

import asyncio

from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb

from tests.engine.concurrency.processes import CLIENTS, NOT_FOUND, OK, Crowd, complete
from tests.faults import models

BRANCHES = 8
ROUNDS = 4
MANY_BRANCHES = models.bpmn(
    "manyBranches",
    models.parallel(*(f'<userTask id="b{n}" name="Branch {n}"/>' for n in range(1, BRANCHES + 1))),
)


async def test_branches_completed_at_once_join_exactly_once(crowd: Crowd) -> None:
    await crowd.deploy(MANY_BRANCHES)
    for _ in range(ROUNDS):
        instance = await crowd.start("manyBranches")
        tasks = await crowd.open_tasks(instance)

        counts = await crowd.together(
            (complete(tasks[n % BRANCHES].id) for n in range(CLIENTS)), allowed=(OK, NOT_FOUND)
        )

        assert counts == {OK: BRANCHES, NOT_FOUND: CLIENTS - BRANCHES}
        (after,) = await crowd.open_tasks(instance)
        assert after.name == "After"
        await crowd.together([complete(after.id)])
        assert not await crowd.runs(instance)


async def test_turns_of_a_parallel_loop_completed_at_once_end_the_loop_exactly_once(crowd: Crowd) -> None:
    await crowd.deploy(models.FIVE)
    for _ in range(ROUNDS):
        instance = await crowd.start("five", n=CLIENTS)
        tasks = await crowd.open_tasks(instance, "Each")
        assert len(tasks) == CLIENTS

        counts = await crowd.together(complete(task.id) for task in tasks)

        assert counts == {OK: CLIENTS}
        assert [task.name for task in await crowd.open_tasks(instance)] == ["After"]


async def test_instances_started_and_completed_through_all_engines_are_all_done_once(crowd: Crowd) -> None:
    await crowd.deploy(models.TWO)

    async def lives(number: int) -> None:
        """An instance's life, each step at another process than the one before."""
        instance = await crowd.start("two", number=number, business_key="load")
        for name in ("First", "Second"):
            (task,) = await crowd.open_tasks(instance, name)
            number += 1
            await complete(task.id)(crowd.engine(number))

    await asyncio.gather(*(lives(number) for number in range(CLIENTS * 3)))

    request = runtime_pb.ListProcessInstancesRequest(business_key="load")
    assert (await crowd.engine().runtime.ListProcessInstances(request)).total == 0
