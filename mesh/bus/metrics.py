"""How far consumers are behind, and what they gave up on, as gauges."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

_LOGGER: Final = logging.getLogger(__name__)

Counts = Mapping[tuple[str, str], int]
"""By topic and group."""


class ConsumerMetrics:
    """`flowloom_bus_consumer_lag_messages` and `flowloom_bus_dead_letters`, by topic and group; -1: not known."""

    def __init__(
        self,
        registry: CollectorRegistry | None,
        measure_seconds: float,
        lags: Callable[[], Awaitable[Counts]],
        letters: Callable[[], Counts],
        failure: Callable[[], str],
    ) -> None:
        """Without a registry nothing is measured. `lags` may raise: then they are not known."""
        self._seconds = measure_seconds
        self._lags = lags
        self._letters = letters
        self._failure = failure
        self._task: asyncio.Task[None] | None = None
        self._lag: Gauge | None = None
        self._counted: set[tuple[str, str]] = set()
        if registry is not None:
            labels = ("topic", "group")
            self._lag = Gauge(
                "flowloom_bus_consumer_lag_messages",
                "Messages that the group has not handled yet, of the partitions that this process reads.",
                labels,
                registry=registry,
            )
            self._dead = Gauge(
                "flowloom_bus_dead_letters", "Messages that the group gave up on.", labels, registry=registry
            )
            self._up = Gauge(
                "flowloom_bus_broker_up", "1: the broker answered when it was asked last.", registry=registry
            )

    def start(self) -> None:
        """Measure from now on."""
        if self._lag is not None and self._task is None:
            self._task = asyncio.create_task(self._run(), name="bus metrics")

    async def stop(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def measure(self) -> None:
        """Measure once."""
        assert self._lag is not None, "measuring needs a registry"
        counts = self._letters()
        self._counted.update(counts)
        for topic, group in self._counted:
            self._dead.labels(topic, group).set(counts.get((topic, group), 0))
        try:
            for (topic, group), behind in (await self._lags()).items():
                self._lag.labels(topic, group).set(behind)
        except Exception as failed:  # a measurement may fail in any way; it is made again
            _LOGGER.debug("the lag of consumers could not be measured: %s", failed)
        self._up.set(0 if self._failure() else 1)

    async def _run(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(self._seconds)
