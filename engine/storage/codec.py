"""Values as the tables keep them: JSON beside the declared type, and the columns by which they are found."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.kernel.values import (
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    LONG,
    NULL,
    STRING,
    Value,
    Variable,
    parse_datetime,
)

TEXT_VALUE_LENGTH: Final = 255
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_NUMBERS: Final = (INTEGER, LONG, DOUBLE)


def to_json(value: Any) -> str:
    """Spell a value as JSON. Bytes become base64, moments ISO 8601 text."""
    return _encode(value).decode()


def from_json(text: str | bytes) -> Any:
    """Read JSON."""
    return _decode(text)


def encode_value(kind: str, value: Value) -> str:
    """Spell a variable's value as JSON; what JSON has no number for (NaN, infinity, more than 64 bits) as text."""
    if kind == STRING and value.__class__ is str:
        return _encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return _encode(repr(value)).decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _encode(str(value)).decode()
    return _encode(value).decode()


def decode_value(kind: str, text: str) -> Value:
    """Read what `encode_value` spelled, as the type holds it."""
    value = _decode(text)
    return restore(kind, value)


def restore(kind: str, value: Value) -> Value:
    """Give a value that went through JSON the class that its type holds."""
    if value is None or kind == STRING:
        return value
    if kind == DATE and isinstance(value, str):
        return parse_datetime(value)
    if kind == BINARY and isinstance(value, str):
        return b64decode(value)
    if kind == DOUBLE and isinstance(value, int | str):
        return float(value)
    if kind in (INTEGER, LONG) and isinstance(value, str | float):
        return int(value)
    return value


def columns_of(kind: str, value: Value) -> tuple[str | None, float | None]:
    """What queries compare: `text_value` and `number_value` of the variable table."""
    if value is None or kind == NULL:
        return None, None
    if kind == STRING:
        return (value[:TEXT_VALUE_LENGTH] if isinstance(value, str) else None), None
    if kind == BOOLEAN:
        return ("true", 1.0) if value else ("false", 0.0)
    if kind in _NUMBERS and isinstance(value, int | float):
        return number_text(value), _finite(value)
    if kind == DATE and isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z"), round(moment.timestamp() * 1000)
    return None, None


def number_text(value: float) -> str:
    """The shortest decimal form: `5` for 5 and 5.0, `2.5`, `1E+30`."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return repr(value)
        if not value.is_integer() or abs(value) >= 2**53:
            return str(Decimal(repr(value)).normalize())
    return str(int(value))[:TEXT_VALUE_LENGTH]


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def encode_variables(variables: Mapping[str, Variable]) -> str:
    """Spell variables by name as JSON, with their types."""
    return to_json({name: [v.type, from_json(encode_value(v.type, v.value))] for name, v in variables.items()})


def decode_variables(text: str) -> dict[str, Variable]:
    """Read what `encode_variables` spelled."""
    return {name: Variable(kind, restore(kind, value)) for name, (kind, value) in _decode(text).items()}


def decode_payload(text: str) -> dict[str, Value]:
    """Read a job's payload; the typed values of a worker's parked result get their classes back."""
    if text == "{}":
        return {}
    payload: dict[str, Value] = _decode(text)
    parked = payload.get("parked")
    if isinstance(parked, dict) and isinstance(parked.get("variables"), dict):
        parked["variables"] = {
            name: [kind, restore(kind, value)] for name, (kind, value) in parked["variables"].items()
        }
    return payload
