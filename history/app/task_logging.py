"""What was done with tasks, as the task log tells it: Flowable's types and the JSON that it keeps with each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from history.model import happenings as told
from history.model.records import Task

CREATED: Final = "USER_TASK_CREATED"
COMPLETED: Final = "USER_TASK_COMPLETED"
LINK_ADDED: Final = "USER_TASK_IDENTITY_LINK_ADDED"
LINK_REMOVED: Final = "USER_TASK_IDENTITY_LINK_REMOVED"
_CHANGES: Final = (
    ("assignee", "USER_TASK_ASSIGNEE_CHANGED", "newAssigneeId", "previousAssigneeId"),
    ("owner", "USER_TASK_OWNER_CHANGED", "newOwnerId", "previousOwnerId"),
    ("priority", "USER_TASK_PRIORITY_CHANGED", "newPriority", "previousPriority"),
    ("due_date", "USER_TASK_DUEDATE_CHANGED", "newDueDate", "previousDueDate"),
    ("name", "USER_TASK_NAME_CHANGED", "newName", "previousName"),
)

Said = tuple[str, str]
"""A type and its JSON, empty for none."""


def of_changes(task: Task, changes: dict[str, Any]) -> Iterator[Said]:
    """What a change of a task says; `task` is as it was before."""
    for name, kind, new, previous in _CHANGES:
        if name in changes and changes[name] != getattr(task, name):
            yield kind, _json({new: _plain(changes[name]), previous: _plain(getattr(task, name))})


def of_link(e: told.LinkAdded | told.LinkRemoved) -> Said:
    """What a new or former link of a task says."""
    whose = {"userId": e.user_id} if e.user_id else {"groupId": e.group_id}
    return (LINK_ADDED if isinstance(e, told.LinkAdded) else LINK_REMOVED), _json({"type": e.kind, **whose})


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return value or None if isinstance(value, str) else value


def _json(content: dict[str, Any]) -> str:
    return msgspec.json.encode(content).decode()
