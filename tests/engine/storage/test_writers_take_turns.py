"""Two writers: one at work while the queue grows, the other beside it only if the first is held up."""

from __future__ import annotations

import asyncio
import threading

from mesh.db.database import Database
from tests.engine.storage.support import ONE_TASK, running

NEVER_SECONDS = 60.0


async def test_a_writer_that_is_held_up_does_not_hold_up_the_others(database: Database) -> None:
    gate = threading.Event()
    async with running(database, writers=2, patience_seconds=0.01) as bench:
        definition = bench.define(ONE_TASK)
        holding = asyncio.create_task(bench.group.transact(lambda _: gate.wait()))
        try:
            async with asyncio.timeout(NEVER_SECONDS / 2):
                instance = await bench.start(definition)
            assert not holding.done()
        finally:
            gate.set()
            await holding

        assert bench.task_of(instance)


async def test_what_waits_while_a_writer_is_at_work_is_not_cut_into_small_transactions(database: Database) -> None:
    gate = threading.Event()
    async with running(database, writers=2, patience_seconds=NEVER_SECONDS) as bench:
        definition = bench.define(ONE_TASK)
        await bench.start(definition)
        before = bench.count().commits
        holding = asyncio.create_task(bench.group.transact(lambda _: gate.wait()))
        await asyncio.sleep(0)
        starts = [asyncio.create_task(bench.start(definition)) for _ in range(16)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(holding, *starts)

        # Each of the two may have taken one before it waited for its turn; the first whose turn it is takes the rest.
        assert bench.count().commits - before <= 2
