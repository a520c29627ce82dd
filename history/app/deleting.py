"""Deleting history that a client asks to delete: what is over, with all that belongs to it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import msgspec

from mesh.errors import FailedPrecondition, NotFound


class Doomed(msgspec.Struct, frozen=True, kw_only=True):
    """What to delete, by primary key; `request_id` empty: nothing to remember of the request."""

    instances: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    links: tuple[tuple[str, str, str, str], ...] = ()
    request_id: str = ""


class Deletions(Protocol):
    """Deletes; a `request_id` that was answered before changes nothing and raises nothing."""

    def delete_instance(self, instance_id: str, request_id: str) -> Awaitable[None]:
        """Delete an instance that is over and those it called. Raises NotFound, FailedPrecondition, Unavailable."""
        ...

    def delete_task(self, task_id: str, request_id: str) -> Awaitable[None]:
        """Delete a task that is over. Raises NotFound, FailedPrecondition, Unavailable."""
        ...


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
