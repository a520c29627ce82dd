"""The relay at work: a group that reads the outbox like any other, one process at a time, and ships what it reads.

While the broker is away the outbox grows and nothing else changes; metrics say how far the relay is behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from engine.jobs.settings import RelaySettings
from mesh.bus.message import Message
from mesh.bus.ports import DeadLetters, EventBus, GroupSettings, Handler, OutboxReader, Subscription
from mesh.errors import Unavailable

_LOGGER: Final = logging.getLogger(__name__)

Ship = Callable[[Sequence[Message]], Awaitable[None]]


class OutboxRelay:
    """Ships the outbox: `start`, `stop`, and gauges of what is left."""

    def __init__(
        self,
        *,
        outbox: EventBus,
        reader: OutboxReader,
        topic: str,
        group: str,
        ship: Handler,
        dead_letters: DeadLetters,
        now: Callable[[], datetime],
        settings: RelaySettings,
        registry: CollectorRegistry | None,
    ) -> None:
        """`outbox` is the bus over the outbox itself; `ship` raises Unavailable while the broker is away."""
        self._outbox = outbox
        self._reader = reader
        self._topic = topic
        self._group = group
        self._ship = ship
        self._dead_letters = dead_letters
        self._now = now
        self._settings = settings
        self._subscription: Subscription | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._rows = Gauge("flowloom_bus_relay_lag_rows", "Outbox rows that are not shipped yet.", registry=registry)
        self._seconds = Gauge(
            "flowloom_bus_relay_lag_seconds", "How old the oldest row is that is not shipped yet.", registry=registry
        )
        self._shipped = Counter(
            "flowloom_bus_relay_messages", "Messages that this process has shipped.", registry=registry
        )

    def shipped(self, count: int) -> None:
        """Count what was shipped."""
        self._shipped.inc(count)

    async def start(self) -> None:
        """Begin to ship, or to stand by while another process does."""
        if self._subscription is not None:
            return
        settings = GroupSettings(
            batch_messages=self._settings.batch_rows,
            poll_seconds=self._settings.poll_seconds,
            linger_seconds=self._settings.linger_seconds,
        )
        self._subscription = await self._outbox.subscribe(
            self._topic, self._group, self._ship_or_stop, self._dead_letters, settings
        )
        self._task = asyncio.create_task(self._measure_always(), name="relay lag")

    async def stop(self) -> None:
        """End; what the broker has not taken yet is shipped after the next start."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        if self._subscription is not None:
            await self._subscription.stop()
            self._subscription = None

    async def measure(self) -> tuple[int, float]:
        """Measure the lag in rows and seconds, and set the gauges. Raises Unavailable."""
        if self._subscription is None:
            return 0, 0.0
        position = await self._subscription.position()
        oldest = await self._reader.read(position.safe_sequence, 1) if position.behind else ()
        seconds = max((self._now() - oldest[0].occurred_at).total_seconds(), 0.0) if oldest else 0.0
        self._rows.set(position.behind)
        self._seconds.set(seconds)
        return position.behind, seconds

    async def _ship_or_stop(self, rows: Sequence[Message]) -> None:
        """Ship, but do not hold up the end of the process while the broker does not answer."""
        shipping = asyncio.ensure_future(self._ship(rows))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((shipping, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not shipping.done():
                await asyncio.wait((shipping,), timeout=self._settings.grace_seconds)
        finally:
            stopping.cancel()
            if not shipping.done():
                shipping.cancel()
        if shipping.cancelled() or not shipping.done():
            raise Unavailable("relay-stopped", "expected the relay to be at work, found it stopping")
        shipping.result()

    async def _measure_always(self) -> None:
        while True:
            try:
                await self.measure()
            except Exception as failed:  # the outer loop of a worker: it is measured again
                _LOGGER.debug("the lag of the relay could not be measured: %s", failed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.measure_seconds):
                    await self._stopping.wait()
                    return
