"""Whether a saga's log tells a possible story, and the same one as its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from engine.app.sagas.machine import first_outside
from engine.app.sagas.state import (
    BAD_STATES,
    CLOSED,
    COMPENSATED,
    COMPENSATING,
    COMPLETED,
    FAILED,
    RETRIED,
    STARTED,
    LogLine,
    Saga,
)

MAX_SPELLED: Final = 10


def contradictions(saga: Saga, lines: Sequence[LogLine]) -> Iterator[tuple[str, str]]:
    """What does not fit, each as the rule that is broken and what was expected and found; `lines` in order."""
    numbers = [line.number for line in lines]
    if numbers != list(range(1, saga.number + 1)):
        yield "saga-log-gap", f"expected lines 1 to {saga.number}, found {_spelled(numbers)}"
        return
    yield from _Story(saga).told(lines)


class _Story:
    """The log read again. `_at`: the step that may come next forwards. `_back`: the last one that was taken back."""

    def __init__(self, saga: Saga) -> None:
        self._saga = saga
        self._at = 0
        self._back: int | None = None
        self._has_turned = False
        self._round = 1
        self._state = STARTED

    def told(self, lines: Sequence[LogLine]) -> Iterator[tuple[str, str]]:
        """Read the lines; stops at the first that cannot be."""
        for line in lines:
            problem = self._step(line) if line.step_id else self._whole(line)
            if problem:
                yield "saga-log-order", f"line {line.number}, {line.state} of '{line.step_id}': {problem}"
                return
        found = self._saga.state
        expected = {STARTED, COMPENSATING} if self._state == STARTED else {self._state}
        if self._has_turned:
            expected.discard(STARTED)
        if found not in expected:
            yield "saga-unlike-log", f"expected a saga in state {' or '.join(sorted(expected))}, found {found}"
        elif self._saga.is_open == (self._saga.ended_at is not None):
            yield "saga-unlike-log", f"expected a time of its end only if it is over, found otherwise in state {found}"

    def _whole(self, line: LogLine) -> str:
        is_bad = self._state in BAD_STATES
        if line.state in (RETRIED, CLOSED):
            if not is_bad:
                return f"expected it after a bad end, found {self._state}"
            if line.state == RETRIED and self._state == COMPENSATED:
                self._round += 1
                self._at = first_outside(self._saga.plan)
                self._back, self._has_turned = None, False
            self._state = STARTED if line.state == RETRIED else CLOSED
            return ""
        if self._state != STARTED:
            return f"expected nothing after {self._state}"
        if line.state == COMPLETED and (self._at < len(self._saga.plan) or self._has_turned):
            return "expected every step to be completed before"
        if line.state == COMPENSATED and self._next_back() >= 0:
            return f"expected '{self._saga.plan[self._next_back()].name}' to be taken back before"
        if line.state not in (COMPLETED, COMPENSATED, FAILED):
            return "expected a state of a saga as a whole"
        self._state = line.state
        return ""

    def _step(self, line: LogLine) -> str:
        if self._state != STARTED:
            return f"expected nothing after {self._state}"
        name, _, number = line.step_id.partition("~")
        index = next((n for n, step in enumerate(self._saga.plan) if step.name == name), -1)
        if index < 0 or number != ("" if self._round == 1 else str(self._round)):
            return "expected a step of the plan in this round"
        if line.state in (STARTED, COMPLETED):
            if self._has_turned or index != self._at:
                return "expected the step that follows the last completed one"
            self._at += line.state == COMPLETED
        elif line.state in (COMPENSATING, COMPENSATED):
            if index != self._next_back():
                return "expected steps to be taken back once, in reverse order"
            self._has_turned = True
            if line.state == COMPENSATED:
                self._back = index
        elif line.state != FAILED:
            return "expected a state of a step"
        return ""

    def _next_back(self) -> int:
        """The step that is to be taken back next; -1 if none is."""
        top = min(self._at, len(self._saga.plan) - 1) if self._back is None else self._back - 1
        return next((n for n in range(top, -1, -1) if self._saga.plan[n].compensates), -1)


def _spelled(numbers: Sequence[int]) -> str:
    return (", ".join(map(str, numbers[:MAX_SPELLED])) or "none") + (", …" if len(numbers) > MAX_SPELLED else "")
