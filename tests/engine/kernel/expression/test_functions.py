"""`variables:`, `date:` and `task:`."""

from datetime import date
from typing import Any

import pytest

from engine.kernel.expression import ExpressionError
from tests.engine.kernel.expression.world import NOW, value_of


@pytest.mark.parametrize("prefix", ["variables", "vars", "var"])
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("get(amount)", 150),
        ("get('amount')", 150),
        ("get(absent)", None),
        ("getOrDefault(absent, 1)", 1),
        ("getOrDefault(nothing, 1)", 1),
        ("getOrDefault(amount, 1)", 150),
        ("contains(colours, 'red')", True),
        ("contains(colours, 'red', 'blue')", False),
        ("contains(colours, ['red', 'green'])", True),
        ("contains(name, 'A', 'd')", True),
        ("contains(absent, 'x')", False),
        ("containsAny(colours, 'blue', 'red')", True),
        ("containsAny(colours, 'blue')", False),
        ("containsAny(absent, 'blue')", False),
        ("equals(amount, 150)", True),
        ("eq(amount, 150.0)", True),
        ("eq(amount, '150')", False),
        ("equals(absent, null)", True),
        ("notEquals(amount, 1)", True),
        ("getOrDefaultIfNotExist(absent, 7)", 7),
        ("getOrDefaultIfNotExist(nothing, 7)", None),
        ("ne(absent, 1)", False),
        ("ne(absent, null)", False),
        ("contains(amount, 1)", False),
        ("containsAny(amount, 1)", False),
        ("isEmpty(amount)", False),
        ("exists(amount)", True),
        ("exists(absent)", False),
        ("exists(nothing)", False),
        ("isEmpty(blank)", True),
        ("empty(absent)", True),
        ("isNotEmpty(colours)", True),
        ("notEmpty(nothing)", False),
        ("lowerThan(amount, 151)", True),
        ("lessThan(amount, 150)", False),
        ("lt(absent, 1)", False),
        ("lowerThanOrEquals(amount, 150)", True),
        ("lessThanOrEquals(amount, 149)", False),
        ("lte(nothing, 1)", False),
        ("greaterThan(amount, 149.5)", True),
        ("gt(amount, null)", False),
        ("greaterThanOrEquals(amount, 150)", True),
        ("gte(absent, 0)", False),
        ("base64(picture)", "AAE="),
        ("base64(name)", "QWRh"),
        ("base64(absent)", None),
    ],
)
def test_variable_function_asks_without_failing_on_a_missing_variable(prefix: str, call: str, expected: Any) -> None:
    value = value_of(f"${{{prefix}:{call}}}")

    assert value == expected
    assert type(value) is type(expected)


def test_variable_function_takes_a_computed_name() -> None:
    assert value_of("${vars:get('am'.concat('ount'))}") == 150


@pytest.mark.parametrize(
    "call",
    [
        "vars:get(1)",
        "vars:get(order.price)",
        "vars:lt(colours, 1)",
        "task:get('t2')",
        "task:get(1)",
    ],
)
def test_function_refuses_arguments_that_do_not_suit(call: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected .*, found"):
        value_of(f"${{{call}}}")


def test_function_on_a_root_that_is_no_variable_sees_no_variable() -> None:
    assert value_of("${vars:exists(execution)}") is False


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("date:now()", NOW),
        ("date:format(due)", "2026-03-05T00:00:00Z"),
        ("date:format(day)", "2026-03-05"),
        ("date:format(nothing)", None),
        ("date:format(due, 'dd.MM.yyyy HH:mm')", "05.03.2026 00:00"),
        ("date:format(date:now(), \"yy-M-d h:m:s.SSS a 'o''clock' XXX\")", "26-3-4 5:6:7.089 AM o'clock Z"),
        (
            "date:format('2026-03-05T10:00:00+02:00', 'EEE EEEE MMM MMMM D XXX X Z')",
            "Thu Thursday Mar March 64 +02:00 +02 +0200",
        ),
        ("date:toDate('2026-03-05')", date(2026, 3, 5)),
    ],
)
def test_date_function_formats_and_reads(call: str, expected: Any) -> None:
    assert value_of(f"${{{call}}}") == expected


@pytest.mark.parametrize(
    "call",
    [
        "date:format(amount)",
        "date:format('soon')",
        "date:format(due, 'QQ')",
        "date:format(due, 'open \\'')",
        "date:toDate('x')",
    ],
)
def test_date_function_refuses_what_is_no_date_or_pattern(call: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected .*, found"):
        value_of(f"${{{call}}}")
