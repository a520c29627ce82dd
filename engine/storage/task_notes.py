"""What somebody did with a task, as rows of its events (Flowable's task events): links, claims and assignments.

Written in the transaction of the command itself. Only what a person asks for is noted; what a model does to a task (an
assignment by a listener, say) is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from engine.app.standalone import EVENT
from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.storage.codec import to_json

COLUMNS: Final = ("id", "kind", "action", "task_id", "instance_id", "author", "parts", "created_at")
NOTED: Final = frozenset((cmd.ClaimTask, cmd.UpdateTask, cmd.AddIdentityLink, cmd.RemoveIdentityLink))
_PEOPLE: Final = ("assignee", "owner")

Note = tuple[str, str, str, str, str, str, str, datetime]


def notes_of(command: cmd.Command, command_id: str, events: Iterable[ev.Event]) -> list[Note]:
    """Return the rows that a command leaves; ids follow from the command's, so that they are in the order of commands.

    The author is whoever gave the command.
    """
    if type(command) not in NOTED:
        return []
    task_id = getattr(command, "task_id", "")
    said = [part for event in events if getattr(event, "task_id", "") == task_id for part in _said(event)]
    return [
        (
            command_id if number == 0 else f"{command_id}.{number}",
            EVENT,
            action,
            task_id,
            "",
            command.user_id,
            to_json(parts),
            at,
        )
        for number, (action, parts, at) in enumerate(said)
        if task_id
    ]


def _said(event: Any) -> Iterator[tuple[str, tuple[str, str], datetime]]:
    """Flowable's word for what happened, and its message's parts: whom it concerns, and the kind of link."""
    if isinstance(event, ev.TaskUpdated):
        for kind in _PEOPLE:
            if kind in event.changes:
                user_id = event.changes[kind] or ""
                yield ("AddUserLink" if user_id else "DeleteUserLink"), (user_id, kind), event.at
    elif isinstance(event, ev.IdentityLinkAdded | ev.IdentityLinkRemoved):
        what = "Add" if isinstance(event, ev.IdentityLinkAdded) else "Delete"
        whose = "User" if event.user_id else "Group"
        yield f"{what}{whose}Link", (event.user_id or event.group_id, event.kind), event.at
