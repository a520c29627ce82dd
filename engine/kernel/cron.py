"""Cron expressions of timers: six or seven fields, seconds first, as Flowable (Quartz) writes them.

Quartz counts the days of the week from 1 (Sunday) to 7; `6L` is the last Friday of a month, `2#1` its first Monday.
"""

import re
from datetime import datetime
from typing import Final

from croniter import CroniterBadDateError, croniter

QUARTZ_FIELDS: Final = (6, 7)
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY: Final = re.compile(r"^[1-7]$")
_LAST: Final = re.compile(r"^([1-7]|[a-z]{3})l$")


class NeverAgain(ValueError):
    """A cron expression whose years are over."""


def is_cron(text: str) -> bool:
    """Whether a text has the shape of a cron expression."""
    return len(text.split()) in (5, *QUARTZ_FIELDS)


def next_after(text: str, moment: datetime) -> datetime:
    """The next time strictly after a moment. Raises NeverAgain if there is none, ValueError for no cron expression."""
    try:
        return croniter(_plain(text), moment, second_at_beginning=True).get_next(datetime)  # type: ignore[no-any-return]
    except CroniterBadDateError as error:
        raise NeverAgain(f"expected a time to come, found that '{text}' has none after {moment.isoformat()}") from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"expected a cron expression such as '0 0/5 * * * ?', found '{text}' ({error})") from None


def _plain(text: str) -> str:
    fields = text.replace("?", "*").split()
    if len(fields) == 5:
        return " ".join(["0", *fields])
    fields[5] = ",".join(_days(part) for part in fields[5].lower().split(","))
    return " ".join(fields if fields[6:] != ["*"] else fields[:6])


def _days(part: str) -> str:
    """One entry of the days of the week, with names for Quartz's numbers and the library's spelling of the last."""
    if part == "l":
        return "sat"
    last = _LAST.match(part)
    if last is not None:
        return f"l{_DAYS.index(_name(last[1]))}"
    if "#" in part:
        day, _, number = part.partition("#")
        return f"{_name(day)}#{number}"
    span, slash, step = part.partition("/")
    return "-".join(_name(day) for day in span.split("-")) + slash + step


def _name(day: str) -> str:
    return _DAYS[int(day) - 1] if _DAY.match(day) else day
