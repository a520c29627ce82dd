"""Signals and messages on their way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from engine.app.unit_of_work import Delivery
from engine.storage.codec import decode_variables
from mesh.db.statements import Sql
from mesh.db.types import text_of_moment
from mesh.db.writer import Writer

_COLUMNS: Final = (
    "throw_id, subscription_id, kind, name, root_id, instance_id, execution_id, definition_id, element_id, "
    "business_key, variables, attempts"
)
_OF_THROWS: Final = Sql(
    f"SELECT {_COLUMNS} FROM delivery WHERE throw_id IN ?* AND dead = 0 AND due_at <= ? "
    "ORDER BY throw_id, subscription_id LIMIT ?"
)
_DUE: Final = Sql(
    f"SELECT {_COLUMNS} FROM delivery {{index ix_delivery_dead_due_at}} WHERE dead = 0 AND due_at <= ? "
    "ORDER BY due_at LIMIT ?"
)

PLANNED: Final = (_OF_THROWS, _DUE)
"""For the tests of plans."""


def deliveries(writer: Writer, throw_ids: Sequence[str], now: datetime, limit: int) -> list[Delivery]:
    """Deliveries of these throws or, if none is named, all that are due; ends its transaction."""
    present = text_of_moment(now)
    asked = _OF_THROWS.of(list(throw_ids), present, limit) if throw_ids else _DUE.of(present, limit)
    rows = writer.read(asked)
    return [
        Delivery(
            key=(row[0], row[1]),
            kind=row[2],
            name=row[3],
            root_id=row[4],
            instance_id=row[5],
            execution_id=row[6],
            definition_id=row[7],
            element_id=row[8],
            business_key=row[9],
            variables=decode_variables(row[10]),
            attempts=row[11],
        )
        for row in rows
    ]
