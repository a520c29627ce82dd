"""What lies in the archive: rows as the tables have them, files, and when what goes there."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from history.model.records import Activity, Detail, IdentityLink, ProcessInstance, Task, TaskLogEntry, Variable

Cell: TypeAlias = int | float | str | bytes | None
"""A value of a row as the database has it; moments are text."""
INSTANCE_TABLE: Final = "historic_process_instance"


class StoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of one of history's tables; `values` by the names of the columns."""

    table: str
    root_id: str
    instance_id: str
    values: dict[str, Cell]

    @property
    def is_instance(self) -> bool:
        """Tell whether it is a process instance."""
        return self.table == INSTANCE_TABLE


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one instance, out of its rows."""

    instances: list[ProcessInstance]
    activities: list[Activity]
    tasks: list[Task]
    variables: list[Variable]
    links: list[IdentityLink]
    details: list[Detail]
    task_log: list[TaskLogEntry]


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was written and verified; `records` are its rows."""

    name: str
    sha256: str
    records: int
    bytes: int


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """After how many days instances that are over go to the archive."""

    tenant_id: str
    definition_key: str
    retention_days: int
    changed_at: datetime
    changed_by: str


class ArchivedInstance(msgspec.Struct, frozen=True, kw_only=True):
    """Where an instance lies, and what it was. `file` is a name below the archive's URL."""

    id: str
    root_id: str
    file: str
    tenant_id: str
    definition_id: str
    definition_key: str
    business_key: str
    name: str
    start_user_id: str
    started_at: datetime
    ended_at: datetime
    state: str
    archived_at: datetime
