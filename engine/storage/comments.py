"""Remarks on tasks and what was done with them, as rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from engine.app.standalone import COMMENT, Comment
from engine.app.unit_of_work import EncodeEvents
from engine.kernel import events as ev
from engine.storage import tables
from engine.storage.codec import from_json, to_json
from engine.storage.remark_tables import comment as table
from engine.storage.small_writes import Reply, SmallWrites
from mesh.errors import NotFound
from mesh.ids import IdSource


class CommentRows:
    """Implements `engine.app.standalone.Comments`. What people say is told in the outbox, in the same transaction."""

    def __init__(
        self, writes: SmallWrites, ids: IdSource, now: Callable[[], datetime], encode_events: EncodeEvents
    ) -> None:
        self._writes = writes
        self._ids = ids
        self._now = now
        self._encode_events = encode_events

    def add(self, comment: Comment, request_id: str = "") -> Comment:
        """Insert one and return it as it is kept; with a known request the one of the first call."""

        def work(connection: Connection) -> Reply:
            root = _locked_root(connection, comment.task_id)
            made = msgspec.structs.replace(comment, id=self._ids.root(), at=self._now())
            values: dict[str, Any] = {
                "id": made.id,
                "kind": made.kind,
                "action": made.action,
                "task_id": made.task_id,
                "instance_id": made.instance_id,
                "author": made.author,
                "parts": to_json(made.parts),
                "created_at": made.at,
            }
            connection.execute(insert(table).values(values))
            told = ev.CommentAdded(
                instance_id=root.instance_id,
                comment_id=made.id,
                task_id=made.task_id,
                author=made.author,
                message=made.parts[0],
                at=made.at,
                of_instance=bool(made.instance_id),
            )
            self._publish(connection, root, told, made.at)
            return {"comment": msgspec.to_builtins(made)}

        return msgspec.convert(
            self._writes.run(work, request_id, about=f"comment on {comment.task_id}")["comment"], Comment
        )

    def of_task(self, task_id: str) -> list[Comment]:
        """Remarks and events of a task, newest first."""

        def work(connection: Connection) -> list[Comment]:
            found = select(*table.c).where(table.c.task_id == task_id).order_by(table.c.id.desc())
            return [_comment(row) for row in connection.execute(found)]

        comments: list[Comment] = self._writes.read(work)
        return comments

    def remove(self, task_id: str, comment_id: str, request_id: str = "") -> bool:
        """Delete a remark of a task; says whether there was one."""

        def work(connection: Connection) -> Reply:
            root = _locked_root(connection, task_id)
            wanted = (table.c.id == comment_id, table.c.task_id == task_id, table.c.kind == COMMENT)
            removed = connection.execute(delete(table).where(*wanted)).rowcount > 0
            if removed:
                at = self._now()
                told = ev.CommentRemoved(instance_id=root.instance_id, comment_id=comment_id, task_id=task_id, at=at)
                self._publish(connection, root, told, at)
            return {"removed": removed}

        return bool(self._writes.run(work, request_id, about=f"remove comment {comment_id}")["removed"])

    def _publish(self, connection: Connection, root: _Root, event: ev.Event, at: datetime) -> None:
        command_id = self._ids.root()
        connection.execute(
            insert(tables.outbox).values(
                command_id=command_id,
                root_id=root.root_id,
                tenant_id=root.tenant_id,
                request_id=None,
                reply="{}",
                events=self._encode_events(root.root_id, command_id, root.tenant_id, at, [event]),
                created_at=at,
            )
        )


class _Root(msgspec.Struct, frozen=True, kw_only=True):
    """What the events of a task are told under."""

    root_id: str
    instance_id: str
    tenant_id: str


def _locked_root(connection: Connection, task_id: str) -> _Root:
    """The task's root, kept from others as every writer of its events does: so they appear in their order.

    Raises NotFound for a task that is not open.
    """
    task = tables.task.c
    found = select(task.root_id, task.instance_id, task.tenant_id).where(task.id == task_id)
    row = connection.execute(found).one_or_none()
    if row is None:
        raise NotFound("task-not-found", f"expected an open task, found none with id '{task_id}'", task_id=task_id)
    if row.root_id:
        locked = select(tables.instance.c.id).where(tables.instance.c.id == row.root_id)
    else:
        locked = select(task.id).where(task.id == task_id)
    connection.execute(locked.with_for_update()).all()
    return _Root(root_id=row.root_id or task_id, instance_id=row.instance_id, tenant_id=row.tenant_id)


def _comment(row: Row[Any]) -> Comment:
    return Comment(
        id=row.id,
        kind=row.kind,
        action=row.action,
        task_id=row.task_id,
        instance_id=row.instance_id,
        author=row.author,
        parts=tuple(from_json(row.parts)),
        at=row.created_at,
    )
