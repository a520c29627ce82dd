"""What is printed: one line for each failure, a table by area and tier, and the sums."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.reading import Reading
from tests.conformance.running import Outcome

TIERS = (1, 2, 3)


def failure_line(outcome: Outcome) -> str:
    return f"FAIL {outcome.case.id}: {outcome.failure}"


def reading_lines(readings: Sequence[Reading]) -> list[str]:
    """Return a line for each model that failed, and one for all of them together."""
    if not readings:
        return []
    failed = [f"FAIL models/{each.name}: {each.failure}" for each in readings if each.failure]
    deployed = sum(each.deployed for each in readings)
    refused = sum(bool(each.refusal) for each in readings)
    together = (
        f"models read: {deployed + refused} of {len(readings)} ({deployed} deployed, {refused} refused precisely)"
    )
    return [*failed, "", together]


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return passed/all by area and tier, with the sums at the bottom."""
    areas = sorted({outcome.case.area for outcome in outcomes})
    width = max([len(area) for area in (*areas, "all areas")])
    return [
        "",
        f"{'area':<{width}}  {'tier 1':>9} {'tier 2':>9} {'tier 3':>9} {'all':>9}",
        *(_row(area, width, [outcome for outcome in outcomes if outcome.case.area == area]) for area in areas),
        _row("all areas", width, outcomes),
    ]


def summary(outcomes: Sequence[Outcome], readings: Sequence[Reading] = ()) -> str:
    """Return the last line. Models that could not be read count as failures; those that could are not cases."""
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    return f"{len(outcomes) - failed} passed, {failed + sum(bool(each.failure) for each in readings)} failed"


def all_passed(outcomes: Sequence[Outcome], readings: Sequence[Reading] = ()) -> bool:
    return not any(outcome.failure for outcome in outcomes) and not any(each.failure for each in readings)


def _row(name: str, width: int, outcomes: Sequence[Outcome]) -> str:
    # An unreadable case has tier 0 and is counted only in the last column.
    cells = [_cell([outcome for outcome in outcomes if outcome.case.tier == tier]) for tier in TIERS]
    return f"{name:<{width}}  " + " ".join(f"{cell:>9}" for cell in (*cells, _cell(outcomes)))


def _cell(outcomes: Sequence[Outcome]) -> str:
    passed = sum(not outcome.failure for outcome in outcomes)
    return f"{passed}/{len(outcomes)}" if outcomes else "-"
