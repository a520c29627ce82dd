"""Metrics: deliveries by channel and state, what waits, and how far notify is behind the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the gauges show."""

    lag_messages: int
    held_messages: int
    waiting_notices: int
    waiting_deliveries: int


class Metrics:
    """Counter `flowloom_notify_deliveries_total{channel,state}` of outcomes, and gauges.

    Gauges: `flowloom_notify_lag_messages` (behind the engine, held ones included), `flowloom_notify_held_messages`,
    `flowloom_notify_waiting_notices` and `flowloom_notify_waiting_deliveries` (due now or later).
    """

    def __init__(self, measure: Callable[[], Awaitable[Measured]], registry: CollectorRegistry | None) -> None:
        self._measure = measure
        self._outcomes = Counter(
            "flowloom_notify_deliveries", "Outcomes of attempts.", ("channel", "state"), registry=registry
        )
        self._lag = Gauge("flowloom_notify_lag_messages", "Messages that notify has not taken yet.", registry=registry)
        self._held = Gauge("flowloom_notify_held_messages", "Messages that wait for a retry.", registry=registry)
        self._notices = Gauge("flowloom_notify_waiting_notices", "Notices to be planned.", registry=registry)
        self._deliveries = Gauge("flowloom_notify_waiting_deliveries", "Deliveries to be sent.", registry=registry)

    def outcome(self, channel: str, state: str) -> None:
        """Count an outcome."""
        self._outcomes.labels(channel, state).inc()

    async def turn(self) -> int:
        """Measure; there is nothing more to do at once."""
        found = await self._measure()
        self._lag.set(found.lag_messages)
        self._held.set(found.held_messages)
        self._notices.set(found.waiting_notices)
        self._deliveries.set(found.waiting_deliveries)
        return 0
