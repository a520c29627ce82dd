"""Conditions of lists as SQL that means the same on MySQL and SQLite."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from sqlalchemy import ColumnElement, FromClause, and_, exists, func, not_, select

from history.app.queries import Condition
from history.storage import tables
from history.storage.codec import TEXT_VALUE_LENGTH, encode, milliseconds_of, number_text
from mesh.paging import refuse

Sql: TypeAlias = ColumnElement[Any]

MAX_FILTER_VALUES: Final = 10_000
"""Values of one filter at most, such as ids."""
NUMBERS: Final = ("integer", "long", "double")
COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "greaterThan": operator.gt,
        "greaterThanOrEquals": operator.ge,
        "lessThan": operator.lt,
        "lessThanOrEquals": operator.le,
    }
)
OPERATIONS: Final = (
    "equals",
    "notEquals",
    "equalsIgnoreCase",
    "notEqualsIgnoreCase",
    "like",
    "likeIgnoreCase",
    *COMPARISONS,
    "exists",
    "notExists",
)


class Tenants(Protocol):
    """The tenant fields that filters have."""

    @property
    def tenant_id(self) -> str | None: ...

    @property
    def tenant_id_like(self) -> str | None: ...

    @property
    def without_tenant_id(self) -> bool: ...


class Conditions:
    """Collects what must hold; a filter field that was not given adds nothing."""

    def __init__(self, *, sqlite: bool) -> None:
        self.sqlite = sqlite
        self.all: list[Sql] = []

    def add(self, condition: Sql) -> None:
        self.all.append(condition)

    def equal(self, column: Sql, value: str | float | datetime | None) -> None:
        if value is not None:
            self.add(column == value)

    def like(self, column: Sql, pattern: str | None) -> None:
        if pattern is not None:
            self.add(like(column, pattern, sqlite=self.sqlite))

    def like_ignore_case(self, column: Sql, pattern: str | None) -> None:
        if pattern is not None:
            self.add(like(func.lower(column), pattern.lower(), sqlite=self.sqlite))

    def between(self, column: Sql, after: datetime | None, before: datetime | None) -> None:
        if after is not None:
            self.add(column > after)
        if before is not None:
            self.add(column < before)

    def one_of(self, column: Sql, values: Sequence[str], field: str) -> None:
        if values:
            self.add(column.in_(limited(values, field)))

    def present(self, column: Sql, wanted: bool | None) -> None:
        """A moment that is there, or is not."""
        if wanted is not None:
            self.add(column.is_not(None) if wanted else column.is_(None))

    def tenant(self, column: Sql, wanted: Tenants) -> None:
        self.equal(column, wanted.tenant_id)
        self.like(column, wanted.tenant_id_like)
        if wanted.without_tenant_id:
            self.add(column == "")

    def variables(self, key: Sql, scope: str, conditions: Sequence[Condition], field: str) -> None:
        """Conditions on the variables whose column `scope` (execution_id or task_id) is the key."""
        for n, condition in enumerate(conditions):
            place = f"{field}[{n}]"
            variable = tables.variable.alias()
            if condition.operation == "notExists":
                _need_name(condition, place)
                there = exists().where(variable.c[scope] == key, variable.c.name == condition.name)
                self.add(not_(there))
            else:
                found = select(variable.c[scope]).where(matching(condition, variable, place, sqlite=self.sqlite))
                self.add(key.in_(found))


def limited(values: Sequence[str], field: str) -> list[str]:
    """The values, each once. Raises InvalidArgument for more than `MAX_FILTER_VALUES`."""
    if len(values) > MAX_FILTER_VALUES:
        found = f"expected at most {MAX_FILTER_VALUES} values (limit: MAX_FILTER_VALUES), found {len(values)}"
        raise refuse(field, found)
    return list(dict.fromkeys(values))


_GLOB: Final = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def like(column: Sql, pattern: str, *, sqlite: bool) -> Sql:
    """% stands for any characters and _ for one; nothing else is special, and case counts.

    SQLite's LIKE is deaf to the case of ASCII letters; its GLOB is not, and uses indexes as MySQL's binary LIKE does.
    """
    if sqlite:
        return column.op("GLOB", is_comparison=True)(pattern.translate(_GLOB))
    return column.like(pattern.replace("\\", "\\\\"))


def matching(condition: Condition, variable: FromClause, field: str, *, sqlite: bool) -> Sql:
    """Whether a row of the variable table is what the condition asks for. Raises InvalidArgument; not for notExists."""
    if condition.operation not in OPERATIONS or condition.operation == "notExists":
        found = f"expected an operation of {', '.join(OPERATIONS)}, found '{condition.operation}'"
        raise refuse(f"{field}.operation", found)
    named = variable.c.name == condition.name
    if condition.operation == "exists":
        _need_name(condition, field)
        return named
    if not condition.type:
        raise refuse(f"{field}.value", f"expected a value to compare with by '{condition.operation}', found none")
    if condition.operation != "equals":
        _need_name(condition, field)
    compared = _compared(condition, variable, field, sqlite=sqlite)
    return and_(named, compared) if condition.name else compared


def _need_name(condition: Condition, field: str) -> None:
    if not condition.name:
        raise refuse(f"{field}.name", f"expected the name of a variable with '{condition.operation}', found none")


def _compared(condition: Condition, variable: FromClause, field: str, *, sqlite: bool) -> Sql:
    operation = condition.operation
    if operation == "equals":
        return _equal(condition, variable, field)
    if operation == "notEquals":
        return not_(func.coalesce(_equal(condition, variable, field), 0))
    if operation in COMPARISONS:
        return _ordered(condition, variable, field)
    if condition.type != "string":
        raise refuse(f"{field}.type", f"expected a string with '{operation}', found {condition.type}")
    text, lowered = str(condition.value), func.lower(variable.c.text_value)
    is_text = variable.c.type == "string"
    if operation == "equalsIgnoreCase":
        return and_(is_text, lowered == text.lower())
    if operation == "notEqualsIgnoreCase":
        return not_(and_(is_text, func.coalesce(lowered, "") == text.lower()))
    if operation == "likeIgnoreCase":
        return and_(is_text, like(lowered, text.lower(), sqlite=sqlite))
    return and_(is_text, like(variable.c.text_value, text, sqlite=sqlite))


def _equal(condition: Condition, variable: FromClause, field: str) -> Sql:
    columns, kind, value = variable.c, condition.type, condition.value
    if kind == "null" or value is None:
        return columns.type == "null"
    if kind == "string":
        alike = and_(columns.text_value == value[:TEXT_VALUE_LENGTH], columns.type == "string")
        return and_(alike, columns.value == encode(kind, value).value) if len(value) >= TEXT_VALUE_LENGTH else alike
    if kind == "boolean":
        return and_(columns.text_value == ("true" if value else "false"), columns.type == "boolean")
    if kind == "date":
        return and_(columns.number_value == milliseconds_of(value), columns.type == "date")
    if kind in NUMBERS:
        return and_(columns.text_value == number_text(value), columns.type.in_(NUMBERS))
    raise refuse(f"{field}.type", f"expected a type that can be compared, found {kind}")


def _ordered(condition: Condition, variable: FromClause, field: str) -> Sql:
    columns, kind, value = variable.c, condition.type, condition.value
    if kind == "string":
        return and_(columns.type == "string", _compare(condition.operation, columns.text_value, value))
    if kind == "date":
        return and_(columns.type == "date", _compare(condition.operation, columns.number_value, milliseconds_of(value)))
    if kind in NUMBERS and value is not None:
        return and_(columns.type.in_(NUMBERS), _compare(condition.operation, columns.number_value, float(value)))
    raise refuse(f"{field}.type", f"expected a type that has an order with '{condition.operation}', found {kind}")


def _compare(operation: str, column: Sql, value: Any) -> Sql:
    found: Sql = COMPARISONS[operation](column, value)
    return found
