"""Work that is done again and again, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

_LOGGER: Final = logging.getLogger(__name__)


class Repeating:
    """Does something every interval; a failure is told and does not end it."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], interval_seconds: float) -> None:
        self._name = name
        self._work = work
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a first pause."""
        self._task = asyncio.create_task(self._run(), name=f"identity {self._name}")

    async def stop(self) -> None:
        """Do it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self._work()
            except Exception as failed:  # the outer loop of a worker: it is tried again
                _LOGGER.warning("%s failed and is tried again: %s", self._name, failed)
