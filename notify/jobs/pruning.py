"""Forgets deliveries that are over for long, and answers to requests that nobody repeats any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from mesh.clock import Clock

Prune: TypeAlias = Callable[[datetime, int], Awaitable[int]]
"""Forgets what is older, so many rows at most; returns how many."""

ROWS_OF_TURN: Final = 1000
REQUEST_SECONDS: Final = 24 * 3600.0
"""How long a request can be repeated."""
INTERVAL_SECONDS: Final = 60.0


class Pruning:
    """A worker's turn."""

    def __init__(self, deliveries: Prune, requests: Prune, clock: Clock, retention_seconds: float) -> None:
        self._deliveries = deliveries
        self._requests = requests
        self._clock = clock
        self._retention = timedelta(seconds=retention_seconds)

    async def turn(self) -> int:
        """Forget one batch of each; returns how many rows. Raises Unavailable."""
        now = self._clock.now()
        forgotten = await self._deliveries(now - self._retention, ROWS_OF_TURN)
        return forgotten + await self._requests(now - timedelta(seconds=REQUEST_SECONDS), ROWS_OF_TURN)
