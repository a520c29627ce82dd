"""Tables beside the instance trees: remarks on tasks, and first answers to requests that never saw the group commit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, Table

from engine.storage.tables import metadata
from mesh.db.columns import OPTIONS, id_column, long_column, moment_column, text_column, word_column

comment: Final = Table(
    "comment",
    metadata,
    id_column("id", key=True),
    word_column("kind"),
    word_column("action"),
    id_column("task_id"),
    id_column("instance_id"),
    text_column("author"),
    long_column("parts"),
    moment_column("created_at"),
    Index("ix_comment_task_id", "task_id"),
    Index("ix_comment_instance_id", "instance_id"),
    **OPTIONS,
)
"""A remark on a task (`kind` comment) or what somebody did with it (`kind` event). `parts`: its message, a JSON array.

Rows outlive their task: they are part of what happened to the instance.
"""

answer: Final = Table(
    "answer",
    metadata,
    text_column("request_id", 128, key=True),
    long_column("reply"),
    moment_column("created_at"),
    Index("ix_answer_created_at", "created_at"),
    **OPTIONS,
)
"""The first answer to a request on standalone tasks and remarks, so that a retry gets it again and changes nothing."""
