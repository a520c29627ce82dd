"""JSON values are equal only in value and type, and travel as the API wants them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.values import as_variables, from_variables, moment, same


@pytest.mark.parametrize(
    ("expected", "found"),
    [(1, 1.0), (True, True), ("a", "a"), (None, None), ([1, {"a": None}], [1.0, {"a": None}]), ({}, {}), ([], [])],
)
def test_equal_values_of_one_json_type_are_the_same(expected: Any, found: Any) -> None:
    assert same(expected, found)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, True),
        (0, False),
        (False, 0),
        (1, "1"),
        ("true", True),
        (None, False),
        (None, ""),
        ([], {}),
        ([1], [1, 1]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": True}),
        (0.1, 0.2),
    ],
)
def test_other_values_or_types_are_not(expected: Any, found: Any) -> None:
    assert not same(expected, found)


def test_variables_are_typed_only_where_json_does_not_say_the_type() -> None:
    sent = as_variables({"a": 1, "b": [1], "c": 2**60, "d": None, "e": True})

    assert sent == [
        {"name": "a", "value": 1},
        {"name": "b", "value": [1], "type": "json"},
        {"name": "c", "value": "1152921504606846976", "type": "long"},
        {"name": "d", "value": None},
        {"name": "e", "value": True},
    ]


def test_a_scope_goes_with_each_variable() -> None:
    assert as_variables({"a": 1}, "local") == [{"name": "a", "value": 1, "scope": "local"}]


def test_the_first_variable_of_a_name_counts_and_long_text_is_a_number() -> None:
    found = from_variables(
        [
            {"name": "a", "type": "long", "value": "1152921504606846976"},
            {"name": "a", "value": "outer"},
            {"name": "n", "type": "null"},
            {"name": "s", "type": "string", "value": "12"},
        ]
    )

    assert found == {"a": 2**60, "n": None, "s": "12"}


def test_moments_are_compared_across_offsets() -> None:
    assert moment("1986-07-06T12:10:00Z") == moment("1986-07-06T14:10:00.000+02:00") == moment("1986-07-06T12:10:00")
