"""Values keep their types through the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from engine.kernel.values import Variable
from engine.storage.codec import (
    columns_of,
    decode_payload,
    decode_value,
    decode_variables,
    encode_value,
    encode_variables,
    number_text,
    to_json,
)

MOMENT = datetime(2026, 1, 31, 23, 59, 59, 123456, tzinfo=UTC)
SAMPLES: list[tuple[str, Any]] = [
    ("string", "x"),
    ("string", 'quotes " and \\ and é and 🐸 and \n'),
    ("integer", -1),
    ("long", 2**62),
    ("long", 2**80),
    ("double", 1.0),
    ("double", 0.1),
    ("double", float("inf")),
    ("boolean", True),
    ("date", MOMENT),
    ("json", {"a": [1, None, {"b": "c"}]}),
    ("binary", bytes(range(256))),
    ("null", None),
    ("string", None),
]


@pytest.mark.parametrize(("kind", "value"), SAMPLES)
def test_a_value_is_read_back_as_it_was(kind: str, value: Any) -> None:
    found = decode_value(kind, encode_value(kind, value))

    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_back_as_such() -> None:
    found = decode_value("double", encode_value("double", float("nan")))

    assert found != found


def test_typed_variables_keep_their_types() -> None:
    variables = {kind: Variable(kind, value) for kind, value in SAMPLES}

    assert decode_variables(encode_variables(variables)) == variables


@pytest.mark.parametrize(
    ("kind", "value", "text", "number"),
    [
        ("string", "x" * 300, "x" * 255, None),
        ("integer", 5, "5", 5.0),
        ("double", 5.0, "5", 5.0),
        ("double", 2.5, "2.5", 2.5),
        ("boolean", False, "false", 0.0),
        ("date", MOMENT.astimezone(timezone(timedelta(hours=2))), "2026-01-31T23:59:59.123456Z", 1769903999123),
        ("json", {"a": 1}, None, None),
        ("null", None, None, None),
        ("long", 10**400, "1" + "0" * 254, None),
    ],
)
def test_queries_find_a_value_by_its_columns(kind: str, value: Any, text: str | None, number: float | None) -> None:
    assert columns_of(kind, value) == (text, number)


def test_equal_numbers_have_equal_texts() -> None:
    assert number_text(1e3) == number_text(1000) == "1000"
    assert number_text(1.50) == "1.5"


def test_a_parked_result_keeps_its_types() -> None:
    payload = {"parked": {"variables": {"when": ["date", MOMENT], "data": ["binary", b"\x00"], "n": ["integer", 1]}}}

    assert decode_payload(to_json(payload)) == payload
