"""Answers about values, the task log and remarks: one statement for one record, two or three for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, false, null, select

from history.app.logs import DetailFilter, TaskLogFilter
from history.app.queries import Scope
from history.model.records import Comment, Detail, TaskLogEntry
from history.storage import codec, log_tables
from history.storage.conditions import Conditions
from mesh.db.database import Database
from mesh.outbox import in_database
from mesh.paging import Listed, Page, Sorting, fetch

T = TypeVar("T")

_detail: Final = log_tables.detail.c
_log: Final = log_tables.task_log.c
_comment: Final = log_tables.comment.c
MAX_COMMENTS: Final = 1_000
"""Remarks of one instance or task that are listed, the newest ones."""

DETAILS: Final = Sorting(
    name="historic-details",
    columns={
        "time": _detail.recorded_at,
        "processInstanceId": _detail.instance_id,
        "variableName": _detail.name,
        "variableType": _detail.type,
        "variableRevision": _detail.revision,
    },
    default="time",
    key=_detail.ordinal,
)
TASK_LOG: Final = Sorting(
    name="historic-task-log-entries",
    columns={"logNumber": _log.ordinal, "timeStamp": _log.recorded_at},
    default="logNumber",
    key=_log.ordinal,
)
_COLUMNS: Final[tuple[Column[Any], ...]] = tuple(log_tables.detail.columns)
_WITHOUT_BYTES: Final = tuple(null().label("bytes") if c.name == "bytes" else c for c in _COLUMNS)


class LogAnswers:
    """The `LogQueries` of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def details(self, wanted: DetailFilter, page: Page, scope: Scope) -> Listed[Detail]:
        """A page of values, without their bytes."""
        conditions = Conditions(sqlite=self._database.is_sqlite)
        conditions.equal(_detail.id, wanted.id)
        conditions.equal(_detail.instance_id, wanted.process_instance_id)
        conditions.equal(_detail.execution_id, wanted.execution_id)
        conditions.equal(_detail.activity_id, wanted.activity_instance_id)
        conditions.equal(_detail.task_id, wanted.task_id)
        conditions.equal(_detail.name, wanted.variable_name)
        if wanted.select_only_form_properties:
            conditions.add(false())
        statement = select(*_WITHOUT_BYTES).where(*conditions.all, *_seen(_detail.tenant_id, scope))
        return await self._page(DETAILS, statement, (wanted, scope), page, _detail_of)

    async def detail(self, detail_id: str, scope: Scope) -> Detail | None:
        """One value with its bytes, or None."""
        statement = select(*_COLUMNS).where(_detail.id == detail_id, *_seen(_detail.tenant_id, scope))
        row = await in_database(self._database, lambda connection: connection.execute(statement).first())
        return None if row is None else _detail_of(row)

    async def task_log(self, wanted: TaskLogFilter, page: Page, scope: Scope) -> Listed[TaskLogEntry]:
        """A page of log entries."""
        conditions = Conditions(sqlite=self._database.is_sqlite)
        conditions.equal(_log.task_id, wanted.task_id)
        conditions.equal(_log.type, wanted.type)
        conditions.equal(_log.user_id, wanted.user_id)
        conditions.equal(_log.instance_id, wanted.process_instance_id)
        conditions.equal(_log.definition_id, wanted.process_definition_id)
        conditions.equal(_log.tenant_id, wanted.tenant_id)
        if wanted.since is not None:
            conditions.add(_log.recorded_at >= wanted.since)
        if wanted.until is not None:
            conditions.add(_log.recorded_at <= wanted.until)
        if wanted.from_log_number is not None:
            conditions.add(_log.ordinal >= wanted.from_log_number)
        if wanted.to_log_number is not None:
            conditions.add(_log.ordinal <= wanted.to_log_number)
        statement = select(log_tables.task_log).where(*conditions.all, *_seen(_log.tenant_id, scope))
        return await self._page(TASK_LOG, statement, (wanted, scope), page, _entry_of)

    async def comments_of_instance(self, instance_id: str) -> Sequence[Comment]:
        """The remarks on an instance, newest first."""
        return await self._comments(_comment.instance_id == instance_id)

    async def comments_of_task(self, task_id: str) -> Sequence[Comment]:
        """The remarks on a task, newest first."""
        return await self._comments(_comment.task_id == task_id)

    async def _comments(self, condition: ColumnElement[bool]) -> Sequence[Comment]:
        order = (_comment.created_at.desc(), _comment.id.desc())
        statement = select(log_tables.comment).where(condition).order_by(*order).limit(MAX_COMMENTS)
        rows = await in_database(self._database, lambda connection: connection.execute(statement).all())
        return [comment_of(tuple(row)) for row in rows]

    async def _page(
        self, sorting: Sorting, statement: Select[Any], wanted: object, page: Page, read: Callable[[Row[Any]], T]
    ) -> Listed[T]:
        def work(connection: Connection) -> Listed[T]:
            return fetch(connection, sorting, statement, wanted, page).read(read)

        return await in_database(self._database, work)


def _seen(column: ColumnElement[Any], scope: Scope) -> list[ColumnElement[bool]]:
    return [] if scope is None else [column == scope]


def _detail_of(row: Row[Any]) -> Detail:
    values = dict(zip((column.name for column in _COLUMNS), row, strict=False))
    held = values.pop("bytes")
    values["value"] = codec.decode(values["type"], values["value"], held)
    return Detail(**values)


def _entry_of(row: Row[Any]) -> TaskLogEntry:
    return TaskLogEntry(**dict(zip((column.name for column in log_tables.task_log.columns), row, strict=False)))


def comment_of(row: Sequence[Any]) -> Comment:
    """A row of the table as a remark."""
    return Comment(**dict(zip((column.name for column in log_tables.comment.columns), row, strict=True)))
