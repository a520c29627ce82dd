"""Keeps the outbox short: every so often, in small transactions, as long as there is something to take away."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from engine.jobs.settings import JobSettings

_LOGGER = logging.getLogger(__name__)


class OutboxPruning:
    """Deletes outbox rows that nobody needs any more; `prune` deletes some written before a moment."""

    def __init__(
        self,
        prune: Callable[[datetime], Awaitable[int]],
        now: Callable[[], datetime],
        settings: JobSettings | None = None,
    ) -> None:
        self._prune = prune
        self._now = now
        self._settings = settings or JobSettings()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running event loop."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="outbox-pruning")

    async def stop(self) -> None:
        """End; a transaction under way is finished by its writer."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> int:
        """Take away whatever there is now; says how many rows."""
        before = self._now() - timedelta(seconds=self._settings.request_retention_seconds)
        taken = 0
        while some := await self._prune(before):
            taken += some
        return taken

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.prune_look_seconds)
            try:
                await self.look()
            except Exception:
                # The outer loop of a worker: the rows are still there at the next look.
                _LOGGER.exception("pruning the outbox failed")
