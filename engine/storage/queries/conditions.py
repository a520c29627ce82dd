"""Conditions of lists as SQL, meaning the same on MySQL and SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeAlias

from sqlalchemy import ColumnElement, Select, false, func

from engine.storage.queries.listing import invalid

Column: TypeAlias = ColumnElement[Any]

MAX_FILTER_VALUES: Final = 10_000
"""Values of one filter at most, such as ids."""


class TenantFilter(Protocol):
    """The tenant fields that nearly every filter has."""

    @property
    def tenant_id(self) -> str | None: ...

    @property
    def tenant_id_like(self) -> str | None: ...

    @property
    def without_tenant_id(self) -> bool: ...


class Conditions:
    """Collects conditions that must all hold; what a filter does not give adds nothing."""

    def __init__(self, *, sqlite: bool) -> None:
        self.sqlite = sqlite
        self.all: list[Column] = []

    def add(self, condition: Column) -> None:
        self.all.append(condition)

    def never(self) -> None:
        """Let nothing pass."""
        self.add(false())

    def equal(self, column: Column, value: str | float | datetime | None) -> None:
        if value is not None:
            self.add(column == value)

    def unequal(self, column: Column, value: str | None) -> None:
        if value is not None:
            self.add(column != value)

    def one_of(self, column: Column, values: Sequence[str], field: str) -> None:
        if values:
            self.add(column.in_(limited(values, field)))

    def none_of(self, column: Column, values: Sequence[str], field: str) -> None:
        if values:
            self.add(column.not_in(limited(values, field)))

    def like(self, column: Column, pattern: str | None) -> None:
        if pattern is not None:
            self.add(like(column, pattern, sqlite=self.sqlite))

    def like_ignore_case(self, column: Column, pattern: str | None) -> None:
        if pattern is not None:
            self.add(like(func.lower(column), pattern.lower(), sqlite=self.sqlite))

    def before(self, column: Column, moment: datetime | None) -> None:
        if moment is not None:
            self.add(column < moment)

    def after(self, column: Column, moment: datetime | None) -> None:
        if moment is not None:
            self.add(column > moment)

    def tenant(self, column: Column, wanted: TenantFilter) -> None:
        self.equal(column, wanted.tenant_id)
        self.like(column, wanted.tenant_id_like)
        if wanted.without_tenant_id:
            self.add(column == "")

    def on(self, statement: Select[Any]) -> Select[Any]:
        """The statement with all conditions."""
        return statement.where(*self.all) if self.all else statement


def limited(values: Sequence[str], field: str) -> list[str]:
    """The values, each once. Raises InvalidArgument for more than `MAX_FILTER_VALUES`."""
    if len(values) > MAX_FILTER_VALUES:
        raise invalid(
            field,
            f"expected at most {MAX_FILTER_VALUES} values of {field} (limit: MAX_FILTER_VALUES), found {len(values)}",
        )
    return list(dict.fromkeys(values))


def like(column: Column, pattern: str, *, sqlite: bool) -> Column:
    """Where % stands for any characters and _ for one, and nothing else has a meaning of its own.

    SQLite's LIKE ignores the case of ASCII letters and of no others; its GLOB compares as MySQL's collation does.
    """
    if sqlite:
        return column.op("GLOB", is_comparison=True)(pattern.translate(_GLOB))
    return column.like(pattern.replace("\\", "\\\\"))


_GLOB: Final = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})
