"""One submitted value against its field: checked, and converted to what the process gets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from forms.model.form import Field
from forms.model.patterns import matches

STRING, INTEGER, LONG, DOUBLE, BOOLEAN, DATE, NULL = "string", "integer", "long", "double", "boolean", "date", "null"

INT32: Final = 2**31
INT64: Final = 2**63
SIGNIFICANT_DIGITS: Final = 15
"""Decimal digits that a double holds whatever the number is (IEEE 754: DBL_DIG)."""
MAX_ID: Final = 255
MAX_DIGITS: Final = 400
LINK_SCHEMES: Final = frozenset({"", "http", "https", "mailto"})
_DIGITS: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)


class Unfit(Exception):
    """A value that does not fit its field; the text says what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A variable's type, as the engine's contract names it, and its plain value."""

    type: str
    value: str | int | float | bool | datetime | None


NOTHING: Final = TypedValue(NULL, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for one field in one submission: the model's word, or the evaluated one."""

    field: Field
    required: bool
    read_only: bool
    ignored: bool
    options: tuple[tuple[str, str], ...]
    """Id and name of each choice; the id is empty where the model names it only."""
    pattern_bytes: int


def is_nothing(value: Any) -> bool:
    """Tell whether a submitted value says that there is none: null, empty text, an empty list."""
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def convert(rules: Rules, value: Any) -> TypedValue:
    """Return what the process gets for a value that is not nothing. Raises Unfit."""
    return _CONVERTERS[rules.field.type](rules, value)


def _text(rules: Rules, value: Any) -> TypedValue:
    if not isinstance(value, str):
        raise Unfit(f"expected text, found {_said(value)}")
    field = rules.field
    # A password's length may be told, its letters never.
    found = f"{len(value)} characters"
    if field.min_length is not None and len(value) < field.min_length:
        raise Unfit(f"expected at least {field.min_length} characters, found {found}")
    if field.max_length is not None and len(value) > field.max_length:
        raise Unfit(f"expected at most {field.max_length} characters, found {found}")
    if field.pattern and not matches(field.pattern, value, rules.pattern_bytes):
        said = found if field.type == "password" else _said(value)
        raise Unfit(f"expected text that matches {field.pattern}, found {said}")
    return TypedValue(STRING, value)


def _hyperlink(rules: Rules, value: Any) -> TypedValue:
    typed = _text(rules, value)
    try:
        scheme = urlsplit(str(value).strip()).scheme
    except ValueError:
        scheme = "?"
    # Whoever shows the link would run what a javascript: link says.
    if scheme not in LINK_SCHEMES:
        raise Unfit(f"expected a link of http, https or mailto, found {_said(value)}")
    return typed


def _integer(rules: Rules, value: Any) -> TypedValue:
    number = _whole(value)
    _check_range(rules.field, Decimal(number))
    return TypedValue(INTEGER if -INT32 <= number < INT32 else LONG, number)


def _whole(value: Any) -> int:
    if isinstance(value, str):
        text = value.strip()
        if not _DIGITS.fullmatch(text):
            raise Unfit(f"expected a whole number, found {_said(value)}")
        number = int(text)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"expected a whole number, found {_said(value)}")
    elif isinstance(value, float):
        if not value.is_integer():  # nor are NaN and the infinities
            raise Unfit(f"expected a whole number, found {_said(value)}")
        number = int(value)
    else:
        number = value
    if not -INT64 <= number < INT64:
        raise Unfit(f"expected a whole number of 64 bits, found {_said(value)}")
    return number


def _decimal(rules: Rules, value: Any) -> TypedValue:
    number = _exact(value)
    digits = len(number.normalize().as_tuple().digits)
    if digits > SIGNIFICANT_DIGITS:
        raise Unfit(f"expected at most {SIGNIFICANT_DIGITS} significant digits, found {digits}")
    places = rules.field.fraction_digits
    exponent = number.normalize().as_tuple().exponent
    if places is not None and isinstance(exponent, int) and -exponent > places:
        raise Unfit(f"expected at most {places} digits after the point, found {-exponent}")
    _check_range(rules.field, number)
    found = float(number)
    if not math.isfinite(found):
        raise Unfit(f"expected a number that a double can hold, found {_said(value)}")
    return TypedValue(DOUBLE, found)


def _exact(value: Any) -> Decimal:
    """The number as it was written: the shortest text of a double is what the client wrote."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unfit(f"expected a number, found {_said(value)}")
    text = value.strip() if isinstance(value, str) else repr(value)
    if len(text) > MAX_DIGITS or not _DECIMAL.fullmatch(text):
        raise Unfit(f"expected a number, found {_said(value)}")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Unfit(f"expected a number, found {_said(value)}") from None


def _check_range(field: Field, number: Decimal) -> None:
    if field.min_value is not None and number < field.min_value:
        raise Unfit(f"expected at least {field.min_value}, found {number}")
    if field.max_value is not None and number > field.max_value:
        raise Unfit(f"expected at most {field.max_value}, found {number}")


def _boolean(rules: Rules, value: Any) -> TypedValue:
    del rules
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return TypedValue(BOOLEAN, value.strip().lower() == "true")
    if not isinstance(value, bool):
        raise Unfit(f"expected true or false, found {_said(value)}")
    return TypedValue(BOOLEAN, value)


def _date(rules: Rules, value: Any) -> TypedValue:
    if not isinstance(value, str):
        raise Unfit(f"expected a day such as 2026-01-31, found {_said(value)}")
    day = _day(value.strip())
    field = rules.field
    if field.min_date is not None and day < field.min_date:
        raise Unfit(f"expected a day not before {field.min_date}, found {day}")
    if field.max_date is not None and day > field.max_date:
        raise Unfit(f"expected a day not after {field.max_date}, found {day}")
    return TypedValue(DATE, datetime.combine(day, time(), UTC))


def _day(text: str) -> date:
    """The day that an ISO text names; with a time, the day in the text's own zone."""
    try:
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text)
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise Unfit(f"expected a day such as 2026-01-31, found {_said(text)}") from None


def _choice(rules: Rules, value: Any) -> TypedValue:
    wanted = _named(value)
    for option_id, name in rules.options:
        if wanted and wanted == (option_id or name):
            return TypedValue(STRING, wanted)
    for option_id, name in rules.options:
        if wanted and wanted == name:
            return TypedValue(STRING, option_id or name)
    offered = ", ".join(option_id or name for option_id, name in rules.options[:20])
    more = ", …" if len(rules.options) > 20 else ""
    raise Unfit(
        f"expected one of {offered}{more}, found {_said(value)}" if offered else "expected no value: no options"
    )


def _identity(rules: Rules, value: Any) -> TypedValue:
    del rules
    found = _named(value)
    if not 0 < len(found) <= MAX_ID:
        raise Unfit(f"expected an id of 1 to {MAX_ID} characters, found {_said(value)}")
    return TypedValue(STRING, found)


def _upload(rules: Rules, value: Any) -> TypedValue:
    del rules
    found = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    ids = [_named(each).strip() for each in found]
    if not all(0 < len(each) <= MAX_ID and "," not in each for each in ids):
        raise Unfit(f"expected ids of uploaded content, found {_said(value)}")
    # As Flowable keeps several: one text with commas.
    return TypedValue(STRING, ",".join(ids))


def _named(value: Any) -> str:
    """The id that a text is, or that an object has (clients send whole options, users and groups)."""
    if isinstance(value, dict):
        value = value.get("id") or value.get("name")
    return value if isinstance(value, str) else ""


def _said(value: Any) -> str:
    """What was found, short enough for a message."""
    if isinstance(value, str):
        return f"'{value if len(value) <= 40 else value[:40] + '…'}'"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)[:40]
    return "a list" if isinstance(value, list) else "an object"


_CONVERTERS: Final[Mapping[str, Callable[[Rules, Any], TypedValue]]] = MappingProxyType(
    {
        "text": _text,
        "multi-line-text": _text,
        "password": _text,
        "hyperlink": _hyperlink,
        "integer": _integer,
        "decimal": _decimal,
        "amount": _decimal,
        "boolean": _boolean,
        "date": _date,
        "dropdown": _choice,
        "radio-buttons": _choice,
        "people": _identity,
        "functional-group": _identity,
        "upload": _upload,
    }
)
