"""Dates written by a pattern of Java's letters, for `date:format`."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final

from engine.kernel.expression.coercion import to_moment
from engine.kernel.expression.errors import ExpressionError
from engine.kernel.expression.exposed import Value

_MAX_PATTERN_CHARS: Final = 200
_PART: Final = re.compile(r"'(?P<quoted>(?:[^']|'')*)'|(?P<letters>([A-Za-z])\3*)|(?P<other>[^A-Za-z'])")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def format_date(value: Value, pattern: str) -> str:
    """A date by a pattern of `java.time`'s letters y M d E H h m s S a z Z X, English names, in the date's own zone."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        raise ExpressionError(
            f"expected a date pattern of at most {_MAX_PATTERN_CHARS} characters, found {len(pattern)}"
        )
    moment = to_moment(value)
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        part = _PART.match(pattern, position)
        if part is None:
            raise ExpressionError("expected a closing quote in the date pattern, found none")
        parts.append(_written(part, moment))
        position = part.end()
    return "".join(parts)


def _written(part: re.Match[str], moment: datetime) -> str:
    letters = part["letters"]
    if letters is None:
        return part["other"] or part["quoted"].replace("''", "'") or "'"
    field = _FIELDS.get(letters[0])
    if field is None:
        raise ExpressionError(f"expected a letter of a date pattern, found {letters[0]!r}")
    return field(moment, len(letters))


def _year(moment: datetime, width: int) -> str:
    return f"{moment.year % 100:02}" if width == 2 else str(moment.year).zfill(width)


def _month(moment: datetime, width: int) -> str:
    name = _MONTHS[moment.month - 1]
    return str(moment.month).zfill(width) if width <= 2 else name[:3] if width == 3 else name


def _weekday(moment: datetime, width: int) -> str:
    name = _DAYS[moment.weekday()]
    return name[:3] if width <= 3 else name


def _fraction(moment: datetime, width: int) -> str:
    return f"{moment.microsecond:06}"[:width].ljust(width, "0")


def _offset(moment: datetime, colon: bool) -> str:
    text = moment.strftime("%z")[:5]
    return f"{text[:3]}:{text[3:]}" if colon else text


def _zone(moment: datetime, width: int) -> str:
    if not moment.utcoffset():
        return "Z"
    return _offset(moment, width == 3)[: 3 if width == 1 else None]


def _plain(read: Callable[[datetime], int]) -> Callable[[datetime, int], str]:
    return lambda moment, width: str(read(moment)).zfill(width)


_FIELDS: Final[Mapping[str, Callable[[datetime, int], str]]] = {
    "y": _year,
    "u": _year,
    "M": _month,
    "E": _weekday,
    "d": _plain(lambda moment: moment.day),
    "D": _plain(lambda moment: date(moment.year, moment.month, moment.day).timetuple().tm_yday),
    "H": _plain(lambda moment: moment.hour),
    "h": _plain(lambda moment: moment.hour % 12 or 12),
    "m": _plain(lambda moment: moment.minute),
    "s": _plain(lambda moment: moment.second),
    "S": _fraction,
    "a": lambda moment, _width: "AM" if moment.hour < 12 else "PM",
    "X": _zone,
    "Z": lambda moment, _width: _offset(moment, False),
    "z": lambda moment, _width: moment.tzname() or "UTC",
}
