"""Conversion of mapped values to a type that the mapping names (Flowable's `targetType` and `sourceType`)."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from datetime import time as time_of_day
from typing import Any, Final

import msgspec

from engine.kernel.durations import parse_duration
from engine.kernel.expression.coercion import to_boolean, to_integer, to_moment, to_number, to_text
from engine.kernel.expression.errors import ExpressionError
from engine.kernel.values import BOOLEAN, DATE, DOUBLE, INTEGER, JSON, LONG, NULL, STRING, Value, Variable


def converted(kind: str, value: Value, now: datetime) -> Variable:
    """The value as a variable of one of `KINDS`; null stays null. Raises ValueError for what does not fit."""
    if value is None:
        return Variable(NULL, None)
    stored, convert = KINDS[kind.lower()]
    try:
        return Variable(stored, convert(value, now))
    except (ExpressionError, TypeError, ValueError, OverflowError, msgspec.DecodeError) as error:
        raise ValueError(f"expected a value that becomes {kind}, found {value!r}") from error


def _moment(value: Value, now: datetime) -> datetime:
    """A date or date-time; a period (P10D) is counted from now."""
    if isinstance(value, str) and value.strip().startswith("P"):
        return parse_duration(value).after(now)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time_of_day(), tzinfo=now.tzinfo)
    return to_moment(value)


def _day(value: Value, now: datetime) -> datetime:
    return datetime.combine(_moment(value, now), time_of_day(), tzinfo=now.tzinfo)


def _json(value: Value, now: datetime) -> Any:
    del now
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _array(value: Value, now: datetime) -> list[Any]:
    found = _json(value, now)
    if not isinstance(found, list | tuple):
        raise TypeError("no array")
    return list(found)


def _whole(value: Value, now: datetime) -> int:
    del now
    return int(to_number(value)) if isinstance(value, float) else to_integer(value)


KINDS: Final[Mapping[str, tuple[str, Callable[[Value, datetime], Value]]]] = {
    "string": (STRING, lambda value, _: to_text(value)),
    "integer": (INTEGER, _whole),
    "long": (LONG, _whole),
    "double": (DOUBLE, lambda value, _: float(to_number(value))),
    "boolean": (BOOLEAN, lambda value, _: to_boolean(value)),
    "date": (DATE, _moment),
    "localdate": (DATE, _day),
    "json": (JSON, _json),
    "array": (JSON, _array),
}
"""By name: the type of the variable, and how a value becomes one. A local date is the beginning of its day."""
