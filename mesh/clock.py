"""The one place where the time of day is read; everything else is given a `Clock`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time: aware, UTC, to the microsecond."""

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class SystemClock:
    """The computer's clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is told to move; for tests and for simulated time."""

    __slots__ = ("_now",)

    def __init__(self, start: datetime) -> None:
        """Stand at `start`, which must carry a time zone."""
        if start.tzinfo is None:
            raise ValueError(f"expected a start with a time zone, found {start.isoformat()}")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """Return the moment at which the clock stands, in UTC."""
        return self._now

    def now_ms(self) -> int:
        """Return the same moment as milliseconds since 1970, as `mesh.ids.IdSource` takes it."""
        return int(self._now.timestamp() * 1000)

    def advance(self, by: timedelta) -> datetime:
        """Move forward and return the new moment; a clock never goes back.

        Raises ValueError if `by` is negative.
        """
        if by < timedelta(0):
            raise ValueError(f"expected to move forward, found {by}")
        self._now += by
        return self._now
