"""`flowloom check` for sagas: does each log tell a possible story, the same as its saga's row, and has each a saga?"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, func, select

from engine.app.queries.consistency import Finding
from engine.app.sagas.replay import contradictions
from engine.app.sagas.state import LogLine
from engine.storage.sagas import tables
from engine.storage.sagas.rows import LOG_COLUMNS, SAGA_COLUMNS, lane_of, line_of, saga_of

SAGAS: Final = 200
"""Sagas read at once."""
ORPHANS: Final = 5_000
"""Lines looked at together for a saga that they have not."""

_S: Final = tables.saga.c
_L: Final = tables.transaction_log.c


def check_batch(connection: Connection, after: str) -> tuple[list[Finding], str]:
    """Check the sagas behind an id, in one snapshot; returns the last id (empty: no more)."""
    statement = select(*(_S[name] for name in SAGA_COLUMNS)).where(_S.id > after).order_by(_S.id).limit(SAGAS)
    rows = connection.execute(statement).all()
    logs: dict[str, list[LogLine]] = {row.id: [] for row in rows}
    lines = select(*(_L[name] for name in LOG_COLUMNS)).where(_L.saga_id.in_(list(logs))).order_by(*_KEY)
    for row in connection.execute(lines) if rows else ():
        logs[row.saga_id].append(line_of(row))
    findings: list[Finding] = []
    for row in rows:
        saga = saga_of(row)
        found = list(contradictions(saga, logs[saga.id]))
        lane = lane_of(saga.state, is_open=saga.is_open)
        if row.lane != lane:
            found.append(("saga-in-wrong-lane", f"expected this saga in lane {lane}, found it in {row.lane}"))
        findings += [
            Finding(rule=rule, message=message, process_instance_id=saga.instance_id, subject_id=saga.id)
            for rule, message in found
        ]
    return findings, rows[-1].id if len(rows) == SAGAS else ""


_KEY: Final[tuple[Any, ...]] = (_L.saga_id, _L.number)


def lines_without_saga(connection: Connection, after: str) -> tuple[list[Finding], str]:
    """Logs behind an id whose saga is gone; returns the last id looked at (empty: no more)."""
    logged = select(_L.saga_id, func.min(_L.number)).where(_L.saga_id > after).group_by(_L.saga_id).order_by(_L.saga_id)
    ids = [row.saga_id for row in connection.execute(logged.limit(ORPHANS))]
    there = set(connection.execute(select(_S.id).where(_S.id.in_(ids))).scalars()) if ids else set()
    findings = [
        Finding(rule="saga-log-without-saga", message="expected its saga to be there, found none", subject_id=saga_id)
        for saga_id in ids
        if saga_id not in there
    ]
    return findings, ids[-1] if len(ids) == ORPHANS else ""
