"""Forgetting what the outbox has kept long enough: events that everybody has read, answers nobody asks for again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from mesh.db.statements import COMMIT, Sql
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer

ROWS_AT_ONCE: Final = 1000

RELAY: Final = "relay"
"""The group that ships the outbox to a broker."""

_READ_BY_ALL: Final = Sql("SELECT MIN(sequence) FROM bus_offset WHERE `partition` = 0 AND consumer_group <> ?")
_SHIPPED: Final = Sql("SELECT MIN(sequence) FROM bus_offset WHERE `partition` = 0 AND consumer_group = ?")
_OLD_EVENTS: Final = Sql(
    "SELECT position, occurred_at FROM business_event WHERE position > ? ORDER BY position LIMIT ?"
)
_DELETE_EVENTS: Final = Sql("DELETE FROM business_event WHERE position IN ?*")
# The oldest rows come first by key, so neither statement looks at more than it takes.
_OLDEST: Final = Sql("SELECT sequence, created_at FROM outbox WHERE sequence <= ? ORDER BY sequence LIMIT ?")
_DELETE: Final = Sql("DELETE FROM outbox WHERE sequence IN ?*")

PLANNED: Final = (_OLDEST, _DELETE, _OLD_EVENTS, _DELETE_EVENTS)
"""For the tests of plans."""


def prune_outbox(writer: Writer, before: datetime, *, relayed: bool = False) -> int:
    """Delete up to `ROWS_AT_ONCE` rows written before a moment and read by every group; commits. Gives how many.

    `relayed`: a broker has the consumers, so the relay alone counts; without, those that read the outbox themselves.
    While nobody who counts has ever read, nothing is deleted: history may only be on its way.
    """
    read = writer.run([(_SHIPPED if relayed else _READ_BY_ALL).of(RELAY)])[0].rows[0][0]
    if read is None:
        writer.rollback()
        return 0
    oldest = writer.run([_OLDEST.of(int(read), ROWS_AT_ONCE)])[0].rows
    limit = text_of_moment(before)
    old = [sequence for sequence, created_at in oldest if str(created_at) < limit]
    if not old:
        writer.rollback()
        return 0
    writer.run([_DELETE.of(old), COMMIT])
    return len(old)


def prune_business_events(writer: Writer, before: datetime) -> int:
    """Delete up to `ROWS_AT_ONCE` business events from before a moment, read or not; commits. Gives how many."""
    oldest = writer.run([_OLD_EVENTS.of(0, ROWS_AT_ONCE)])[0].rows
    limit = text_of_moment(before)
    old = [position for position, occurred_at in oldest if str(occurred_at) < limit]
    if not old:
        writer.rollback()
        return 0
    writer.run([_DELETE_EVENTS.of(old), COMMIT])
    return len(old)
