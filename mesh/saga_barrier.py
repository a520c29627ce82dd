"""A participant's barrier: lets the effect of a saga's step happen once, and not at all behind its compensation.

The participant keeps a table, and asks at the beginning of the transaction of each effect:

    passage = barrier.enter(connection, saga_id=…, step_id=…, action=EXECUTE, now=…)
    if passage.must_act:
        …  # the effect, on the same connection
        barrier.keep(connection, saga_id=…, step_id=…, action=EXECUTE, answer="…")

- The same call again must not act, and is told what was answered before.
- A compensation whose step was never executed (it was lost on the way) must not act either; it bars the step for ever.
- A step that comes after its compensation is late: it raises `LateExecution`.

Two calls at once wait for each other at the table's key, so one of them acts. Works on MySQL, MariaDB and SQLite.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Index, MetaData, Table, insert, select, update

from mesh.db.types import UtcDateTime, identifier, long_text, text

EXECUTE: Final = "execute"
COMPENSATE: Final = "compensate"
MAX_SAGA_ID: Final = 64
MAX_STEP_ID: Final = 128

_OPTIONS: Final[dict[str, Any]] = {
    f"{prefix}_{name}": value
    for prefix in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


class LateExecution(Exception):
    """A step came after its compensation; it must never be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Whether the effect is to be made now; if not, `answer` is what was kept when it was made."""

    must_act: bool
    answer: str = ""


def barrier_table(metadata: MetaData, name: str = "saga_barrier") -> Table:
    """The table, to be made by the participant's own migrations. `made_by`: the action that wrote the row."""
    return Table(
        name,
        metadata,
        Column("saga_id", identifier(MAX_SAGA_ID), primary_key=True, nullable=False),
        Column("step_id", text(MAX_STEP_ID), primary_key=True, nullable=False),
        Column("action", identifier(16), primary_key=True, nullable=False),
        Column("made_by", identifier(16), nullable=False),
        Column("answer", long_text(), nullable=False),
        Column("created_at", UtcDateTime(), nullable=False),
        Index(f"ix_{name}_created_at", "created_at"),
        **_OPTIONS,
    )


class SagaBarrier:
    """The barrier on a table of `barrier_table`. Blocking; every method runs in the caller's transaction."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def enter(self, connection: Connection, *, saga_id: str, step_id: str, action: str, now: datetime) -> Passage:
        """Ask whether to act. Raises LateExecution; ValueError for an unknown action or an id that is too long."""
        if action not in (EXECUTE, COMPENSATE):
            raise ValueError(f"expected {EXECUTE} or {COMPENSATE}, found '{action}'")
        if not 0 < len(saga_id) <= MAX_SAGA_ID or not 0 < len(step_id) <= MAX_STEP_ID:
            raise ValueError(
                f"expected a saga id of 1 to {MAX_SAGA_ID} and a step id of 1 to {MAX_STEP_ID} characters, "
                f"found {len(saga_id)} and {len(step_id)}"
            )
        if action == EXECUTE:
            if self._insert(connection, saga_id, step_id, EXECUTE, EXECUTE, now):
                return Passage(must_act=True)
            made_by, answer = self._row(connection, saga_id, step_id, EXECUTE)
            if made_by == COMPENSATE:
                raise LateExecution(
                    f"expected step {step_id} of saga {saga_id} before its compensation, found it after"
                )
            return Passage(must_act=False, answer=answer)
        # The step's own row first, as an execution takes it first too: who comes second waits here for the other's end.
        was_never_executed = self._insert(connection, saga_id, step_id, EXECUTE, COMPENSATE, now)
        is_first = self._insert(connection, saga_id, step_id, COMPENSATE, COMPENSATE, now)
        if not is_first:
            return Passage(must_act=False, answer=self._row(connection, saga_id, step_id, COMPENSATE)[1])
        return Passage(must_act=not was_never_executed)

    def keep(self, connection: Connection, *, saga_id: str, step_id: str, action: str, answer: str) -> None:
        """Keep what is answered, for the same call again; in the transaction of the effect."""
        c = self._table.c
        where = (c.saga_id == saga_id, c.step_id == step_id, c.action == action)
        connection.execute(update(self._table).where(*where).values(answer=answer))

    def _insert(
        self, connection: Connection, saga_id: str, step_id: str, action: str, made_by: str, now: datetime
    ) -> bool:
        statement = (
            insert(self._table)
            .prefix_with("OR IGNORE", dialect="sqlite")
            .prefix_with("IGNORE", dialect="mysql")
            .prefix_with("IGNORE", dialect="mariadb")
            .values(saga_id=saga_id, step_id=step_id, action=action, made_by=made_by, answer="", created_at=now)
        )
        return connection.execute(statement).rowcount == 1

    def _row(self, connection: Connection, saga_id: str, step_id: str, action: str) -> tuple[str, str]:
        c = self._table.c
        # The key's latest state, even where the transaction reads an older snapshot. Shared, as the refused insert left
        # a shared lock: two of them that both wanted more would be each other's deadlock.
        statement = (
            select(c.made_by, c.answer)
            .where(c.saga_id == saga_id, c.step_id == step_id, c.action == action)
            .with_for_update(read=True)
        )
        made_by, answer = connection.execute(statement).one()
        return made_by, answer
