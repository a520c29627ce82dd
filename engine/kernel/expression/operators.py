"""The operators of the language on values (Jakarta EL 1.7 to 1.10). They raise `ExpressionError` without a place.

Each starts with the case of two plain numbers, which is what hot conditions have.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from math import fmod
from typing import Final

from engine.kernel.expression.coercion import (
    bounded_double,
    bounded_integer,
    is_empty,
    kind_of,
    shown,
    to_boolean,
    to_moment,
    to_number,
    to_text,
)
from engine.kernel.expression.errors import ExpressionError
from engine.kernel.expression.exposed import Value
from engine.kernel.expression.limits import MAX_COMPARED_VALUES, MAX_INTEGER, MIN_INTEGER


def add(left: Value, right: Value) -> Value:
    if type(left) is not int or type(right) is not int:
        return _bounded(to_number(left) + to_number(right))
    total = left + right
    return total if MIN_INTEGER <= total <= MAX_INTEGER else bounded_integer(total)


def subtract(left: Value, right: Value) -> Value:
    return _bounded(to_number(left) - to_number(right))


def multiply(left: Value, right: Value) -> Value:
    return _bounded(to_number(left) * to_number(right))


def divide(left: Value, right: Value) -> Value:
    """Always a double, so that 3/5 is 0.6. Division by zero is an error: its EL result, infinity, has no JSON form."""
    divisor = _divisor(right)
    return bounded_double(to_number(left) / divisor)


def remainder(left: Value, right: Value) -> Value:
    """Takes the sign of the dividend, as in Java."""
    dividend, divisor = to_number(left), _divisor(right)
    if isinstance(dividend, int) and isinstance(divisor, int):
        size = abs(dividend) % abs(divisor)
        return bounded_integer(-size if dividend < 0 else size)
    return bounded_double(fmod(bounded_double(dividend), divisor))


def negate(value: Value) -> Value:
    return _bounded(-to_number(value))


def invert(value: Value) -> Value:
    return not to_boolean(value)


def _bounded(number: int | float) -> int | float:
    return bounded_integer(number) if isinstance(number, int) else bounded_double(number)


def _divisor(value: Value) -> int | float:
    divisor = to_number(value)
    if divisor == 0:
        raise ExpressionError("expected a divisor other than zero, found zero")
    return divisor


def equal(left: Value, right: Value) -> bool:
    """EL's `==`: a number, boolean or date on one side converts the other side; null equals null only."""
    if left is None or right is None:
        return left is right
    kind = type(left)
    if kind is type(right) and (kind is int or kind is str or kind is bool or kind is float):
        return left == right
    if _is_number(left) or _is_number(right):
        return to_number(left) == to_number(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return to_boolean(left) == to_boolean(right)
    if isinstance(left, date) or isinstance(right, date):
        return _same_moment(left, right)
    return same(left, right)


def unequal(left: Value, right: Value) -> bool:
    return not equal(left, right)


class _Budget:
    """How many values a comparison may still look at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_COMPARED_VALUES


def same(left: Value, right: Value) -> bool:
    """Equality without conversion, as Java's `equals`, but one number equals another whatever its kind."""
    return _same(left, right, _Budget())


def index_of(items: Sequence[Value], wanted: Value) -> int:
    """Place of the first item that is the same as the wanted one, or -1."""
    budget = _Budget()
    return next((place for place, item in enumerate(items) if _same(item, wanted, budget)), -1)


def contains_all(items: Sequence[Value], wanted: Sequence[Value]) -> bool:
    budget = _Budget()
    return all(any(_same(item, one, budget) for item in items) for one in wanted)


def contains_any(items: Sequence[Value], wanted: Sequence[Value]) -> bool:
    budget = _Budget()
    return any(_same(item, one, budget) for one in wanted for item in items)


def _same(left: Value, right: Value, budget: "_Budget") -> bool:
    budget.left -= 1
    if budget.left < 0:
        raise ExpressionError(f"expected to compare at most {MAX_COMPARED_VALUES} values, found more")
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(
            _same(one, other, budget) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key], budget) for key, value in left.items())
    return left == right


def _same_moment(left: Value, right: Value) -> bool:
    if not all(isinstance(side, date | str) for side in (left, right)):
        return False
    try:
        return to_moment(left) == to_moment(right)
    except ExpressionError:
        return to_text(left) == to_text(right)


def less(left: Value, right: Value) -> bool:
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return left < right
    return left is not None and right is not None and order(left, right) < 0


def less_or_equal(left: Value, right: Value) -> bool:
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return left <= right
    if left is None or right is None:
        return left is right
    return order(left, right) <= 0


def greater(left: Value, right: Value) -> bool:
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return left > right
    return left is not None and right is not None and order(left, right) > 0


def greater_or_equal(left: Value, right: Value) -> bool:
    if (type(left) is int or type(left) is float) and (type(right) is int or type(right) is float):
        return left >= right
    if left is None or right is None:
        return left is right
    return order(left, right) >= 0


def order(left: Value, right: Value) -> int:
    """-1, 0 or 1 for two values that are not null; a number or date on one side converts the other side."""
    if _is_number(left) or _is_number(right):
        return _sign(to_number(left), to_number(right))
    if isinstance(left, date) or isinstance(right, date):
        first, second = to_moment(left), to_moment(right)
        return (first > second) - (first < second)
    if isinstance(left, bool) and isinstance(right, bool):
        return _sign(left, right)
    if all(isinstance(side, str | bool) for side in (left, right)):
        one, other = to_text(left), to_text(right)
        return (one > other) - (one < other)
    raise ExpressionError(f"expected values that can be ordered, found {shown(left)} and {shown(right)}")


def _sign(left: int | float, right: int | float) -> int:
    return (left > right) - (left < right)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def member(target: Value, key: Value) -> Value:
    """`target[key]` of a map or list. null has no members, and what is missing is null (Jakarta EL 1.6, Flowable)."""
    if target is None or key is None:
        return None
    if isinstance(target, dict):
        return target.get(key if isinstance(key, str) else to_text(key))
    if isinstance(target, list | tuple):
        index = to_integer_index(key)
        return target[index] if 0 <= index < len(target) else None
    raise ExpressionError(f"expected a map, a list or an object to have a member {shown(key)}, found {kind_of(target)}")


def to_integer_index(key: Value) -> int:
    number = to_number(key)
    if isinstance(number, int):
        return number
    raise ExpressionError(f"expected an integer as the index of a list, found {shown(key)}")


BINARY: Final[Mapping[str, Callable[[Value, Value], Value]]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "==": equal,
    "!=": unequal,
    "<": less,
    "<=": less_or_equal,
    ">": greater,
    ">=": greater_or_equal,
}

UNARY: Final[Mapping[str, Callable[[Value], Value]]] = {"-": negate, "!": invert, "empty": is_empty}
