"""What was said and done one by one: filters as the contract names them, and the ports that answer and keep."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from history.app.queries import Scope
from history.model.records import Comment, Detail, TaskLogEntry
from mesh.errors import NotFound
from mesh.paging import Listed, Page


class DetailFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which values of variables."""

    id: str | None = None
    process_instance_id: str | None = None
    execution_id: str | None = None
    activity_instance_id: str | None = None
    task_id: str | None = None
    select_only_form_properties: bool = False
    variable_name: str | None = None


class TaskLogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which log entries; `since` and `until`, and the log numbers, include themselves."""

    task_id: str | None = None
    type: str | None = None
    user_id: str | None = None
    process_instance_id: str | None = None
    process_definition_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    tenant_id: str | None = None
    from_log_number: int | None = None
    to_log_number: int | None = None


class LogQueries(Protocol):
    """Answers. Raises Unavailable while the database is away; the lists InvalidArgument for what cannot be read."""

    def details(self, wanted: DetailFilter, page: Page, scope: Scope) -> Awaitable[Listed[Detail]]:
        """A page of values, without their bytes."""
        ...

    def detail(self, detail_id: str, scope: Scope) -> Awaitable[Detail | None]:
        """One value with its bytes, or None."""
        ...

    def task_log(self, wanted: TaskLogFilter, page: Page, scope: Scope) -> Awaitable[Listed[TaskLogEntry]]:
        """A page of log entries."""
        ...

    def comments_of_instance(self, instance_id: str) -> Awaitable[Sequence[Comment]]:
        """The remarks on an instance, newest first."""
        ...

    def comments_of_task(self, task_id: str) -> Awaitable[Sequence[Comment]]:
        """The remarks on a task, newest first."""
        ...


class Comments(Protocol):
    """Keeps what people say to history itself. Raises Unavailable."""

    def add(self, instance_id: str, author: str, message: str, scope: Scope, request_id: str) -> Awaitable[Comment]:
        """Add a remark to an instance; with a known request, return the one of the first call. Raises NotFound."""
        ...

    def remove(self, instance_id: str, comment_id: str, scope: Scope, request_id: str) -> Awaitable[None]:
        """Delete a remark of an instance. Raises NotFound."""
        ...


def no_such_comment(comment_id: str) -> NotFound:
    """Nobody said that, or it was unsaid."""
    return NotFound(
        "comment-not-found", f"expected a comment, found none with id '{comment_id}'", comment_id=comment_id
    )
