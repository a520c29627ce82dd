"""Measures how far history is behind the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from history.model.lag import Behind

_LOGGER: Final = logging.getLogger(__name__)


class LagGauge:
    """Gauges `flowloom_history_lag_messages` (behind, held ones included), `flowloom_history_lag_seconds` and
    `flowloom_history_held_messages`."""

    def __init__(
        self,
        measure: Callable[[], Awaitable[Behind]],
        interval_seconds: float,
        registry: CollectorRegistry | None,
    ) -> None:
        """`measure` tells how far history is behind."""
        self._measure = measure
        self._interval_seconds = interval_seconds
        self._lag = Gauge(
            "flowloom_history_lag_messages", "Messages that history has not taken yet.", registry=registry
        )
        self._seconds = Gauge(
            "flowloom_history_lag_seconds", "Age of the last message taken, while some wait.", registry=registry
        )
        self._held = Gauge("flowloom_history_held_messages", "Messages that wait for a retry.", registry=registry)
        self._task: asyncio.Task[None] | None = None

    async def measure(self) -> int:
        """Measure now; returns the messages behind."""
        found = await self._measure()
        self._lag.set(found.messages)
        self._seconds.set(found.seconds)
        self._held.set(found.held)
        return found.messages

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
