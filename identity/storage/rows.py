"""Between records and rows: the columns of a record's table have the names of the record's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Column, Connection, Select, Table, and_, delete, insert, select, update

R = TypeVar("R", bound=msgspec.Struct)

SWEPT_ROWS: Final = 500
"""Rows that one sweep deletes at most, so that it holds no lock for long."""


def fields_of(record: msgspec.Struct, table: Table) -> dict[str, Any]:
    """The record's fields that are columns of the table."""
    return {column.name: getattr(record, column.name) for column in table.columns if hasattr(record, column.name)}


def record_of(kind: type[R], row: Any) -> R | None:
    """The record in a row whose columns are fields of it; None for no row."""
    return None if row is None else kind(**row._mapping)


def records_of(kind: type[R], rows: Sequence[Any]) -> list[R]:
    """The records in rows."""
    return [kind(**row._mapping) for row in rows]


def one(connection: Connection, statement: Select[Any], *, lock: bool = False) -> Any:
    """The first row. SQLite's transaction has locked the whole file already."""
    return connection.execute(statement.with_for_update() if lock else statement).first()


def put(connection: Connection, table: Table, values: Mapping[str, Any]) -> None:
    """Insert a row, or change the one with its primary key.

    Only under a lock of what the row belongs to: of two at once the second one would overwrite what it has not read.
    """
    keys = [column.name for column in table.primary_key.columns]
    others = {name: value for name, value in values.items() if name not in keys}
    same = and_(*(table.c[name] == values[name] for name in keys))
    if others:
        there = connection.execute(update(table).where(same).values(others)).rowcount > 0
    else:
        there = connection.execute(select(table.c[keys[0]]).where(same)).first() is not None
    if not there:
        connection.execute(insert(table).values(dict(values)))


def sweep(connection: Connection, key: Column[Any], condition: Any) -> int:
    """Delete rows by primary key that fulfil the condition, at most `SWEPT_ROWS`; returns how many."""
    keys = connection.execute(select(key).where(condition).limit(SWEPT_ROWS)).scalars().all()
    if keys:
        connection.execute(delete(key.table).where(key.in_(keys)))
    return len(keys)
