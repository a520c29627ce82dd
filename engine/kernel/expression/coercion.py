"""Conversions between values by the rules of Jakarta EL (1.23), narrowed to the kernel's values.

Every function raises `ExpressionError` (without a place) for a value that cannot be converted.
"""

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import Final

from engine.kernel.expression.errors import ExpressionError
from engine.kernel.expression.exposed import Exposed, Value
from engine.kernel.expression.limits import MAX_INTEGER, MAX_NUMERAL_CHARS, MAX_RESULT_CHARS, MIN_INTEGER

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_KINDS: Final = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "double"),
    (str, "string"),
    (bytes, "binary"),
    (date, "date"),
    ((list, tuple), "list"),
    (dict, "map"),
)
_SHOWN_CHARS: Final = 40


def kind_of(value: object) -> str:
    """What a value is called in errors."""
    if value is None:
        return "null"
    if isinstance(value, Exposed):
        return f"object {value.label!r}"
    return next((word for kind, word in _KINDS if isinstance(value, kind)), "value of an unsupported type")


def shown(value: Value) -> str:
    """A value as errors quote it: its kind, and a short text itself."""
    if isinstance(value, str):
        return f"string {value[:_SHOWN_CHARS]!r}" + ("…" if len(value) > _SHOWN_CHARS else "")
    if isinstance(value, bool | float):
        return f"{kind_of(value)} {to_text(value)}"
    return kind_of(value)


def bounded_text(text: str) -> str:
    """The text itself, if it is not longer than a result may be."""
    if len(text) > MAX_RESULT_CHARS:
        raise ExpressionError(f"expected a text of at most {MAX_RESULT_CHARS} characters, found {len(text)}")
    return text


def bounded_integer(number: int) -> int:
    """The number itself, if it is a long."""
    if MIN_INTEGER <= number <= MAX_INTEGER:
        return number
    raise ExpressionError("expected a result within the range of a long, found a larger number")


def bounded_double(number: float) -> float:
    """The number itself, if it is finite: JSON knows neither infinity nor NaN."""
    if isfinite(number):
        return number
    raise ExpressionError("expected a finite result, found a number outside the range of a double")


def to_text(value: Value) -> str:
    """The text form: null is '', a date ISO 8601 (UTC as `Z`), a double as Java writes it, a list or map its JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _double_text(value)
    if isinstance(value, int):
        if value.bit_length() > MAX_NUMERAL_CHARS * 3:
            raise ExpressionError("expected a number that can be written out, found a larger one")
        return str(value)
    if isinstance(value, date):
        return date_text(value)
    if isinstance(value, list | tuple | dict):
        return _json_text(value)
    raise ExpressionError(f"expected a value that has a text form, found {kind_of(value)}")


def date_text(value: date) -> str:
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _double_text(number: float) -> str:
    size = abs(number)
    if number == 0 or 1e-3 <= size < 1e7:
        return repr(number)
    if not isfinite(number):
        return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    first, *rest = map(str, digits)
    return f"{'-' if sign else ''}{first}.{''.join(rest) or '0'}E{len(digits) + int(exponent) - 1}"


def _json_text(value: Value) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_json_member)
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionError(f"expected a value that can be written as JSON, found {kind_of(value)}") from error
    return bounded_text(text)


def _json_member(value: object) -> str:
    if isinstance(value, date):
        return date_text(value)
    raise TypeError(kind_of(value))


def to_number(value: Value) -> int | float:
    """null and '' are 0; a text is an integer, or a double if it is written as one; a boolean is no number."""
    if isinstance(value, bool):
        raise ExpressionError(f"expected a number, found {shown(value)}")
    if isinstance(value, int | float):
        return value
    if value is None or value == "":
        return 0
    if isinstance(value, str) and len(value) <= MAX_NUMERAL_CHARS:
        if _INTEGER.fullmatch(value):
            return int(value)
        if _DOUBLE.fullmatch(value):
            return float(value)
    raise ExpressionError(f"expected a number, found {shown(value)}")


def to_integer(value: Value) -> int:
    """As `to_number`; decimals are cut off, as Java does."""
    number = to_number(value)
    return number if isinstance(number, int) else int(bounded_double(number))


def to_boolean(value: Value) -> bool:
    """null and '' are false, a text is true if it says "true" in any case; a number is no boolean."""
    if value is True or value is False:
        return value
    if value is None:
        return False
    if isinstance(value, str):
        return value.lower() == "true"
    raise ExpressionError(f"expected a boolean, found {shown(value)}")


def to_moment(value: Value) -> datetime:
    """A date, or a text in ISO 8601, as an aware datetime; a day begins at midnight, no zone means UTC."""
    if isinstance(value, str):
        value = to_date(value)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ExpressionError(f"expected a date, found {shown(value)}")


def to_date(text: str) -> date:
    """A text in ISO 8601 as a date (without a time of day) or an aware datetime (with one)."""
    if len(text) <= MAX_NUMERAL_CHARS:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            is_day = len(text) <= len("2000-01-01") and ":" not in text
            return moment.date() if is_day else moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    raise ExpressionError(f"expected a date in ISO 8601, found {shown(text)}")


def is_empty(value: Value) -> bool:
    """EL's `empty`: null, an empty text, list or map."""
    return value is None or (isinstance(value, str | list | tuple | dict) and len(value) == 0)
