"""What people say about tasks: remarks, and the events that tell what was done with a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from engine.app.queries import TaskQueries
from engine.app.standalone import ADD_COMMENT, COMMENT, Comment, Comments
from mesh.errors import NotFound

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
"""Stands where the store has yet to give a moment."""


class TaskRemarks:
    """Adds and lists remarks. What was done with a task is noted by the transaction of the command that did it."""

    def __init__(self, comments: Comments, queries: TaskQueries, on_changed: Callable[[], None] | None = None) -> None:
        """`on_changed` is told when something was said or unsaid, so that the bus looks into the outbox."""
        self._comments = comments
        self._queries = queries
        self._changed = on_changed or (lambda: None)

    async def comments(self, task_id: str) -> Sequence[Comment]:
        """Return the remarks on an open task, newest first. Raises NotFound."""
        return [found for found in await self.events(task_id) if found.kind == COMMENT]

    async def events(self, task_id: str) -> Sequence[Comment]:
        """Return the remarks and events of an open task, newest first. Raises NotFound."""
        await self._queries.get_task(task_id)
        return await asyncio.to_thread(self._comments.of_task, task_id)

    async def event(self, task_id: str, event_id: str) -> Comment:
        """Return one remark or event. Raises NotFound."""
        for found in await self.events(task_id):
            if found.id == event_id:
                return found
        raise NotFound(
            "task-event-not-found",
            f"expected an event of task '{task_id}', found none with id '{event_id}'",
            task_id=task_id,
            event_id=event_id,
        )

    async def comment(self, task_id: str, comment_id: str) -> Comment:
        """Return one remark. Raises NotFound."""
        for found in await self.comments(task_id):
            if found.id == comment_id:
                return found
        raise _unknown(task_id, comment_id)

    async def add(self, wanted: Comment, *, of_instance: bool = False, request_id: str = "") -> Comment:
        """Add a remark to an open task, and to its instance if so wanted; return it as it is kept. Raises NotFound."""
        task = await self._queries.get_task(wanted.task_id)
        if of_instance:
            wanted = msgspec.structs.replace(wanted, instance_id=task.process_instance_id)
        kept = await asyncio.to_thread(self._comments.add, wanted, request_id)
        self._changed()
        return kept

    async def remove(self, task_id: str, comment_id: str, *, request_id: str = "") -> None:
        """Delete a remark of an open task. Raises NotFound."""
        await self._queries.get_task(task_id)
        if not await asyncio.to_thread(self._comments.remove, task_id, comment_id, request_id):
            raise _unknown(task_id, comment_id)
        self._changed()


def new_comment(task_id: str, author: str, message: str) -> Comment:
    """Return a remark that is yet to be kept."""
    return Comment(
        id="",
        kind=COMMENT,
        action=ADD_COMMENT,
        task_id=task_id,
        instance_id="",
        author=author,
        parts=(message,),
        at=_NEVER,
    )


def _unknown(task_id: str, comment_id: str) -> NotFound:
    return NotFound(
        "comment-not-found",
        f"expected a comment on task '{task_id}', found none with id '{comment_id}'",
        task_id=task_id,
        comment_id=comment_id,
    )
