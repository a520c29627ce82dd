"""Keeps forms' tables free of what was only remembered for repeated calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

_LOGGER: Final = logging.getLogger(__name__)
MAX_ROUNDS: Final = 1000
"""Batches of one look."""


class PruningJob:
    """Looks every so often; `prune` deletes some of what is older than a moment and says how many."""

    def __init__(
        self,
        prune: Callable[[datetime], Awaitable[int]],
        now: Callable[[], datetime],
        *,
        look_seconds: float,
        retention_seconds: float,
    ) -> None:
        self._prune = prune
        self._now = now
        self._look_seconds = look_seconds
        self._retention = timedelta(seconds=retention_seconds)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        self._task = asyncio.create_task(self._run(), name="forms-pruning")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> int:
        """Take away whatever there is now; says how many rows."""
        taken = 0
        for _ in range(MAX_ROUNDS):
            some = await self._prune(self._now() - self._retention)
            if not some:
                break
            taken += some
        return taken

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look()
            except Exception:
                # The outer loop of a worker: the rows are still there at the next look.
                _LOGGER.exception("pruning forms' tables failed")
