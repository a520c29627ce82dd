"""Candidates for execution by the group commit. Whoever takes them locks their trees first and reads them again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from engine.app.unit_of_work import DueJob
from engine.storage.rows import ENGINE_LANE
from mesh.db.statements import Sql
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer

_DUE: Final = Sql(
    "SELECT id, root_id, execution_id, definition_id FROM job {index ix_job_lane_topic_available_at} "
    "WHERE lane = ? AND topic = '' AND available_at <= ? ORDER BY available_at LIMIT ?"
)

PLANNED: Final = (_DUE,)
"""For the tests of plans."""


def due_jobs(writer: Writer, now: datetime, limit: int) -> list[DueJob]:
    """Timers and asynchronous continuations that are due, the longest due first. Locks nothing."""
    rows = writer.read(_DUE.of(ENGINE_LANE, text_of_moment(now), limit))
    return [DueJob(id=row[0], root_id=row[1], execution_id=row[2], definition_id=row[3]) for row in rows]
