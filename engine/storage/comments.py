"""Remarks on tasks and what was done with them, as rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, insert, select

from engine.app.standalone import COMMENT, Comment
from engine.storage.codec import from_json, to_json
from engine.storage.remark_tables import comment as table
from engine.storage.small_writes import Reply, SmallWrites
from mesh.ids import IdSource


class CommentRows:
    """Implements `engine.app.standalone.Comments`."""

    def __init__(self, writes: SmallWrites, ids: IdSource, now: Callable[[], datetime]) -> None:
        self._writes = writes
        self._ids = ids
        self._now = now

    def add(self, comment: Comment, request_id: str = "") -> Comment:
        """Insert one and return it as it is kept; with a known request the one of the first call."""

        def work(connection: Connection) -> Reply:
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
            wanted = (table.c.id == comment_id, table.c.task_id == task_id, table.c.kind == COMMENT)
            return {"removed": connection.execute(delete(table).where(*wanted)).rowcount > 0}

        return bool(self._writes.run(work, request_id, about=f"remove comment {comment_id}")["removed"])


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
