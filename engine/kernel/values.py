"""Variable values and their types.

A value is plain Python: None, bool, int, float, str, bytes, aware datetime, or JSON-like lists and dicts. A variable
keeps its declared type beside the value, as Flowable does, so that a `long` stays a `long` however small it is.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

import msgspec

Value: TypeAlias = Any
"""None | bool | int | float | str | bytes | datetime | list[Value] | dict[str, Value]."""

STRING: Final = "string"
INTEGER: Final = "integer"
LONG: Final = "long"
DOUBLE: Final = "double"
BOOLEAN: Final = "boolean"
DATE: Final = "date"
JSON: Final = "json"
BINARY: Final = "binary"
NULL: Final = "null"
TYPES: Final = (STRING, INTEGER, LONG, DOUBLE, BOOLEAN, DATE, JSON, BINARY, NULL)

INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1


class Variable(msgspec.Struct, frozen=True, gc=False):
    """A typed value: `type` is one of `TYPES`, `value` what that type holds."""

    type: str
    value: Value


def type_of(value: Value) -> str:
    """The type a value gets when nobody declared one (Flowable infers it the same way).

    Raises TypeError for what is not a value.
    """
    found: str | None = None
    if value is None:
        found = NULL
    elif isinstance(value, bool):
        found = BOOLEAN
    elif isinstance(value, int):
        found = INTEGER if INT32_MIN <= value <= INT32_MAX else LONG
    elif isinstance(value, float):
        found = DOUBLE
    elif isinstance(value, str):
        found = STRING
    elif isinstance(value, date):
        found = DATE
    elif isinstance(value, bytes):
        found = BINARY
    elif isinstance(value, list | tuple | dict):
        found = JSON
    if found is None:
        raise TypeError(f"expected a variable value, found {type(value).__name__}")
    return found


def variable_of(value: Value) -> Variable:
    """A variable of the inferred type. Raises TypeError for what is not a value."""
    if isinstance(value, Variable):
        return value
    return Variable(type_of(value), value)


def variables_of(values: Mapping[str, Value]) -> dict[str, Variable]:
    """Variables by name, each of its inferred type unless it is a `Variable` already."""
    return {name: variable_of(value) for name, value in values.items()}


def parse_datetime(text: str) -> datetime:
    """An ISO 8601 date or date-time; without an offset it is UTC (Flowable's REST says so too). Raises ValueError."""
    found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
