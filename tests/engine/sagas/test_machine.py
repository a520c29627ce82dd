"""The way of a saga, and what its log may tell, as values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.app.sagas import machine
from engine.app.sagas.declarations import COMPLETION, FORM_SUBMISSION
from engine.app.sagas.replay import contradictions
from engine.app.sagas.state import (
    BEGUN,
    READY,
    RPC,
    UNTIL_DONE,
    WAITING,
    LogLine,
    Participant,
    PlannedStep,
    Saga,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def pause(failures: int) -> timedelta:
    return timedelta(seconds=failures)


def participant(name: str, **more: Any) -> Participant:
    fields = {"saga_name": "completion", "target": "a:1", **more}
    return Participant(id=name, name=name, created_at=NOW, **fields)


def completion(*names: str, **more: Any) -> tuple[Saga, list[LogLine]]:
    plan = COMPLETION.plan([participant(name, **more) for name in names])
    saga = Saga(id="s", name="completion", created_at=NOW, plan=plan)
    return saga, machine.begin(saga, NOW)


def told(lines: list[LogLine]) -> list[tuple[str, str]]:
    return [(line.step_id, line.state) for line in lines]


def test_a_saga_without_further_steps_is_over_as_soon_as_it_begins() -> None:
    saga, lines = completion()

    assert told(lines) == [("record", "COMPLETED"), ("publish", "COMPLETED"), ("", "COMPLETED")]
    assert (saga.state, saga.ended_at, saga.is_open) == ("COMPLETED", NOW, False)


def test_the_pause_before_the_next_try_grows_and_the_failures_count_for_one_step_only() -> None:
    saga, _ = completion("a", "b")

    machine.start_step(saga, NOW)
    machine.fail(saga, NOW, "first", pause)
    first = saga.due_at
    machine.start_step(saga, NOW)
    machine.fail(saga, NOW, "second", pause)
    second = saga.due_at
    machine.start_step(saga, NOW)
    machine.succeed(saga, NOW)

    assert (first, second) == (NOW + timedelta(seconds=1), NOW + timedelta(seconds=2))
    assert (saga.step.name, saga.failures, saga.attempts, saga.phase) == ("b", 0, 0, READY)


def test_a_crash_counts_as_no_failure() -> None:
    saga, _ = completion("a", tries=1)

    for _ in range(5):
        machine.start_step(saga, NOW)

    assert (saga.attempts, saga.failures, saga.is_open) == (5, 0, True)


def test_the_patience_with_a_word_begins_with_the_step() -> None:
    saga, _ = completion("a", timeout_seconds=60.0)

    machine.start_step(saga, NOW)
    machine.wait_for_word(saga, NOW + timedelta(seconds=10))

    assert (saga.phase, saga.due_at) == (WAITING, NOW + timedelta(seconds=60))


def test_behind_a_pivot_there_is_no_way_back() -> None:
    saga = Saga(id="s", name="form-submission", created_at=NOW, plan=FORM_SUBMISSION.plan())
    machine.begin(saga, NOW)
    for _ in range(2):
        machine.start_step(saga, NOW)
        machine.succeed(saga, NOW)
    machine.start_step(saga, NOW)

    for _ in range(50):
        machine.fail(saga, NOW, "away", pause)
    still = saga.state
    lines = machine.fail(saga, NOW, "never", pause, final=True)

    assert (still, saga.state) == ("STARTED", "FAILED")
    assert told(lines) == [("confirm", "FAILED"), ("", "FAILED")]
    assert told(machine.retry(saga, NOW, "kermit")) == [("", "RETRIED")]
    assert (saga.step.name, saga.round, saga.state) == ("confirm", 1, "STARTED")


def test_a_step_refused_before_the_pivot_is_taken_back_with_those_before_it() -> None:
    saga = Saga(id="s", name="form-submission", created_at=NOW, plan=FORM_SUBMISSION.plan())
    machine.begin(saga, NOW)
    machine.start_step(saga, NOW)
    machine.succeed(saga, NOW, {"a": 1})
    machine.start_step(saga, NOW)

    machine.fail(saga, NOW, "no such task", pause, final=True)

    assert (saga.state, saga.step.name, saga.data) == ("COMPENSATING", "prepare", {"results": {"prepare": {"a": 1}}})


def test_a_compensated_saga_that_is_retried_has_other_step_ids() -> None:
    saga, _ = completion("a")
    machine.start_step(saga, NOW)
    machine.fail(saga, NOW, "no", pause, final=True)
    machine.start_step(saga, NOW)
    machine.succeed(saga, NOW)

    machine.retry(saga, NOW, "kermit")
    (line,) = machine.start_step(saga, NOW)

    assert (saga.round, line.step_id) == (2, "a~2")


def _drive(saga: Saga, lines: list[LogLine], choices: list[int]) -> None:
    """Let chance decide what becomes of each step, a crash and a person's hand included."""
    for choice in choices:
        if saga.is_open:
            if saga.phase == READY:
                lines += machine.start_step(saga, NOW)
            elif choice in (0, 1, 2):
                lines += machine.succeed(saga, NOW)
            elif choice in (3, 4):
                lines += machine.fail(saga, NOW, "x", pause, final=choice == 4)
            else:
                assert saga.phase == BEGUN
                saga.phase = READY
        elif saga.state in ("COMPENSATED", "FAILED"):
            lines += machine.close(saga, NOW, "") if choice == 0 else machine.retry(saga, NOW, "kermit")


STEPS = st.builds(
    PlannedStep,
    name=st.just("x"),
    kind=st.just(RPC),
    tries=st.sampled_from([1, 2, UNTIL_DONE]),
    compensates=st.booleans(),
    pivot=st.booleans(),
)


@given(st.lists(STEPS, min_size=1, max_size=4), st.lists(st.integers(0, 5), max_size=60))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_the_log_tells_the_story_of_the_row(steps: list[PlannedStep], choices: list[int]) -> None:
    plan = tuple(msgspec.structs.replace(step, name=f"s{n}") for n, step in enumerate(steps))
    saga = Saga(id="s", name="completion", created_at=NOW, plan=plan)
    lines = machine.begin(saga, NOW)

    _drive(saga, lines, choices)

    assert list(contradictions(saga, lines)) == []
    for at in range(1, saga.round + 1):
        mark = "" if at == 1 else f"~{at}"
        taken = [line.step_id for line in lines if line.state == "COMPENSATED" and line.step_id]
        ours = [one for one in taken if (one.partition("~")[1] + one.partition("~")[2]) == mark]
        assert ours == sorted(ours, reverse=True)


Spoil = Callable[[Saga, list[LogLine]], tuple[Saga, list[LogLine]]]


def _without_third(saga: Saga, lines: list[LogLine]) -> tuple[Saga, list[LogLine]]:
    return saga, lines[:2] + lines[3:]


def _swapped(saga: Saga, lines: list[LogLine]) -> tuple[Saga, list[LogLine]]:
    names = [line.step_id for line in lines]
    back = [n for n, line in enumerate(lines) if line.state in ("COMPENSATING", "COMPENSATED") and line.step_id]
    changed = list(lines)
    for n in back:
        other = {"a": "b", "b": "a"}.get(names[n], names[n])
        changed[n] = msgspec.structs.replace(lines[n], step_id=other)
    return saga, changed


def _twice(saga: Saga, lines: list[LogLine]) -> tuple[Saga, list[LogLine]]:
    saga.number += 1
    return saga, [*lines, msgspec.structs.replace(lines[-1], number=saga.number)]


def _another_state(saga: Saga, lines: list[LogLine]) -> tuple[Saga, list[LogLine]]:
    saga.state = "COMPLETED"
    return saga, lines


def _no_end(saga: Saga, lines: list[LogLine]) -> tuple[Saga, list[LogLine]]:
    saga.ended_at = None
    return saga, lines


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_without_third, "saga-log-gap"),
        (_swapped, "saga-log-order"),
        (_twice, "saga-log-order"),
        (_another_state, "saga-unlike-log"),
        (_no_end, "saga-unlike-log"),
    ],
)
def test_a_log_that_cannot_be_is_found(spoil: Spoil, rule: str) -> None:
    saga, lines = completion("a", "b")
    for _ in range(2):
        lines += machine.start_step(saga, NOW)
        lines += (
            machine.succeed(saga, NOW) if saga.step.name == "a" else machine.fail(saga, NOW, "x", pause, final=True)
        )
    while saga.is_open:
        lines += machine.start_step(saga, NOW)
        lines += machine.succeed(saga, NOW)
    assert list(contradictions(saga, lines)) == []

    found = [broken for broken, _ in contradictions(*spoil(saga, lines))]

    assert found == [rule]
