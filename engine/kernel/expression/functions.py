"""Functions of the language, by `prefix:name`: Flowable's `variables:` (also `vars:`, `var:`), `date:` and `task:`.

A further function is one more entry: `parse(text, functions={**STANDARD_FUNCTIONS, "tax:of": Function(...)})`.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from engine.kernel.expression.coercion import bounded_text, date_text, shown, to_date, to_text
from engine.kernel.expression.context import Context
from engine.kernel.expression.dates import format_date
from engine.kernel.expression.errors import ExpressionError
from engine.kernel.expression.exposed import Exposed, Value
from engine.kernel.expression.operators import contains_all, contains_any, order, same

ANY_NUMBER: Final = 1_000
"""Most arguments of a function that takes any number of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """`call` gets the context and then between `least` and `most` arguments.

    With `names_variable` the first argument is the name of a variable: as a text, or as the bare name itself.
    """

    call: Callable[..., Value]
    least: int
    most: int
    names_variable: bool = False

    def accepts(self, count: int) -> bool:
        return self.least <= count <= self.most

    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.least == self.most:
            return f"{self.least} arguments"
        return (
            f"{self.least} or more arguments" if self.most == ANY_NUMBER else f"{self.least} to {self.most} arguments"
        )


def _variable(context: Context, name: Value) -> Value:
    """The variable's value, or null if there is no such variable: these functions exist to ask without an error."""
    if not isinstance(name, str):
        raise ExpressionError(f"expected the name of a variable, found {shown(name)}")
    return context.resolve(name) if context.has(name) else None


def _get_or_default(context: Context, name: Value, default: Value) -> Value:
    value = _variable(context, name)
    return default if value is None else value


def _get_or_default_if_absent(context: Context, name: Value, default: Value) -> Value:
    """The variable's value, null included; the default only if there is no such variable."""
    if not isinstance(name, str):
        raise ExpressionError(f"expected the name of a variable, found {shown(name)}")
    return context.resolve(name) if context.has(name) else default


def _flat(wanted: tuple[Value, ...]) -> list[Value]:
    """A list among the wanted values stands for its items."""
    return [one for given in wanted for one in (given if isinstance(given, list | tuple) else (given,))]


def _contains(context: Context, name: Value, *wanted: Value) -> Value:
    value = _variable(context, name)
    if isinstance(value, str):
        return all(to_text(one) in value for one in _flat(wanted))
    return isinstance(value, list | tuple) and contains_all(value, _flat(wanted))


def _contains_any(context: Context, name: Value, *wanted: Value) -> Value:
    value = _variable(context, name)
    if isinstance(value, str):
        return any(to_text(one) in value for one in _flat(wanted))
    return isinstance(value, list | tuple) and contains_any(value, _flat(wanted))


def _is_empty(context: Context, name: Value) -> Value:
    value = _variable(context, name)
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _equals(context: Context, name: Value, other: Value) -> Value:
    return same(_variable(context, name), other)


def _not_equals(context: Context, name: Value, other: Value) -> Value:
    value = _variable(context, name)
    return value is not None and not same(value, other)


def _compared(holds: Callable[[int], bool]) -> Callable[..., Value]:
    def compare(context: Context, name: Value, other: Value) -> Value:
        value = _variable(context, name)
        return value is not None and other is not None and holds(order(value, other))

    return compare


def _base64(context: Context, name: Value) -> Value:
    value = _variable(context, name)
    if value is None:
        return None
    plain = value if isinstance(value, bytes) else to_text(value).encode()
    return bounded_text(base64.b64encode(plain).decode("ascii"))


def _format(_context: Context, value: Value, pattern: Value = None) -> Value:
    """A date as text, ISO 8601 without a pattern; null stays null."""
    if value is None:
        return None
    moment = to_date(value) if isinstance(value, str) else value
    if not isinstance(moment, date):
        raise ExpressionError(f"expected a date, found {shown(value)}")
    return date_text(moment) if pattern is None else format_date(moment, to_text(pattern))


def _parse_date(_context: Context, value: Value) -> Value:
    return value if value is None or isinstance(value, date) else to_date(to_text(value))


def _now(context: Context) -> Value:
    return context.now


def _task(context: Context, task_id: Value) -> Value:
    if not isinstance(task_id, str):
        raise ExpressionError(f"expected the id of a task, found {shown(task_id)}")
    task: Exposed = context.task(task_id)
    return task


def _of_variable(call: Callable[..., Value], least: int = 1, most: int | None = None) -> Function:
    return Function(call=call, least=least, most=least if most is None else most, names_variable=True)


_NAMES_OF_VARIABLE_FUNCTIONS: Final[tuple[tuple[tuple[str, ...], Function], ...]] = (
    (("get",), _of_variable(_variable)),
    (("getOrDefault",), _of_variable(_get_or_default, 2)),
    (("getOrDefaultIfNotExist",), _of_variable(_get_or_default_if_absent, 2)),
    (("contains",), _of_variable(_contains, 2, ANY_NUMBER)),
    (("containsAny",), _of_variable(_contains_any, 2, ANY_NUMBER)),
    (("equals", "eq"), _of_variable(_equals, 2)),
    (("notEquals", "ne"), _of_variable(_not_equals, 2)),
    (("exists",), _of_variable(lambda *arguments: _variable(*arguments) is not None)),
    (("isEmpty", "empty"), _of_variable(_is_empty)),
    (("isNotEmpty", "notEmpty"), _of_variable(lambda *arguments: not _is_empty(*arguments))),
    (("lowerThan", "lessThan", "lt"), _of_variable(_compared(lambda sign: sign < 0), 2)),
    (("lowerThanOrEquals", "lessThanOrEquals", "lte"), _of_variable(_compared(lambda sign: sign <= 0), 2)),
    (("greaterThan", "gt"), _of_variable(_compared(lambda sign: sign > 0), 2)),
    (("greaterThanOrEquals", "gte"), _of_variable(_compared(lambda sign: sign >= 0), 2)),
    (("base64",), _of_variable(_base64)),
)

STANDARD_FUNCTIONS: Final[Mapping[str, Function]] = {
    **{
        f"{prefix}:{name}": function
        for prefix in ("variables", "vars", "var")
        for names, function in _NAMES_OF_VARIABLE_FUNCTIONS
        for name in names
    },
    "date:format": Function(call=_format, least=1, most=2),
    "date:now": Function(call=_now, least=0, most=0),
    "date:toDate": Function(call=_parse_date, least=1, most=1),
    "task:get": Function(call=_task, least=1, most=1),
}
"""`exists` asks for a value other than null; of null everything is false but `isEmpty`, and `equals` with null.

`contains` looks into texts and lists and is false of all else, `isEmpty` too; `equals` converts nothing (Flowable).
"""
