"""When a failed job is tried again: Flowable's `failedJobRetryTimeCycle`, else exponential back-off."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.kernel.durations import parse_duration
from engine.kernel.env import Limits

_CYCLE = re.compile(r"^R(\d+)/(P.+)$")


@dataclass(frozen=True, slots=True)
class Cycle:
    """`attempts` in all, and the ISO 8601 duration between two of them."""

    attempts: int
    pause: str


def parse_cycle(text: str) -> Cycle | None:
    """Read `R5/PT10S` (the n of R is the number of tries); None for what is no such cycle."""
    match = _CYCLE.match(text.strip())
    return Cycle(max(int(match[1]), 1), match[2]) if match else None


def is_cycle(text: str) -> bool:
    """Whether it is a cycle with a duration that can be reckoned with."""
    cycle = parse_cycle(text)
    try:
        return cycle is not None and bool(parse_duration(cycle.pause))
    except ValueError:
        return False


def next_try(now: datetime, failures: int, cycle: Cycle | None, limits: Limits) -> datetime:
    """When to try again after so many failures (1 for the first)."""
    if cycle is not None:
        return parse_duration(cycle.pause).after(now)
    pause = min(limits.retry_base_seconds * 2 ** max(failures - 1, 0), limits.retry_max_seconds)
    return now + timedelta(seconds=pause)
