"""The validation rules of a field: they stand at the field (Flowable's modeler) or in its `params`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from forms.model.faults import Fault
from forms.model.form import NUMBERS, TEXTS
from forms.model.patterns import BadPattern, compiled

MAX_FRACTION_DIGITS: Final = 15


@dataclass(slots=True)
class Bounds:
    """What was read; None and empty where the model sets no bound."""

    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    min_value: Decimal | None = None
    max_value: Decimal | None = None
    fraction_digits: int | None = None
    min_date: date | None = None
    max_date: date | None = None


def is_expression(text: str) -> bool:
    """Tell whether a text holds an expression, which is the engine's to evaluate."""
    return "${" in text or "#{" in text


def read_bounds(found: Mapping[str, Any], kind: str, bounds: Bounds, pattern_bytes: int) -> Iterator[Fault]:
    """Fill the bounds that a type has; yields what is wrong with them, at places inside the field."""
    params = found.get("params")
    if params is not None and not isinstance(params, dict):
        yield Fault("params", "expected an object")
        params = None
    given = {**(params or {}), **{name: value for name, value in found.items() if value is not None}}
    if kind in TEXTS:
        yield from _texts(given, bounds, pattern_bytes)
    elif kind in NUMBERS:
        yield from _numbers(given, kind, bounds)
    elif kind == "date":
        yield from _dates(given, bounds)


def _texts(given: Mapping[str, Any], bounds: Bounds, pattern_bytes: int) -> Iterator[Fault]:
    for name, target in (("minLength", "min_length"), ("maxLength", "max_length")):
        try:
            setattr(bounds, target, _length(given.get(name)))
        except ValueError as error:
            yield Fault(name, str(error))
    if bounds.min_length is not None and bounds.max_length is not None and bounds.min_length > bounds.max_length:
        yield Fault("minLength", f"expected at most maxLength {bounds.max_length}, found {bounds.min_length}")
    pattern = given.get("regexPattern")
    if pattern in (None, ""):
        return
    if not isinstance(pattern, str):
        yield Fault("regexPattern", "expected text")
        return
    try:
        compiled(pattern, pattern_bytes)
    except BadPattern as error:
        yield Fault("regexPattern", str(error))
    else:
        bounds.pattern = pattern


def _numbers(given: Mapping[str, Any], kind: str, bounds: Bounds) -> Iterator[Fault]:
    for name, target in (("minValue", "min_value"), ("maxValue", "max_value")):
        try:
            setattr(bounds, target, _number(given.get(name)))
        except ValueError as error:
            yield Fault(name, str(error))
    if bounds.min_value is not None and bounds.max_value is not None and bounds.min_value > bounds.max_value:
        yield Fault("minValue", f"expected at most maxValue {bounds.max_value}, found {bounds.min_value}")
    if kind != "integer":
        try:
            digits = _length(given.get("fractionLength"))
            if digits is not None and digits > MAX_FRACTION_DIGITS:
                raise ValueError(f"expected at most {MAX_FRACTION_DIGITS}, found {digits}")
            bounds.fraction_digits = digits
        except ValueError as error:
            yield Fault("fractionLength", str(error))


def _dates(given: Mapping[str, Any], bounds: Bounds) -> Iterator[Fault]:
    for name, target in (("minDate", "min_date"), ("maxDate", "max_date")):
        text = given.get(name)
        if text in (None, ""):
            continue
        try:
            setattr(bounds, target, date.fromisoformat(str(text)))
        except ValueError:
            yield Fault(name, f"expected a day such as 2026-01-31, found '{str(text)[:40]}'")
    if bounds.min_date is not None and bounds.max_date is not None and bounds.min_date > bounds.max_date:
        yield Fault("minDate", f"expected at most maxDate {bounds.max_date}, found {bounds.min_date}")


def _length(value: Any) -> int | None:
    """A whole number that is not negative; text is taken too, for Flowable's modeler writes it."""
    number = _number(value)
    if number is None:
        return None
    if number != number.to_integral_value() or not 0 <= number <= 2**31 - 1:
        raise ValueError(f"expected a whole number from 0, found {number}")
    return int(number)


def _number(value: Any) -> Decimal | None:
    if value in (None, ""):
        return None
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("expected a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"expected a number, found '{str(value)[:40]}'") from None
    if not number.is_finite() or abs(number.adjusted()) > 308:
        raise ValueError(f"expected a number that a double can hold, found '{str(value)[:40]}'")
    return number
