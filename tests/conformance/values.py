"""JSON values of a case and variables of the API: how one becomes the other, and when two are equal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

MAX_EXACT: Final = 2**53 - 1
"""Beyond this a number of JSON loses digits, so the API takes and gives longs as text."""

Json = Any


def same(expected: Json, found: Json) -> bool:
    """Tell whether two JSON values are equal in value and JSON type: 1 is 1.0, but neither `true` nor "1"."""
    if isinstance(expected, bool) or isinstance(found, bool):
        return isinstance(expected, bool) and isinstance(found, bool) and expected == found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return expected == found
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return expected.keys() == found.keys() and all(same(expected[key], found[key]) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        return len(expected) == len(found) and all(map(same, expected, found))
    return type(expected) is type(found) and bool(expected == found)


def as_variables(values: Mapping[str, Json], scope: str = "") -> list[dict[str, Json]]:
    """Return a case's variables as the API takes them, typed only where JSON alone does not say the type."""
    return [_variable(name, value, scope) for name, value in values.items()]


def _variable(name: str, value: Json, scope: str) -> dict[str, Json]:
    variable: dict[str, Json] = {"name": name, "value": value}
    if isinstance(value, dict | list):
        variable["type"] = "json"
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_EXACT:
        variable |= {"type": "long", "value": str(value)}
    if scope:
        variable["scope"] = scope
    return variable


def from_variables(variables: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return variables of the API as name and value; the first of a name counts, since inner scopes come first."""
    values: dict[str, Json] = {}
    for variable in variables:
        values.setdefault(str(variable.get("name", "")), value_of(variable))
    return values


def value_of(variable: Mapping[str, Json]) -> Json:
    """Return one variable's value; a long that came as text is a number again."""
    value = variable.get("value")
    if variable.get("type") == "long" and isinstance(value, str):
        return int(value)
    return value


def moment(text: str) -> datetime:
    """Read an ISO 8601 date and time, UTC where it tells no offset. Raises ValueError."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def shown(value: Json) -> str:
    """Return a value as it is printed in a failure: JSON on one line, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str, sort_keys=isinstance(value, dict))
    return text if len(text) <= 300 else text[:299] + "…"
