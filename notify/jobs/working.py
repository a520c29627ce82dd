"""A loop that works while there is something to do, and otherwise waits to be woken or for the next look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)
MAX_PAUSE_SECONDS: Final = 30.0


class Worker:
    """Takes turns. `turn` returns how much it did; nothing means that there is nothing to do."""

    def __init__(self, name: str, turn: Callable[[], Awaitable[int]], poll_seconds: float) -> None:
        self._name = name
        self._turn = turn
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.failure = "not started yet"
        """Why the last turn failed; empty if it did not."""
        self.is_resting = False
        """No turn is under way."""

    def wake(self) -> None:
        """There is something to do. On the event loop's thread."""
        self._woken.set()

    def start(self) -> None:
        """Begin."""
        self.failure = ""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Let the turn under way end, and take no other."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        pause = self._poll_seconds
        while not self._stopping:
            self._woken.clear()
            try:
                did = await self._turn()
            except Unavailable as away:
                self.failure = away.message
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                _LOGGER.warning("%s waits %.3g s: %s", self._name, pause, away)
                did = 0
            except Exception as bug:  # the outer loop of a worker: the next turn is tried all the same
                self.failure = f"{type(bug).__name__}: {bug}"
                pause = min(pause * 2, MAX_PAUSE_SECONDS)
                _LOGGER.exception("%s failed", self._name)
                did = 0
            else:
                self.failure, pause = "", self._poll_seconds
            if not did and not self._stopping:
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        self.is_resting = True
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self.is_resting = False
