"""The way of a saga: each function moves it by one event and returns the lines that its log gets for that.

Pure but for the saga itself, which is changed in place. Forwards a step is begun, then succeeds, fails, or is to be
confirmed; a step that fails too often, or for good, turns the saga round, unless a pivot was passed. Backwards, the
step that failed is taken back too, as nobody can tell how far it came, then those before it, last first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from engine.app.sagas.state import (
    BEGUN,
    CLOSED,
    COMPENSATED,
    COMPENSATING,
    COMPLETED,
    FAILED,
    READY,
    RETRIED,
    STARTED,
    TRANSACTION,
    UNTIL_DONE,
    WAITING,
    LogLine,
    PlannedStep,
    Saga,
)

Lines = list[LogLine]
RetryPause = Callable[[int], timedelta]
"""How long to pause after so many failures."""

MAX_ERROR_LENGTH: Final = 4000
MAX_ATTEMPT: Final = 2**31 - 1


def begin(saga: Saga, now: datetime) -> Lines:
    """A new saga: what its own transaction does is done. Without further steps it is over at once."""
    lines: Lines = []
    while saga.position < len(saga.plan) and saga.step.kind == TRANSACTION:
        lines.append(_line(saga, saga.step, COMPLETED, now, now, attempt=1))
        saga.position += 1
    saga.due_at = now
    if saga.position == len(saga.plan):
        lines += _end(saga, COMPLETED, now)
    return lines


def start_step(saga: Saga, now: datetime) -> Lines:
    """The step at hand is begun, or begun anew after a failure or a crash."""
    saga.attempts = min(saga.attempts + 1, MAX_ATTEMPT)
    saga.phase = BEGUN
    saga.step_started_at = now
    state = COMPENSATING if saga.backwards else STARTED
    return [_line(saga, saga.step, state, now, now, attempt=saga.attempts)]


def wait_for_word(saga: Saga, now: datetime) -> None:
    """The participant will confirm; its time began with the step."""
    saga.phase = WAITING
    saga.due_at = (saga.step_started_at or now) + timedelta(seconds=saga.step.timeout_seconds)


def succeed(saga: Saga, now: datetime, result: Mapping[str, Any] | None = None) -> Lines:
    """The step at hand is done, or taken back; the saga stands before the next one or is over."""
    step = saga.step
    state = COMPENSATED if saga.backwards else COMPLETED
    lines = [_line(saga, step, state, saga.step_started_at or now, now, attempt=saga.attempts)]
    if not saga.backwards:
        if result:
            saga.data = {**saga.data, "results": {**saga.data.get("results", {}), step.name: dict(result)}}
        _stand_at(saga, saga.position + 1, now)
        return lines if saga.position < len(saga.plan) else lines + _end(saga, COMPLETED, now)
    return lines + _go_back(saga, saga.position - 1, now)


def fail(saga: Saga, now: datetime, error: str, pause: RetryPause, *, final: bool = False) -> Lines:
    """The step at hand failed: again later, or round, or, where there is no way on, to a person."""
    step = saga.step
    saga.error = error[:MAX_ERROR_LENGTH]
    saga.failures += 1
    lines = [_line(saga, step, FAILED, saga.step_started_at or now, now, attempt=saga.attempts, error=saga.error)]
    # A compensation must succeed in the end, so nothing that a participant says of it is final.
    is_final = final and not saga.backwards
    if not is_final and (step.tries == UNTIL_DONE or saga.failures < step.tries):
        saga.phase = READY
        saga.due_at = now + pause(saga.failures)
        return lines
    if saga.backwards or any(passed.pivot for passed in saga.plan[: saga.position]):
        return lines + _end(saga, FAILED, now, error=saga.error)
    saga.backwards = True
    saga.state = COMPENSATING
    return lines + _go_back(saga, saga.position, now)


def retry(saga: Saga, now: datetime, by: str) -> Lines:
    """A person has a saga that came to a bad end done anew (compensated) or gone on with (failed)."""
    if saga.state == COMPENSATED:
        saga.round += 1
        saga.backwards = False
    saga.state = COMPENSATING if saga.backwards else STARTED
    saga.ended_at = None
    lines = [_line(saga, None, RETRIED, now, now, attempt=saga.round, error=by)]
    if saga.backwards or saga.position >= 0:
        _stand_at(saga, saga.position, now)
    else:
        _stand_at(saga, first_outside(saga.plan), now)
    return lines


def first_outside(plan: Sequence[PlannedStep]) -> int:
    """Where a saga begins: the first step that its own transaction does not do."""
    return next((n for n, step in enumerate(plan) if step.kind != TRANSACTION), len(plan))


def close(saga: Saga, now: datetime, note: str) -> Lines:
    """A person leaves a saga that came to a bad end as it is."""
    return _end(saga, CLOSED, now, error=note)


def _stand_at(saga: Saga, position: int, now: datetime) -> None:
    saga.position = position
    saga.phase = READY
    saga.attempts = saga.failures = 0
    saga.step_started_at = None
    saga.due_at = now


def _go_back(saga: Saga, position: int, now: datetime) -> Lines:
    """Stand before the last step up to the position that has something to take back."""
    lines: Lines = []
    while position >= 0:
        step = saga.plan[position]
        if step.compensates and step.kind != TRANSACTION:
            _stand_at(saga, position, now)
            return lines
        if step.compensates:
            lines.append(_line(saga, step, COMPENSATED, now, now, attempt=1))
        position -= 1
    saga.position = -1
    return lines + _end(saga, COMPENSATED, now, error=saga.error)


def _end(saga: Saga, state: str, now: datetime, error: str = "") -> Lines:
    saga.state = state
    saga.phase = READY
    saga.ended_at = now
    saga.due_at = None
    saga.owner = saga.token = ""
    saga.lease_until = None
    if state == COMPLETED:
        saga.error = ""
    return [_line(saga, None, state, saga.created_at, now, attempt=saga.round, error=error[:MAX_ERROR_LENGTH])]


def _line(
    saga: Saga,
    step: PlannedStep | None,
    state: str,
    started_at: datetime,
    ended_at: datetime,
    *,
    attempt: int,
    error: str = "",
) -> LogLine:
    saga.number += 1
    return LogLine(
        number=saga.number,
        step_id="" if step is None else saga.step_id(step),
        state=state,
        attempt=attempt,
        started_at=started_at,
        ended_at=ended_at,
        error=error,
    )
