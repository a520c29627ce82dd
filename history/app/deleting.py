"""Deleting history that a client asks to delete: what is over, with all that belongs to it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

import msgspec

from history.app.queries import Scope
from history.app.searching import SearchWriter
from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound

MAX_DELETED: Final = 1_000
"""Instances or tasks that one call deletes at most."""
DELETED: Final = "deleted"
ARCHIVED: Final = "archived"
ERASED: Final = "erased"


class Doomed(msgspec.Struct, frozen=True, kw_only=True):
    """What to delete, by primary key; `request_id` empty: nothing to remember of the request."""

    instances: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    task_log: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    links: tuple[tuple[str, str, str, str], ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    request_id: str = ""


class Deletions(Protocol):
    """Deletes, all or none, what is seen in a scope; returns what is gone, by id.

    A `request_id` that was answered before changes nothing, raises nothing and returns nothing.
    """

    def delete_instances(self, instance_ids: Sequence[str], scope: Scope, request_id: str) -> Awaitable[Sequence[str]]:
        """Delete instances that are over and those they called. Raises NotFound, FailedPrecondition, Unavailable."""
        ...

    def delete_tasks(self, task_ids: Sequence[str], scope: Scope, request_id: str) -> Awaitable[Sequence[str]]:
        """Delete tasks that are over. Raises NotFound, FailedPrecondition, Unavailable."""
        ...


class Deleting:
    """Deletes in the database, and in the search engine if there is one."""

    def __init__(self, deletions: Deletions, search: SearchWriter | None = None) -> None:
        """`search`: what is searched besides the database."""
        self._deletions = deletions
        self._search = search

    async def instances(self, instance_ids: Sequence[str], scope: Scope, request_id: str) -> None:
        """Delete instances that are over and those they called. Raises NotFound, FailedPrecondition, Unavailable."""
        await self._forget(await self._deletions.delete_instances(instance_ids, scope, request_id))

    async def tasks(self, task_ids: Sequence[str], scope: Scope, request_id: str) -> None:
        """Delete tasks that are over. Raises NotFound, FailedPrecondition, Unavailable."""
        await self._forget(await self._deletions.delete_tasks(task_ids, scope, request_id))

    async def _forget(self, ids: Sequence[str]) -> None:
        if self._search is not None and ids:
            await self._search.forget(ids)


def limited(ids: Sequence[str], field: str) -> Sequence[str]:
    """The ids. Raises InvalidArgument for none, or for more than `MAX_DELETED`."""
    if not 1 <= len(ids) <= MAX_DELETED:
        found = f"expected 1 to {MAX_DELETED} ids (limit: MAX_DELETED), found {len(ids)}"
        raise InvalidArgument("invalid-deletion", found, violations=[FieldViolation(field, found)])
    return ids


def no_such_instance(instance_id: str) -> NotFound:
    """Nobody told of such an instance, or not yet."""
    return NotFound(
        "historic-process-instance-not-found",
        f"expected a historic process instance, found none with id '{instance_id}'",
        process_instance_id=instance_id,
    )


def instance_runs(instance_id: str) -> FailedPrecondition:
    """What still happens cannot be forgotten."""
    return FailedPrecondition(
        "process-instance-running",
        f"expected process instance '{instance_id}' to be over, found it running",
        process_instance_id=instance_id,
    )


def no_such_task(task_id: str) -> NotFound:
    """Nobody told of such a task, or not yet."""
    return NotFound(
        "historic-task-instance-not-found",
        f"expected a historic task instance, found none with id '{task_id}'",
        task_id=task_id,
    )


def task_is_open(task_id: str) -> FailedPrecondition:
    """What still happens cannot be forgotten."""
    return FailedPrecondition("task-open", f"expected task '{task_id}' to be over, found it open", task_id=task_id)
