"""Dates read by a pattern of Java's SimpleDateFormat, as form properties have them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

MAX_PATTERN_CHARACTERS: Final = 200
_PART: Final = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<other>[^A-Za-z'])")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CENTURY: Final = 2000
_NUMBERS: Final = {
    "y": "year",
    "u": "year",
    "d": "day",
    "H": "hour",
    "h": "half_hour",
    "m": "minute",
    "s": "second",
    "S": "millisecond",
}


class UnknownPattern(Exception):
    """A pattern with letters that cannot be read here; the text says which."""


def parse_date(text: str, pattern: str) -> datetime:
    """Return the moment that a text means, in UTC. Raises ValueError if it does not fit, UnknownPattern."""
    found = _expression(pattern).fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected a date by the pattern {pattern}")
    parts = found.groupdict()
    year = int(parts.get("year") or 1970)
    if len(parts.get("year") or "") <= 2 and parts.get("year"):
        year += _CENTURY
    hour = int(parts.get("hour") or 0)
    if parts.get("half_hour"):
        hour = int(parts["half_hour"]) % 12 + (12 if (parts.get("half") or "").lower() == "pm" else 0)
    return datetime(
        year,
        _month(parts),
        int(parts.get("day") or 1),
        hour,
        int(parts.get("minute") or 0),
        int(parts.get("second") or 0),
        int(parts.get("millisecond") or 0) * 1000,
        tzinfo=UTC,
    )


def _month(parts: dict[str, str | None]) -> int:
    named = parts.get("month_name")
    if named:
        return _MONTHS.index(named[:3].lower()) + 1
    return int(parts.get("month") or 1)


@lru_cache(maxsize=256)
def _expression(pattern: str) -> re.Pattern[str]:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise UnknownPattern(f"expected a pattern of at most {MAX_PATTERN_CHARACTERS} characters, found {len(pattern)}")
    parts: list[str] = []
    names: set[str] = set()
    position = 0
    while position < len(pattern):
        part = _PART.match(pattern, position)
        if part is None:
            raise UnknownPattern(f"expected a closing quote in the pattern {pattern}, found none")
        parts.append(_read(part, pattern, names))
        position = part.end()
    return re.compile("".join(parts), re.ASCII | re.IGNORECASE)


def _read(part: re.Match[str], pattern: str, names: set[str]) -> str:
    letters = part["letters"]
    if letters is None:
        return re.escape(part["other"] or part["quoted"].replace("''", "'") or "'")
    letter, width = letters[0], len(letters)
    if letter == "M" and width > 2:
        name, wanted = "month_name", "(?:" + "|".join(_MONTHS) + ")[a-z]*"
    elif letter == "a":
        name, wanted = "half", "am|pm"
    elif letter == "M" or letter in _NUMBERS:
        name = "month" if letter == "M" else _NUMBERS[letter]
        # As many digits as there are letters, or more, is what Java's lenient reading comes to.
        wanted = f"[0-9]{{1,{max(width, 4 if name == 'year' else 3 if name == 'millisecond' else 2)}}}"
    else:
        raise UnknownPattern(f"expected letters of yMdHhmsSa in the pattern {pattern}, found '{letter}'")
    if name in names:
        raise UnknownPattern(f"expected each part once in the pattern {pattern}, found '{letter}' twice")
    names.add(name)
    return f"(?P<{name}>{wanted})"
