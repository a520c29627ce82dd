"""Sagas as statements of a writer: many at once, each only as long as whoever writes it still holds it.

Two round trips: lock the rows (and, for what is published, the instances whose events must keep their order) and look
at the tokens; then write what is still held, with COMMIT in the same packet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from engine.app.sagas.state import Change, Saga
from engine.storage import tables as engine_tables
from engine.storage.sagas import tables
from engine.storage.sagas.rows import LOG_COLUMNS, OPEN_LANE, OVER_LANE, SAGA_COLUMNS, log_row, saga_of, saga_row
from mesh.db.statements import COMMIT, Delete, Insert, Sql, Statement
from mesh.db.types import moment_of_text, text_of_moment
from mesh.db.writer import Writer

NEW_SAGAS: Final = Insert(tables.saga, SAGA_COLUMNS)
SAGAS: Final = Insert(tables.saga, SAGA_COLUMNS, replace=True)
LOG: Final = Insert(tables.transaction_log, LOG_COLUMNS)
OUTBOX: Final = Insert(
    engine_tables.outbox, ("command_id", "root_id", "tenant_id", "request_id", "reply", "events", "created_at")
)

_COLUMNS: Final = ", ".join(SAGA_COLUMNS)
_LOCK_ROOTS: Final = Sql("SELECT id FROM instance {index PRIMARY} WHERE id IN ?* ORDER BY id {for update}")
LOCK_SAGAS: Final = Sql("SELECT id, token FROM saga {index PRIMARY} WHERE id IN ?* ORDER BY id {for update}")
_DUE: Final = Sql(
    f"SELECT {_COLUMNS} FROM saga {{index ix_saga_lane_available_at}} WHERE lane = ? AND available_at <= ? "
    "ORDER BY available_at LIMIT ? {skip locked}"
)
_LEASE: Final = Sql("UPDATE saga SET owner = ?, token = ?, available_at = ? WHERE id IN ?*")
_EXTEND: Final = Sql("UPDATE saga SET available_at = ? WHERE id IN ?* AND owner = ? AND lane = ?")
_MINE: Final = Sql("SELECT id FROM saga WHERE id IN ?* AND owner = ? AND lane = ?")
_PEEK: Final = Sql(f"SELECT {_COLUMNS} FROM saga WHERE id = ?")
_ONE: Final = Sql(f"SELECT {_COLUMNS} FROM saga WHERE id = ? {{for update}}")
ANSWERED: Final = Sql("SELECT request_id FROM outbox WHERE request_id = ?")
_NEXT: Final = Sql(
    "SELECT available_at FROM saga {index ix_saga_lane_available_at} WHERE lane = ? ORDER BY available_at LIMIT 1"
)
_OLD: Final = Sql(
    "SELECT id FROM saga {index ix_saga_lane_available_at} WHERE lane = ? AND available_at < ? "
    "ORDER BY available_at LIMIT ? {skip locked}"
)
_DROP_LOGS: Final = Delete((tables.transaction_log, ("saga_id",)))
_DROP_SAGAS: Final = Delete((tables.saga, ("id",)))

PLANNED: Final = (LOCK_SAGAS, _LOCK_ROOTS, _DUE, _LEASE, _EXTEND, _MINE, _ONE, _NEXT, _OLD)
"""For the tests of plans."""

LOST, KNOWN = "lost", "known"


def rows_of(changes: Sequence[Change], now: datetime, request_id: str = "") -> list[Statement]:
    """What writes these changes, whoever checked that they may be written; `request_id`: of the only one of them."""
    packet: list[Statement] = []
    new = [saga_row(change.saga) for change in changes if change.is_new]
    known = [saga_row(change.saga) for change in changes if not change.is_new]
    if new:
        packet.append(NEW_SAGAS.of(new))
    if known:
        packet.append(SAGAS.of(known))
    lines = [log_row(change.saga.id, line) for change in changes for line in change.lines]
    if lines:
        packet.append(LOG.of(lines))
    told = [_outbox_row(change, now, request_id) for change in changes if change.payload or request_id]
    if told:
        packet.append(OUTBOX.of(told))
    return packet


def _outbox_row(change: Change, now: datetime, request_id: str) -> tuple[Any, ...]:
    """What a saga tells the bus, or that a request about it was answered."""
    saga = change.saga
    at = text_of_moment(now)
    return (command_id(saga), key_of(saga), saga.tenant_id, request_id or None, "{}", change.payload, at)


def command_id(saga: Saga) -> str:
    """The outbox's name for what a saga's last line tells."""
    return f"{saga.id}/{saga.number}"


def key_of(saga: Saga) -> str:
    """What the saga's events are in order with."""
    return saga.root_id or saga.id


def write(writer: Writer, changes: Sequence[Change], now: datetime) -> list[str]:
    """Write what is still held and commit; for each empty, `lost`, or (a new one) `known`."""
    named = {change.saga.id for change in changes}
    # The events of a tree reach the bus in the order of their rows only if whoever writes them holds the tree's root:
    # its instance while it lives, its own saga afterwards.
    roots = sorted({change.saga.root_id for change in changes if change.payload and change.saga.root_id})
    looks: list[Statement] = [LOCK_SAGAS.of(sorted({*named, *roots}))]
    if roots:
        looks.insert(0, _LOCK_ROOTS.of(roots))
    tokens: dict[str, str] = dict(writer.run(looks)[-1].rows)
    outcomes = [_outcome(change, tokens) for change in changes]
    kept = [change for change, outcome in zip(changes, outcomes, strict=True) if not outcome]
    if kept:
        writer.run([*rows_of(kept, now), COMMIT])
    else:
        writer.rollback()
    return outcomes


def _outcome(change: Change, tokens: dict[str, str]) -> str:
    if change.is_new:
        return KNOWN if change.saga.id in tokens else ""
    return "" if tokens.get(change.saga.id) == change.held_token else LOST


def acquire(writer: Writer, owner: str, token: str, now: datetime, until: datetime, limit: int) -> list[Saga]:
    """Take sagas that are due and commit."""
    rows = writer.run([_DUE.of(OPEN_LANE, text_of_moment(now), limit)])[0].rows
    if not rows:
        writer.rollback()
        return []
    writer.run([_LEASE.of(owner, token, text_of_moment(until), [row[0] for row in rows]), COMMIT])
    found = [saga_of(row) for row in rows]
    for saga in found:
        saga.owner, saga.token, saga.lease_until = owner, token, until
    return found


def extend(writer: Writer, owner: str, saga_ids: Sequence[str], until: datetime) -> set[str]:
    """Keep sagas for longer and commit; returns those that are not ours any more."""
    ids = list(saga_ids)
    results = writer.run(
        [_EXTEND.of(text_of_moment(until), ids, owner, OPEN_LANE), _MINE.of(ids, owner, OPEN_LANE), COMMIT]
    )
    return set(ids) - {row[0] for row in results[1].rows}


def change(
    writer: Writer,
    saga_id: str,
    work: Callable[[Saga], Change | None],
    now: datetime,
    request_id: str = "",
) -> Saga | None:
    """Lock one saga, write what `work` makes of it, and commit. None: there is no such saga.

    A request that was answered before changes nothing.
    """
    peeked = writer.run([_PEEK.of(saga_id)])[0].rows
    roots = [saga_of(row).root_id for row in peeked]
    _, _, found, answered = writer.run(
        [_LOCK_ROOTS.of(roots), LOCK_SAGAS.of(sorted({saga_id, *roots})), _ONE.of(saga_id), ANSWERED.of(request_id)]
    )
    if not found.rows:
        writer.rollback()
        return None
    saga = saga_of(found.rows[0])
    made = None if request_id and answered.rows else work(saga)
    if made is None:
        writer.rollback()
        return saga
    writer.run([*rows_of([made], now, request_id), COMMIT])
    return made.saga


def next_due(writer: Writer) -> datetime | None:
    """When the next open saga may be taken."""
    rows = writer.read(_NEXT.of(OPEN_LANE))
    return moment_of_text(str(rows[0][0])) if rows else None


def prune(writer: Writer, before: datetime, limit: int) -> int:
    """Delete up to so many sagas that are over since before a moment, with their logs, and commit."""
    rows = writer.run([_OLD.of(OVER_LANE, text_of_moment(before), limit)])[0].rows
    if not rows:
        writer.rollback()
        return 0
    keys = [(row[0],) for row in rows]
    writer.run([_DROP_LOGS.of(keys), _DROP_SAGAS.of(keys), COMMIT])
    return len(keys)
