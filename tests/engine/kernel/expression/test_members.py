"""Methods of plain values."""

from typing import Any

import pytest

from engine.kernel.expression import ExpressionError
from tests.engine.kernel.expression.world import value_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name.length()", 3),
        ("name.isEmpty()", False),
        ("' '.isBlank()", True),
        ("name.contains('d')", True),
        ("name.startsWith('A')", True),
        ("name.endsWith('A')", False),
        ("name.equals('Ada')", True),
        ("name.equalsIgnoreCase('aDA')", True),
        ("name.toUpperCase()", "ADA"),
        ("name.toLowerCase()", "ada"),
        ("'  x '.trim()", "x"),
        ("name.substring(1)", "da"),
        ("name.substring(1, 2)", "d"),
        ("name.indexOf('a')", 2),
        ("name.lastIndexOf('x')", -1),
        ("'abcabc'.lastIndexOf('bc')", 4),
        ("name.lastIndexOf('')", 3),
        ("name.replace('d', 'nn')", "Anna"),
        ("'a,b,,'.split(',')", ["a", "b"]),
        ("'a.b.c'.split('.', 2)", ["a", "b.c"]),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("name.concat('!')", "Ada!"),
        ("name.charAt(0)", "A"),
        ("name.toString()", "Ada"),
        ("name.compareTo('Adb')", -1),
        ("'12'.asInt()", 12),
        ("'x'.asInt()", 0),
        ("colours.size()", 2),
        ("colours.isEmpty()", False),
        ("colours.contains('red')", True),
        ("colours.containsAll(['red', 'blue'])", False),
        ("colours.get(1)", "green"),
        ("colours.indexOf('green')", 1),
        ("order.size()", 4),
        ("order.get('price')", 200),
        ("order.get('absent')", None),
        ("order.getOrDefault('absent', 3)", 3),
        ("order.containsKey('note')", True),
        ("order.containsValue(200)", True),
        ("order.keySet()", ["price", "lines", "customer", "note"]),
        ("order.customer.values()", ["Bo"]),
        ("order.path('customer').path('name').asText()", "Bo"),
        ("order.path('absent').path('name').asText()", ""),
        ("order.path('absent').isMissingNode()", True),
        ("order.path('lines').path(0).path('sku').textValue()", "a"),
        ("order.price.intValue()", 200),
        ("order.has('price')", True),
        ("amount.toString()", "150"),
        ("amount.doubleValue()", 150.0),
        ("amount.equals(150)", True),
        ("amount.compareTo(151)", -1),
        ("1.9.intValue()", 1),
        ("approved.toString()", "true"),
        ("due.getTime()", 1772668800000),
        ("due.time", 1772668800000),
        ("due.toString()", "2026-03-05T00:00:00Z"),
        ("due.getYear()", 2026),
        ("due.isAfter(day)", False),
        ("due.before('2027-01-01')", True),
        ("order.customer['name'].length()", 2),
    ],
)
def test_method_gives_what_its_java_namesake_gives(text: str, expected: Any) -> None:
    value = value_of(f"${{{text}}}")

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        "name.format()",
        "name.matches('a+')",
        "name.substring(9)",
        "name.substring(2, 1)",
        "name.charAt(3)",
        "name.charAt('x')",
        "name.length(1)",
        "name.contains()",
        "name.contains(picture)",
        "colours.get(2)",
        "colours.append(1)",
        "nothing.length()",
        "order.getAbsent()",
        "order.getPrice(1)",
        "amount.bit_length()",
        "picture.decode()",
        "picture.toString()",
        "due.strftime('%Y')",
    ],
)
def test_any_other_method_or_argument_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected .*, found"):
        value_of(f"${{{text}}}")


@pytest.mark.parametrize("call", ["colours.add('x')", "colours.clear()", "order.put('a', 1)", "order.remove('price')"])
def test_value_cannot_be_changed_by_its_methods(call: str) -> None:
    with pytest.raises(ExpressionError, match="changes a value"):
        value_of(f"${{{call}}}")


def test_exposed_method_has_its_effect() -> None:
    assert value_of("${execution.setVariable('x', amount + 1)}${execution.getVariable('x')}") == "151"


@pytest.mark.parametrize(
    "text",
    [
        "execution.getVariable()",
        "execution.setVariable(['x'], 1)",
        "execution.absent",
        "execution.absent()",
        "execution.getAbsent()",
    ],
)
def test_exposed_object_refuses_what_it_does_not_offer(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"expected .*, found"):
        value_of(f"${{{text}}}")


def test_bug_within_an_exposed_method_is_not_mistaken_for_an_expression_error() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        value_of("${execution.fail()}")
