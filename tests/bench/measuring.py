"""Measuring two things side by side: interleaved rounds, medians, and the spread between rounds."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rounds:
    """Figures of one thing over several rounds, in one unit."""

    figures: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    def shown(self, unit: str, digits: int = 1) -> str:
        """`median (lowest to highest) unit`."""
        return f"{self.median:.{digits}f} ({min(self.figures):.{digits}f} to {max(self.figures):.{digits}f}) {unit}"


def interleaved(rounds: int, *runs: Callable[[], float]) -> tuple[Rounds, ...]:
    """Call each run in turn, so many rounds; each gives its figure. What the machine does meanwhile hits them alike."""
    figures: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for place, run in enumerate(runs):
            figures[place].append(run())
    return tuple(Rounds(tuple(found)) for found in figures)


def cpu_microseconds(action: Callable[[], object], times: int) -> float:
    """CPU time of this process for one call of the action, in microseconds."""
    before = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - before) / times * 1e6


def ratio_line(name: str, ratio: float, needed: str, details: str) -> str:
    """One result: what was compared, the ratio, what the budget says, and the figures behind it."""
    return f"{name}: {ratio:.2f} (budget {needed})\n    {details}"
