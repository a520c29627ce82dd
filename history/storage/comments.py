"""Keeps what people say to history itself: a transaction each, on the store's own connection."""

from __future__ import annotations

from typing import Final

from history.app.deleting import DELETED, no_such_instance
from history.app.logs import no_such_comment
from history.app.queries import Scope
from history.model.ids import digest
from history.model.records import Comment
from history.storage import deletes, erasure_tables
from history.storage.recording import DROP_COMMENTS, PUT_COMMENTS, comment_row
from history.storage.store import Store
from mesh.clock import Clock
from mesh.db.statements import COMMIT, Insert, Row, Sql, Statement
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer
from mesh.ids import IdSource

_INSTANCE: Final = Sql("SELECT root_id, tenant_id FROM historic_process_instance WHERE id = ? {for share}")
_COMMENT: Final = Sql(
    "SELECT id, root_id, instance_id, task_id, author, message, created_at, told FROM historic_comment WHERE id = ?"
)
_FORGET: Final = Insert(erasure_tables.forgotten, replace=True)


class CommentStore:
    """The `Comments` of a database."""

    def __init__(self, store: Store, clock: Clock, ids: IdSource) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    async def add(self, instance_id: str, author: str, message: str, scope: Scope, request_id: str) -> Comment:
        """Add a remark to an instance; with a known request, return the one of the first call. Raises NotFound."""

        def run() -> Comment:
            writer = self._store.writer
            # The request names its remark, so that a retry finds it again.
            comment_id = digest("comment", request_id) if request_id else self._ids.root()
            instance, known = writer.run([_INSTANCE.of(instance_id), _COMMENT.of(comment_id)])
            if not instance.rows or (scope is not None and instance.rows[0][1] != scope):
                raise no_such_instance(instance_id)
            if known.rows:
                writer.rollback()
                return _read(known.rows[0])
            made = Comment(
                id=comment_id,
                root_id=instance.rows[0][0],
                instance_id=instance_id,
                task_id="",
                author=author,
                message=message,
                created_at=self._clock.now(),
                told=False,
            )
            writer.run([PUT_COMMENTS.of([comment_row(made)]), COMMIT])
            return made

        return await self._store.in_thread(run)

    async def remove(self, instance_id: str, comment_id: str, scope: Scope, request_id: str) -> None:
        """Delete a remark of an instance. Raises NotFound."""

        def run() -> None:
            writer = self._store.writer
            if deletes.was_answered(writer, request_id):
                writer.rollback()
                return
            _check(writer, instance_id, comment_id, scope)
            packet: list[Statement] = [
                DROP_COMMENTS.of([(comment_id,)]),
                _FORGET.of([(comment_id, DELETED, text_of_moment(self._clock.now()))]),
            ]
            if request_id:
                packet.append(deletes.remember(request_id, self._clock))
            writer.run([*packet, COMMIT])

        await self._store.in_thread(run)


def _check(writer: Writer, instance_id: str, comment_id: str, scope: Scope) -> None:
    instance, known = writer.run([_INSTANCE.of(instance_id), _COMMENT.of(comment_id)])
    if not instance.rows or (scope is not None and instance.rows[0][1] != scope):
        raise no_such_instance(instance_id)
    if not known.rows or known.rows[0][2] != instance_id:
        raise no_such_comment(comment_id)


def _read(row: Row) -> Comment:
    return Comment(
        id=row[0],
        root_id=row[1],
        instance_id=row[2],
        task_id=row[3],
        author=row[4],
        message=row[5],
        created_at=moment_of_text(row[6]),
        told=bool(row[7]),
    )
