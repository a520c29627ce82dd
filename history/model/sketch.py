"""A histogram of durations that can be added to others, with percentiles of a known error.

Buckets grow by a constant factor, so a percentile is told with a relative error of at most `MAX_ERROR`, whatever the
durations are (the idea of DDSketch, Masson et al. 2019). Counts of buckets are sums: sketches of days add up to that of
a year, and recording needs no look at what is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

GAMMA: Final = 1.02
"""How much wider each bucket is than the one before."""
MAX_ERROR: Final = (GAMMA - 1) / (GAMMA + 1)
"""The relative error of a percentile at most: just under 1 %; whole milliseconds below that."""
MAX_BUCKET: Final = 1_600
"""Durations beyond 1.02^1600 ms, some 1800 years, are counted there."""
_LOG_GAMMA: Final = math.log(GAMMA)


def bucket_of(duration_ms: int) -> int:
    """The bucket of a duration: 0 for none, else n from 1 on with GAMMA^(n-2) < duration <= GAMMA^(n-1)."""
    if duration_ms <= 0:
        return 0
    return min(max(math.ceil(math.log(duration_ms) / _LOG_GAMMA - 1e-9), 0) + 1, MAX_BUCKET)


def value_of(bucket: int) -> float:
    """The duration in ms that stands for a bucket: the one whose relative distance to both ends is the same."""
    return 0.0 if bucket <= 0 else 2 * GAMMA ** (bucket - 1) / (GAMMA + 1)


def percentiles(counts: Mapping[int, int], wanted: Sequence[float]) -> list[float | None]:
    """The durations that these parts (0.5 for the median) of all stay at or below; None where nothing was counted.

    By the nearest rank: the smallest duration that at least that part does not exceed.
    """
    total = sum(counts.values())
    if total == 0:
        return [None] * len(wanted)
    found: list[float | None] = []
    for part in wanted:
        rank = min(max(math.ceil(part * total), 1), total)
        seen = 0
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= rank:
                found.append(value_of(bucket))
                break
    return found
