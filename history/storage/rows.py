"""Records as rows and back, for writers: moments are text there, and the columns are the record's fields in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Table

from history.model.records import Activity, ProcessInstance, Task, Variable
from history.storage import codec, tables
from mesh.db.statements import Insert, Row, Sql
from mesh.db.types import UtcDateTime, moment_of_text, text_of_moment

R = TypeVar("R", ProcessInstance, Activity, Task)


class Shape(Generic[R]):
    """How one kind of record lies in its table."""

    def __init__(self, record: type[R], table: Table) -> None:
        """Raises ValueError if the table's columns are not the record's fields."""
        names = [field.name for field in dataclasses.fields(record)]
        if names != [column.name for column in table.columns]:
            raise ValueError(f"expected the columns of {table.name} to be {', '.join(names)}")
        self._record: Any = record
        self._names = names
        self._moments = [n for n, column in enumerate(table.columns) if isinstance(column.type, UtcDateTime)]
        self._flags = [n for n, name in enumerate(names) if name == "canceled"]
        self._values = attrgetter(*names)
        self.put = Insert(table, replace=True)
        self.by_ids = Sql(f"SELECT {','.join(names)} FROM {table.name} WHERE id IN ?*")
        self.open_of = Sql(f"SELECT {','.join(names)} FROM {table.name} WHERE instance_id IN ?* AND ended_at IS NULL")

    def row(self, record: R) -> Row:
        """The record as values of a row."""
        values = list(self._values(record))
        for n in self._moments:
            value: datetime | None = values[n]
            if value is not None:
                values[n] = text_of_moment(value)
        return tuple(values)

    def record(self, row: Sequence[Any]) -> R:
        """The record of a row that a writer read."""
        values = list(row)
        for n in self._moments:
            if values[n] is not None:
                values[n] = moment_of_text(values[n])
        for n in self._flags:
            values[n] = bool(values[n])
        found: R = self._record(**dict(zip(self._names, values, strict=True)))
        return found


INSTANCES: Final = Shape(ProcessInstance, tables.process_instance)
ACTIVITIES: Final = Shape(Activity, tables.activity)
TASKS: Final = Shape(Task, tables.task)

PUT_VARIABLES: Final = Insert(tables.variable, replace=True)


def variable_row(record: Variable) -> Row:
    """A variable as values of a row."""
    value = codec.encode(record.type, record.value)
    return (
        record.id,
        record.root_id,
        record.instance_id,
        record.execution_id,
        record.task_id,
        record.name,
        record.type,
        *value,
        text_of_moment(record.created_at),
        text_of_moment(record.updated_at),
        record.revision,
        record.tenant_id,
    )
