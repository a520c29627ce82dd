"""Records as rows and back, for writers: moments are text there, JSON is text, columns are the record's fields."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import Table

from mesh.db.statements import Insert, Row, Rows, Sql
from mesh.db.types import UtcDateTime, moment_of_text, text_of_moment
from notify.model.records import Delivery, Notice, Process, Task, Template
from notify.storage import tables

R = TypeVar("R", Task, Process, Notice, Delivery, Template)

_JSON: Final = {"candidates": tuple[tuple[str, str], ...], "facts": dict[str, Any], "context": dict[str, Any]}


class Shape(Generic[R]):
    """How one kind of record lies in its table."""

    def __init__(self, record: type[R], table: Table) -> None:
        """Raises ValueError for a column that is no field of the record."""
        names = [column.name for column in table.columns]
        unknown = set(names) - set(record.__struct_fields__)
        if unknown:
            raise ValueError(f"expected the columns of {table.name} to be fields, found {', '.join(sorted(unknown))}")
        self._record: Any = record
        self._moments = [n for n, column in enumerate(table.columns) if isinstance(column.type, UtcDateTime)]
        self._documents = [(n, _JSON[name]) for n, name in enumerate(names) if name in _JSON]
        self._values = attrgetter(*names)
        self.names = names
        self.columns = ",".join(names)
        self.put = Insert(table, replace=True)
        self.add = InsertNew(table)
        self.by_ids = Sql(f"SELECT {self.columns} FROM {table.name} WHERE id IN ?*")

    def row(self, record: R) -> Row:
        """The record as values of a row."""
        values = list(self._values(record))
        for n in self._moments:
            if values[n] is not None:
                values[n] = text_of_moment(values[n])
        for n, _ in self._documents:
            values[n] = msgspec.json.encode(values[n]).decode()
        return tuple(values)

    def record(self, row: Sequence[Any]) -> R:
        """The record of a row that a writer read."""
        values = list(row)
        for n in self._moments:
            if values[n] is not None:
                values[n] = moment_of_text(values[n])
        return self.read(values)

    def read(self, row: Sequence[Any]) -> R:
        """The record of a row whose moments are moments."""
        values = list(row)
        for n, kind in self._documents:
            values[n] = msgspec.json.decode(values[n], type=kind)
        found: R = self._record(**dict(zip(self.names, values, strict=True)))
        return found


class InsertNew:
    """Multi-row INSERT; a row whose primary key is there already changes nothing."""

    def __init__(self, table: Table) -> None:
        keys = ",".join(column.name for column in table.primary_key.columns)
        plain = ",".join(column.name for column in table.columns)
        quoted = ",".join(f"`{column.name}`" for column in table.columns)
        key = next(iter(table.primary_key.columns)).name
        self._text = f"INSERT NEW INTO {table.name}"
        self._head = f"INSERT INTO `{table.name}` ({quoted}) VALUES "
        # Not IGNORE: that would also swallow what is wrong with a row.
        self._tail = f" ON DUPLICATE KEY UPDATE `{key}`=`{key}`"
        marks = ",".join("?" * len(table.columns))
        self._sqlite = f'INSERT INTO "{table.name}" ({plain}) VALUES ({marks}) ON CONFLICT ({keys}) DO NOTHING'

    def of(self, rows: Sequence[Row]) -> Rows:
        """Give it its rows; at least one."""
        return Rows(self._text, self._head, self._tail, self._sqlite, rows)


TASKS: Final = Shape(Task, tables.task)
PROCESSES: Final = Shape(Process, tables.process)
NOTICES: Final = Shape(Notice, tables.notice)
DELIVERIES: Final = Shape(Delivery, tables.delivery)
TEMPLATES: Final = Shape(Template, tables.template)
