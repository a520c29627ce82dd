"""A sleep that ends at a moment of the engine's clock, or when somebody wakes it."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

MIN_PAUSE_SECONDS: Final = 0.005
MAX_PAUSE_SECONDS: Final = 1.0


class Alarm:
    """Owned by one loop, which sleeps with it; anybody in the event loop may wake it."""

    __slots__ = ("_now", "_until", "_woken")

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._woken = asyncio.Event()
        self._until: datetime | None = None

    def clear(self) -> None:
        """Forget earlier wakes: to be called before looking for work, so that none that comes meanwhile is lost."""
        self._woken.clear()
        self._until = None

    @property
    def is_woken(self) -> bool:
        """Tell whether somebody woke it since it was cleared."""
        return self._woken.is_set()

    def wake(self) -> None:
        """End the sleep, or the next one before it begins."""
        self._woken.set()

    def due(self, at: datetime) -> None:
        """Something became due at that moment: wake if the sleep would last longer."""
        if self._until is None or at < self._until:
            self._woken.set()

    async def sleep(self, until: datetime | None, most_seconds: float) -> None:
        """Sleep until the moment, at most so long; with None only the second counts."""
        now = self._now()
        self._until = now + timedelta(seconds=most_seconds)
        if until is not None and until < self._until:
            self._until = until
        seconds = (self._until - now) / timedelta(seconds=1)
        if seconds <= 0 or self._woken.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return


class Pause:
    """Growing pauses: from 5 ms, doubled each time, up to 1 s."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds = MIN_PAUSE_SECONDS

    def reset(self) -> None:
        """Begin anew with the shortest."""
        self._seconds = MIN_PAUSE_SECONDS

    def next_seconds(self) -> float:
        """How long to pause now."""
        seconds = self._seconds
        self._seconds = min(seconds * 2, MAX_PAUSE_SECONDS)
        return seconds
