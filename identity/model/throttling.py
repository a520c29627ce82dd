"""How wrong credentials slow down those who come with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

MAX_DOUBLINGS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The first `free` attempts cost no wait; each further one doubles it, from the first to the longest."""

    free: int
    first_seconds: float
    longest_seconds: float
    forget_seconds: float

    def wait_after(self, attempts: int) -> float:
        """Seconds to wait after so many attempts that were not right."""
        if attempts < self.free:
            return 0.0
        doublings = min(attempts - self.free, MAX_DOUBLINGS)
        return float(min(self.first_seconds * 2.0**doublings, self.longest_seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What is known of one user or address."""

    count: int
    last_at: datetime
    blocked_until: datetime


def blocked_seconds(known: Attempts | None, now: datetime) -> float:
    """How long the next attempt has to wait; 0 if it need not."""
    return 0.0 if known is None else max((known.blocked_until - now).total_seconds(), 0.0)


def with_another(policy: Policy, known: Attempts | None, now: datetime) -> Attempts:
    """Count an attempt before its outcome is known, so that many at once count as many."""
    forgotten = known is None or now - known.last_at >= timedelta(seconds=policy.forget_seconds)
    count = 1 if known is None or forgotten else known.count + 1
    until = now + timedelta(seconds=policy.wait_after(count))
    return Attempts(count=count, last_at=now, blocked_until=until)


def with_one_less(known: Attempts) -> Attempts:
    """Take an attempt back that turned out right."""
    return Attempts(count=max(known.count - 1, 0), last_at=known.last_at, blocked_until=known.last_at)
