"""Tables beside the instance trees: remarks on tasks, and first answers to requests that never saw the group commit."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Table

from engine.storage.tables import metadata
from mesh.db.types import UtcDateTime, identifier, long_text, text

_OPTIONS: Final[dict[str, Any]] = {
    f"{prefix}_{name}": value
    for prefix in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

comment: Final = Table(
    "comment",
    metadata,
    Column("id", identifier(), primary_key=True, nullable=False),
    Column("kind", identifier(32), nullable=False),
    Column("action", identifier(32), nullable=False),
    Column("task_id", identifier(), nullable=False),
    Column("instance_id", identifier(), nullable=False),
    Column("author", text(), nullable=False),
    Column("parts", long_text(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Index("ix_comment_task_id", "task_id"),
    Index("ix_comment_instance_id", "instance_id"),
    **_OPTIONS,
)
"""A remark on a task (`kind` comment) or what somebody did with it (`kind` event). `parts`: its message, a JSON array.

Rows outlive their task: they are part of what happened to the instance.
"""

answer: Final = Table(
    "answer",
    metadata,
    Column("request_id", text(128), primary_key=True, nullable=False),
    Column("reply", long_text(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Index("ix_answer_created_at", "created_at"),
    **_OPTIONS,
)
"""The first answer to a request on standalone tasks and remarks, so that a retry gets it again and changes nothing."""
