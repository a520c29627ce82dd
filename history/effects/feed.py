"""The stream as history reads it: as it comes, or all of it once more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from history.effects.consumer import Consumer, Record
from history.settings import HistorySettings
from mesh.bus.ports import DeadLetters, EventBus, Position, Subscription
from mesh.bus.retries import Retries
from mesh.clock import Clock
from mesh.errors import Unavailable

LOOK_SECONDS: Final = 0.02
"""How often it is looked whether all was read; the bus tells nobody."""


class StreamFeed:
    """A `history.app.rebuilding.Feed`."""

    def __init__(
        self,
        bus: EventBus,
        dead_letters: DeadLetters,
        settings: HistorySettings,
        applied_sequence: Callable[[], Awaitable[int]],
        clock: Clock,
    ) -> None:
        """`applied_sequence` tells the highest sequence whose effects history has."""
        self._bus = bus
        self._dead_letters = dead_letters
        self._settings = settings
        self._applied_sequence = applied_sequence
        self._clock = clock
        self._consumer: Consumer | None = None
        self._subscription: Subscription | None = None

    async def begin(self, take: Record) -> None:
        """Begin to read in everyday life. Raises Unavailable."""
        self._consumer = Consumer(take)
        self._subscription = await self._bus.subscribe(
            self._settings.topic,
            self._settings.group,
            self._consumer,
            self._dead_letters,
            self._settings.bus,
            applied_sequence=await self._applied_sequence(),
        )

    async def read_all(self, take: Record) -> int:
        """Read the stream from its beginning to its present end, beside everyday life. Raises Unavailable.

        What cannot be taken is tried again and then parked, as in everyday life; returns when all is taken or parked.
        """
        settings = self._settings
        retries = Retries(settings.group, Consumer(take), self._dead_letters, settings.bus, self._clock, asyncio.sleep)
        await retries.load()
        count = await self._bus.read_all(settings.topic, retries.handle, settings.bus.batch_messages)
        while (due := retries.next_due()) is not None:
            await asyncio.sleep(max(due - asyncio.get_running_loop().time(), 0.0))
            await retries.retry_due()
        return count

    async def stop(self) -> None:
        """Let the batch under way end, and take no more."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.stop()

    @property
    def running(self) -> Subscription:
        """The present reading. Raises Unavailable without."""
        if self._subscription is None:
            raise Unavailable("history-not-started", "expected history to be at work, found it not started")
        return self._subscription

    async def position(self) -> Position:
        """Where history stands on the bus. Raises Unavailable."""
        return await self.running.position()

    @property
    def last_at(self) -> datetime | None:
        """When the last message that was taken happened; None before the first."""
        return None if self._consumer is None else self._consumer.last_at


class SearchFeed:
    """The stream as the search engine reads it: a group of its own."""

    def __init__(
        self, bus: EventBus, dead_letters: DeadLetters, settings: HistorySettings, group: str, record: Record
    ) -> None:
        self._bus = bus
        self._dead_letters = dead_letters
        self._settings = settings
        self._group = group
        self._record = record
        self._subscription: Subscription | None = None

    async def begin(self) -> None:
        """Begin to read, from the group's offset. Raises Unavailable."""
        self._subscription = await self._bus.subscribe(
            self._settings.topic, self._group, Consumer(self._record), self._dead_letters, self._settings.bus
        )

    async def caught_up(self) -> None:
        """Return once everything that is in the stream now was indexed."""
        if self._subscription is None:
            raise Unavailable("history-not-started", "expected history to be at work, found it not started")
        while (position := await self._subscription.position()).behind > 0:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(LOOK_SECONDS)
        await self._subscription.wait_until(position.seen_sequence)

    async def stop(self) -> None:
        """Let the batch under way end, and take no more."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.stop()
