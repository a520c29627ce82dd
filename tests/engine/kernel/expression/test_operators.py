"""Operators, coercion and precedence."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.kernel.expression import ExpressionError
from tests.engine.kernel.expression.world import value_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${1 + 2 * 3}", 7),
        ("${(1 + 2) * 3}", 9),
        ("${10 - 3 - 2}", 5),
        ("${2 * 3 % 4}", 2),
        ("${-2 - -3}", 1),
        ("${- amount}", -150),
        ("${6 / 2}", 3.0),
        ("${3 div 5}", 0.6),
        ("${7 mod 3}", 1),
        ("${-7 % 3}", -1),
        ("${7.5 % 2}", 1.5),
        ("${'2' + 3}", 5),
        ("${'2.5' + 3}", 5.5),
        ("${'2' * '3'}", 6),
        ("${null + null}", 0),
        ("${nothing + 1}", 1),
        ("${blank + 1}", 1),
        ("${1e3}", 1000.0),
        ("${.5 + 1.}", 1.5),
        ("${!true == false}", True),
        ("${1 < 2 == true}", True),
        ("${false && true || true}", True),
        ("${true || false && false}", True),
        ("${not empty colours and true}", True),
        ("${empty order == false}", True),
        ("${true ? false : true ? 1 : 2}", False),
    ],
)
def test_arithmetic_follows_precedence_and_coercion(text: str, expected: Any) -> None:
    value = value_of(text)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${1 == 1.0}", True),
        ("${'1' == 1}", True),
        ("${numeral eq 12}", True),
        ("${numeral > 9}", True),
        ("${'12' > '9'}", False),
        ("${'b' gt 'a'}", True),
        ("${true == 'TRUE'}", True),
        ("${true == 'yes'}", False),
        ("${null == null}", True),
        ("${nothing == 0}", False),
        ("${nothing != 'x'}", True),
        ("${nothing < 1}", False),
        ("${nothing >= 1}", False),
        ("${nothing <= null}", True),
        ("${nothing < null}", False),
        ("${[1, true] == [1.0, true]}", True),
        ("${[1] == [true]}", False),
        ("${{'a': [1]} == {'a': [1]}}", True),
        ("${colours == 'red'}", False),
        ("${due > '2026-03-04T23:59:59Z'}", True),
        ("${due == '2026-03-05T01:00:00+01:00'}", True),
        ("${due == day}", True),
        ("${due == 'soon'}", False),
        ("${date:now() lt due}", True),
        ("${false < true}", True),
        ("${nothing && true}", False),
        ("${'true' && true}", True),
        ("${'true' or amount}", True),
        ("${!nothing}", True),
        ("${!'x'}", True),
    ],
)
def test_comparison_and_logic_follow_the_rules_of_el(text: str, expected: bool) -> None:
    assert value_of(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "${'a' + 1}",
        "${name + 'x'}",
        "${colours + 1}",
        "${true + 1}",
        "${1 == 'a'}",
        "${true == 1}",
        "${1 < 'x'}",
        "${colours < order}",
        "${due < 'soon'}",
        "${amount && true}",
        "${amount ? 1 : 2}",
        "${!amount}",
        "${-name}",
        "${1 / 0}",
        "${1.0 / 0.0}",
        "${1 % 0}",
        "${1 / nothing}",
        "${colours.red}",
        "${colours[0.5]}",
        "${name.first}",
        "${amount.value}",
        "text ${picture}",
        "text ${execution}",
    ],
)
def test_what_cannot_be_converted_is_an_error_that_says_what_was_expected_and_found(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected .*, found") as raised:
        value_of(text)

    assert raised.value.text == text
    assert raised.value.position is not None


def test_error_points_at_the_operator_that_failed() -> None:
    with pytest.raises(ExpressionError) as raised:
        value_of("sum: ${1 + (2 - name)}")

    assert raised.value.position == len("sum: ${1 + (2 ")


@pytest.mark.parametrize(
    "text", ["${false && absent}", "${true || absent}", "${true ? 1 : absent}", "${false ? absent : 1}"]
)
def test_the_side_that_does_not_matter_is_not_evaluated(text: str) -> None:
    assert value_of(text) in (False, True, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (12, "12"),
        (5.0, "5.0"),
        (12345678.0, "1.2345678E7"),
        (0.0001, "1.0E-4"),
        (-1e100, "-1.0E100"),
        ([1, "a", None], '[1,"a",null]'),
        ({"a": {"b": 1.5}}, '{"a":{"b":1.5}}'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        ([datetime(2026, 1, 2, tzinfo=UTC)], '["2026-01-02T00:00:00Z"]'),
    ],
)
def test_value_within_text_is_written_in_its_text_form(value: Any, text: str) -> None:
    assert value_of("<${x}>", x=value) == f"<{text}>"
