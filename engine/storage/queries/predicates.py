"""Conditions on variables (Flowable's query variables) over the variable table's columns for comparing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, FromClause, and_, exists, func, not_, select

from engine.app.queries.filters import VariableCondition
from engine.kernel.values import (
    BINARY,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    JSON,
    LONG,
    NULL,
    STRING,
    Variable,
)
from engine.storage import tables
from engine.storage.codec import TEXT_VALUE_LENGTH, encode_value, number_text
from engine.storage.queries.conditions import like
from engine.storage.queries.listing import invalid

Column: TypeAlias = ColumnElement[Any]

NUMBERS: Final = (INTEGER, LONG, DOUBLE)
EXISTS, NOT_EXISTS = "exists", "notExists"
EQUALS, NOT_EQUALS = "equals", "notEquals"
EQUALS_IGNORE_CASE, NOT_EQUALS_IGNORE_CASE = "equalsIgnoreCase", "notEqualsIgnoreCase"
LIKE, LIKE_IGNORE_CASE = "like", "likeIgnoreCase"
_COMPARISONS: Final[Mapping[str, Callable[[Column, Any], Column]]] = MappingProxyType(
    {
        "greaterThan": lambda column, value: column > value,
        "greaterThanOrEquals": lambda column, value: column >= value,
        "lessThan": lambda column, value: column < value,
        "lessThanOrEquals": lambda column, value: column <= value,
    }
)
OPERATIONS: Final = (
    EQUALS,
    NOT_EQUALS,
    EQUALS_IGNORE_CASE,
    NOT_EQUALS_IGNORE_CASE,
    LIKE,
    LIKE_IGNORE_CASE,
    *_COMPARISONS,
    EXISTS,
    NOT_EXISTS,
)


def holds_at(condition: VariableCondition, root: Column, scope: Column, field: str, *, sqlite: bool) -> Column:
    """Whether a scope (an instance's or execution's id) has such a variable. Raises InvalidArgument."""
    variable = tables.variable.alias()
    if condition.operation == NOT_EXISTS:
        _require_name(condition, field)
        there = exists().where(
            variable.c.root_id == root, variable.c.scope_id == scope, variable.c.name == condition.name
        )
        return not_(there)
    return scope.in_(select(variable.c.scope_id).where(matches(condition, variable, field, sqlite=sqlite)))


def matches(condition: VariableCondition, variable: FromClause, field: str, *, sqlite: bool) -> Column:
    """Whether a row of the variable table is what the condition asks for; not for notExists. Raises InvalidArgument."""
    operation = condition.operation
    if operation not in OPERATIONS:
        raise invalid(f"{field}.operation", f"expected an operation of {', '.join(OPERATIONS)}, found '{operation}'")
    named = variable.c.name == condition.name
    if operation == EXISTS:
        _require_name(condition, field)
        return named
    if condition.value is None:
        raise invalid(f"{field}.value", f"expected a value to compare with by '{operation}', found none")
    if not condition.name and operation != EQUALS:
        raise invalid(f"{field}.name", f"expected a name of a variable with operation '{operation}', found none")
    found = _compared(operation, condition.value, variable, field, sqlite=sqlite)
    return and_(named, found) if condition.name else found


def _require_name(condition: VariableCondition, field: str) -> None:
    if not condition.name:
        raise invalid(f"{field}.name", f"expected a name of a variable with '{condition.operation}', found none")


def _compared(operation: str, value: Variable, variable: FromClause, field: str, *, sqlite: bool) -> Column:
    if operation == EQUALS:
        return _equal(value, variable, field)
    if operation == NOT_EQUALS:
        return not_(_equal(value, variable, field))
    if operation in _COMPARISONS:
        return _ordered(operation, value, variable, field)
    text = _text_only(operation, value, field)
    is_text = variable.c.type == STRING
    lowered = func.lower(variable.c.text_value)
    if operation == EQUALS_IGNORE_CASE:
        return and_(is_text, lowered == text.lower())
    if operation == NOT_EQUALS_IGNORE_CASE:
        return not_(and_(is_text, lowered == text.lower()))
    column, pattern = (lowered, text.lower()) if operation == LIKE_IGNORE_CASE else (variable.c.text_value, text)
    return and_(is_text, like(column, pattern, sqlite=sqlite))


def _equal(value: Variable, variable: FromClause, field: str) -> Column:
    """Can be negated: what has no `text_value` to compare is of another type, and NULL AND FALSE is FALSE."""
    columns = variable.c
    held = value.value
    if value.type == NULL or held is None:
        return columns.type == NULL
    if value.type in (JSON, BINARY):
        raise invalid(f"{field}.type", f"expected a type that can be compared, found {value.type}")
    if value.type == STRING:
        return _equal_text(held, variable)
    if value.type == BOOLEAN:
        return and_(columns.text_value == ("true" if held else "false"), columns.type == BOOLEAN)
    if value.type == DATE:
        return and_(columns.type == DATE, columns.number_value == _milliseconds(held))
    return and_(columns.text_value == number_text(held), columns.type.in_(NUMBERS))


def _equal_text(text: str, variable: FromClause) -> Column:
    columns = variable.c
    parts = [columns.text_value == text[:TEXT_VALUE_LENGTH], columns.type == STRING]
    if len(text) >= TEXT_VALUE_LENGTH:
        parts.append(columns.value == encode_value(STRING, text))
    return and_(*parts)


def _ordered(operation: str, value: Variable, variable: FromClause, field: str) -> Column:
    columns, compare = variable.c, _COMPARISONS[operation]
    if value.type == STRING:
        return and_(columns.type == STRING, compare(columns.text_value, value.value))
    if value.type == DATE:
        return and_(columns.type == DATE, compare(columns.number_value, _milliseconds(value.value)))
    if value.type in NUMBERS:
        return and_(columns.type.in_(NUMBERS), compare(columns.number_value, float(value.value)))
    raise invalid(f"{field}.type", f"expected a type that has an order with '{operation}', found {value.type}")


def _text_only(operation: str, value: Variable, field: str) -> str:
    if value.type != STRING:
        raise invalid(f"{field}.type", f"expected a string with '{operation}', found {value.type}")
    return str(value.value)


def _milliseconds(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1000)
