"""Variable values as columns: JSON for reading, a text and a number for comparing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from history.model.records import Value
from mesh.db.types import moment_of_text, text_of_moment

TEXT_VALUE_LENGTH: Final = 255
"""How much of a string can be compared by an index."""
BINARY: Final = "binary"
DATE: Final = "date"

_json: Final = msgspec.json.Encoder()


class Encoded(NamedTuple):
    """The columns value, bytes, text_value and number_value."""

    value: str
    bytes: bytes | None
    text_value: str | None
    number_value: float | None


def encode(type_name: str, value: Value) -> Encoded:
    """Turn a value into columns."""
    if value is None:
        return Encoded("null", None, None, None)
    if isinstance(value, bytes):
        return Encoded("", value, None, None)
    if isinstance(value, datetime):
        text = text_of_moment(value)
        return Encoded(f'"{text}"', None, moment_text(value), float(milliseconds_of(value)))
    if type_name == "json":
        return Encoded(_json.encode(value).decode(), None, None, None)
    if isinstance(value, bool):
        word = "true" if value else "false"
        return Encoded(word, None, word, float(value))
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            word = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
            return Encoded(f'"{word}"', None, word, None)
        return Encoded(repr(value), None, number_text(value), float(value))
    return Encoded(_json.encode(value).decode(), None, str(value)[:TEXT_VALUE_LENGTH], None)


def decode(type_name: str, value: str, held: bytes | None) -> Value:
    """Turn columns back into the value; bytes that were not read along are empty."""
    if type_name == BINARY:
        return held or b""
    found = msgspec.json.decode(value)
    if found is None or type_name in ("string", "json"):
        return found
    if type_name == DATE:
        return moment_of_text(found)
    if type_name == "double":
        return float(found)
    return found


def number_text(value: float) -> str:
    """The shortest decimal form: 5 for 5 and for 5.0, 2.5 for 2.5."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    return repr(value)


def moment_text(value: datetime) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds_of(value: datetime) -> int:
    """Milliseconds since 1970."""
    return round(value.timestamp() * 1000)
