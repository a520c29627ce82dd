"""Many sagas, few transactions: what is to be written waits while a transaction is under way, and shares the next."""

from __future__ import annotations

import asyncio
from collections import deque

from engine.app.sagas.ports import SagaStore
from engine.app.sagas.state import Change


class BatchedWrites:
    """Writes changes of sagas. A saga's own changes are to be given one after the other."""

    def __init__(self, store: SagaStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._waiting: deque[tuple[Change, asyncio.Future[str]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def write(self, change: Change) -> str:
        """Write it; empty, or why it was not (see `SagaStore.write`). Raises what the transaction raised."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush(), name="saga-writes")
        return await future

    async def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
            await self._write([pair for pair in batch if not pair[1].cancelled()])

    async def _write(self, batch: list[tuple[Change, asyncio.Future[str]]]) -> None:
        if not batch:
            return
        try:
            outcomes = await self._store.write([change for change, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                # One that cannot be written must not take the others with it.
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
