"""Typed values as the JSON that is kept: `{"amount": {"type": "double", "value": 12.5}}`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from forms.model.values import DATE, TypedValue


def write_typed(values: Mapping[str, TypedValue]) -> str:
    """Return the JSON."""
    return msgspec.json.encode(values).decode()


def read_typed(text: str) -> dict[str, TypedValue]:
    """Return the values of JSON that `write_typed` made."""
    found: dict[str, dict[str, Any]] = msgspec.json.decode(text)
    return {name: _value(each["type"], each["value"]) for name, each in found.items()}


def _value(kind: str, value: Any) -> TypedValue:
    # JSON has no dates and does not tell 1.0 from 1.
    if kind == DATE:
        return TypedValue(kind, datetime.fromisoformat(value))
    return TypedValue(kind, float(value) if kind == "double" else value)
