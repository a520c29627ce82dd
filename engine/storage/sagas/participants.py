"""Participants as rows: few, so all of them are read at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from engine.app.sagas.state import Participant
from engine.storage.sagas import tables
from engine.storage.sagas.rows import Row
from engine.storage.sagas.writing import ANSWERED, OUTBOX
from mesh.db.statements import COMMIT, Insert, Sql
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer

MAX_PARTICIPANTS: Final = 10_000
COLUMNS: Final = (
    "id",
    "name",
    "saga_name",
    "definition_key",
    "target",
    "topic",
    "timeout_seconds",
    "tries",
    "position",
    "compensates",
    "tenant_id",
    "created_at",
)
_UPSERT: Final = Insert(tables.saga_participant, COLUMNS, replace=True)
_ALL: Final = Sql(
    f"SELECT {', '.join(f'`{name}`' for name in COLUMNS)} FROM saga_participant ORDER BY id LIMIT {MAX_PARTICIPANTS}"
)
_SAME: Final = Sql(
    "SELECT id, created_at FROM saga_participant WHERE name = ? AND saga_name = ? AND definition_key = ? "
    "AND tenant_id = ? {for update}"
)
_DELETE: Final = Sql("DELETE FROM saga_participant WHERE id = ?")

PLANNED: Final = (_SAME, _DELETE)
"""For the tests of plans."""


def every(writer: Writer) -> list[Participant]:
    """All participants."""
    return [participant_of(row) for row in writer.read(_ALL.of())]


def participant_of(row: Row) -> Participant:
    """Read a participant from the columns of `COLUMNS`."""
    values = dict(zip(COLUMNS, row, strict=True))
    created_at = values.pop("created_at")
    return Participant(
        **{**values, "compensates": bool(values["compensates"]), "timeout_seconds": float(values["timeout_seconds"])},
        created_at=created_at if isinstance(created_at, datetime) else moment_of_text(str(created_at)),
    )


def register(writer: Writer, wanted: Participant) -> Participant:
    """Insert, or change the one that has the place, and commit."""
    place = (wanted.name, wanted.saga_name, wanted.definition_key, wanted.tenant_id)
    same = writer.run([_SAME.of(*place)])[0].rows
    if same:
        wanted = msgspec.structs.replace(wanted, id=same[0][0], created_at=moment_of_text(str(same[0][1])))
    values = msgspec.structs.asdict(wanted)
    row = tuple(text_of_moment(wanted.created_at) if name == "created_at" else values[name] for name in COLUMNS)
    writer.run([_UPSERT.of([row]), COMMIT])
    return wanted


def unregister(writer: Writer, participant_id: str, request_id: str, now: datetime) -> bool:
    """Delete and commit; says whether there was one, also to a request that was answered before."""
    if writer.run([ANSWERED.of(request_id)])[0].rows and request_id:
        writer.rollback()
        return True
    deleted = writer.run([_DELETE.of(participant_id)])[0].affected
    if not deleted:
        writer.rollback()
        return False
    answer: tuple[Any, ...] = (
        participant_id + "/gone",
        participant_id,
        "",
        request_id or None,
        "{}",
        b"",
        text_of_moment(now),
    )
    writer.run([OUTBOX.of([answer]), COMMIT] if request_id else [COMMIT])
    return True
