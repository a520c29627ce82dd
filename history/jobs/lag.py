"""Measures how far history is behind the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

_LOGGER: Final = logging.getLogger(__name__)


class LagGauge:
    """Gauges `flowloom_history_lag_messages` (behind, held ones included) and `flowloom_history_held_messages`."""

    def __init__(
        self,
        measure: Callable[[], Awaitable[tuple[int, int]]],
        interval_seconds: float,
        registry: CollectorRegistry | None,
    ) -> None:
        """`measure` tells how many messages history is behind, and how many of them wait for a retry."""
        self._measure = measure
        self._interval_seconds = interval_seconds
        self._lag = Gauge(
            "flowloom_history_lag_messages", "Messages that history has not taken yet.", registry=registry
        )
        self._held = Gauge("flowloom_history_held_messages", "Messages that wait for a retry.", registry=registry)
        self._task: asyncio.Task[None] | None = None

    async def measure(self) -> int:
        """Measure now; returns the messages behind."""
        behind, held = await self._measure()
        self._lag.set(behind)
        self._held.set(held)
        return behind

    def start(self) -> None:
        """Measure every interval."""
        self._task = asyncio.create_task(self._run(), name="history lag")

    async def stop(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self.measure()
            except Exception as failed:  # the outer loop of a worker: it is measured again
                _LOGGER.debug("the lag could not be measured: %s", failed)
            await asyncio.sleep(self._interval_seconds)
