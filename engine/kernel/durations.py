"""ISO 8601 durations and repetitions as timers use them (BPMN 2.0, 10.5.5)."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(
    r"^P(?!$)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?$"
)
MONTHS_A_YEAR: Final = 12


@dataclass(frozen=True, slots=True)
class Duration:
    """Calendar months and an exact rest."""

    months: int
    rest: timedelta

    def after(self, start: datetime) -> datetime:
        """The moment this long after `start`; a day that the target month lacks becomes its last."""
        if not self.months:
            return start + self.rest
        index = start.year * MONTHS_A_YEAR + start.month - 1 + self.months
        year, month = divmod(index, MONTHS_A_YEAR)
        day = min(start.day, calendar.monthrange(year, month + 1)[1])
        return start.replace(year=year, month=month + 1, day=day) + self.rest

    def next_after(self, start: datetime, moment: datetime) -> datetime:
        """The first of `start` + n times this (n ≥ 1) after a moment. Raises ValueError for no time at all."""
        if not self.months and not self.rest:
            raise ValueError("expected a period longer than nothing, found PT0S")
        if self.months:
            count = 1
            while (due := Duration(self.months * count, self.rest * count).after(start)) <= moment:
                count += 1
            return due
        return start + self.rest * max((moment - start) // self.rest + 1, 1)


def parse_duration(text: str) -> Duration:
    """Read an ISO 8601 duration such as `PT1H30M` or `P1M`. Raises ValueError saying what was found."""
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"expected an ISO 8601 duration such as PT5M, found '{text}'")
    part = {name: value or "0" for name, value in match.groupdict().items()}
    rest = timedelta(
        weeks=int(part["weeks"]),
        days=int(part["days"]),
        hours=int(part["hours"]),
        minutes=int(part["minutes"]),
        seconds=float(part["seconds"].replace(",", ".")),
    )
    return Duration(int(part["years"]) * MONTHS_A_YEAR + int(part["months"]), rest)


@dataclass(frozen=True, slots=True)
class Repetition:
    """`R[n]/[start/]period[/end]`: `times` is None for unbounded."""

    times: int | None
    period: Duration
    period_text: str
    start: datetime | None = None
    end: datetime | None = None


_REPEAT: Final = re.compile(r"^R(\d*)$")


def parse_repetition(text: str) -> Repetition:
    """Read an ISO 8601 repeating interval such as `R3/PT10M`. Raises ValueError saying what was found."""
    parts = text.strip().split("/")
    head = _REPEAT.match(parts[0])
    if head is None or len(parts) < 2:
        raise ValueError(f"expected a repetition such as R3/PT10M, found '{text}'")
    start = end = None
    period: str | None = None
    for part in parts[1:]:
        if part.startswith("P"):
            period = part
        elif period is None and start is None:
            start = parse_moment(part)
        else:
            end = parse_moment(part)
    if period is None:
        raise ValueError(f"expected a period such as PT10M in the repetition, found '{text}'")
    return Repetition(int(head[1]) if head[1] else None, parse_duration(period), period, start, end)


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 date or date-time; UTC where no offset is given. Raises ValueError saying what was found."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"expected an ISO 8601 date such as 2026-01-31T12:00:00Z, found '{text}'") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
