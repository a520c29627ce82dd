"""Sagas from rows and rows from sagas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from engine.app.sagas.declarations import COMPLETION
from engine.app.sagas.state import BAD_STATES, READY, LogLine, PlannedStep, Saga
from mesh.db.types import moment_of_text, text_of_moment

SAGA_COLUMNS: Final = (
    "id",
    "name",
    "state",
    "lane",
    "instance_id",
    "definition_key",
    "task_id",
    "tenant_id",
    "owner",
    "token",
    "available_at",
    "created_at",
    "ended_at",
    "body",
)
LOG_COLUMNS: Final = (
    "saga_id",
    "number",
    "step_id",
    "state",
    "attempt",
    "started_at",
    "ended_at",
    "duration_ms",
    "error",
)
OPEN_LANE, BAD_LANE, OVER_LANE = "open", "bad", "over"
MAX_DURATION_MS: Final = 2**31 - 1
Row = Sequence[Any]


_ALONE: Final = COMPLETION.plan()


class Body(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What no query asks for. Without a plan: that of a completion in which nobody takes part."""

    root_id: str = ""
    plan: tuple[PlannedStep, ...] = ()
    data: dict[str, Any] = {}
    position: int = 0
    backwards: bool = False
    phase: str = READY
    round: int = 1
    attempts: int = 0
    failures: int = 0
    number: int = 0
    error: str = ""
    step_started_at: datetime | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Body)
_FIELDS: Final = Body.__struct_fields__


def lane_of(state: str, *, is_open: bool) -> str:
    """Where a saga lies."""
    return OPEN_LANE if is_open else BAD_LANE if state in BAD_STATES else OVER_LANE


def saga_row(saga: Saga) -> tuple[Any, ...]:
    """Spell a saga, in the order of `SAGA_COLUMNS`."""
    is_open = saga.is_open
    moment = saga.lease_until if saga.token else saga.due_at if is_open else saga.ended_at
    assert moment is not None, f"saga {saga.id} is neither held nor due nor over"
    body = Body(
        root_id=saga.root_id,
        plan=() if saga.plan == _ALONE else saga.plan,
        data=saga.data,
        position=saga.position,
        backwards=saga.backwards,
        phase=saga.phase,
        round=saga.round,
        attempts=saga.attempts,
        failures=saga.failures,
        number=saga.number,
        error=saga.error,
        step_started_at=saga.step_started_at,
    )
    # The end of an instance in whose completion nobody takes part is one moment, and by far the most frequent saga.
    created = text_of_moment(saga.created_at)
    ended = saga.ended_at
    return (
        saga.id,
        saga.name,
        saga.state,
        lane_of(saga.state, is_open=is_open),
        saga.instance_id,
        saga.definition_key,
        saga.task_id,
        saga.tenant_id,
        saga.owner,
        saga.token,
        created if moment is saga.created_at else text_of_moment(moment),
        created,
        None if ended is None else created if ended is saga.created_at else text_of_moment(ended),
        _encoder.encode(body).decode(),
    )


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return moment_of_text(str(value))


def saga_of(row: Row) -> Saga:
    """Read a saga from the columns of `SAGA_COLUMNS`."""
    body = _decoder.decode(row[13])
    available_at = _moment(row[10])
    is_held = bool(row[9])
    created_at = _moment(row[11])
    assert created_at is not None
    saga = Saga(
        id=row[0],
        name=row[1],
        state=row[2],
        instance_id=row[4],
        definition_key=row[5],
        task_id=row[6],
        tenant_id=row[7],
        owner=row[8],
        token=row[9],
        lease_until=available_at if is_held else None,
        created_at=created_at,
        ended_at=_moment(row[12]),
        **{name: getattr(body, name) for name in _FIELDS},
    )
    saga.plan = saga.plan or _ALONE
    saga.due_at = available_at if saga.is_open and not is_held else None
    return saga


def log_row(saga_id: str, line: LogLine) -> tuple[Any, ...]:
    """Spell a line of the log, in the order of `LOG_COLUMNS`."""
    if line.started_at is line.ended_at:
        started = ended = text_of_moment(line.ended_at)
        duration_ms = 0
    else:
        started, ended = text_of_moment(line.started_at), text_of_moment(line.ended_at)
        passed = line.ended_at - line.started_at
        duration_ms = min(max(int(passed.total_seconds() * 1000), 0), MAX_DURATION_MS)
    return (saga_id, line.number, line.step_id, line.state, line.attempt, started, ended, duration_ms, line.error)


def line_of(row: Row) -> LogLine:
    """Read a line from the columns of `LOG_COLUMNS`."""
    started, ended = _moment(row[5]), _moment(row[6])
    assert started is not None
    assert ended is not None
    return LogLine(
        number=row[1],
        step_id=row[2],
        state=row[3],
        attempt=row[4],
        started_at=started,
        ended_at=ended,
        error=row[8],
    )
