"""What a database is asked: for tests of plans and of how often it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from mesh.db.database import Database

_BEFORE = "before_cursor_execute"


def note_statements(database: Database, note: Callable[[str, Any], None]) -> Callable[[], None]:
    """Tell `note` the text and the parameters of each statement, but for those of writers, from now on.

    Returns what ends it.
    """

    def heard(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        note(statement, parameters)

    engines = (database.engine, database.reader)
    for engine in engines:
        event.listen(engine, _BEFORE, heard)

    def end() -> None:
        for engine in engines:
            event.remove(engine, _BEFORE, heard)

    return end
