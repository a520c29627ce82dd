"""Timers: dates, durations, cycles and cron expressions."""

from datetime import UTC, datetime

import pytest

from engine.bpmn.problems import InvalidModel
from engine.kernel.errors import Refused
from engine.kernel.state import TIMER, Tree
from engine.kernel.triggers.timer import next_of
from tests.engine.kernel.contract import WaitingContract, engine_with
from tests.engine.kernel.harness import MemoryEngine, started, state_of, tasks_of
from tests.engine.kernel.models import boundary, catch, end, flows, model, start, timer, user_task


class TestTimerCatch(WaitingContract):
    content = start() + catch("x", timer("timeDuration", "PT5M")) + end() + flows("s>x>e")

    def step(self, engine: MemoryEngine, tree: Tree) -> None:
        del tree
        engine.advance(minutes=5)
        engine.fire_timers()


def with_boundary(definition: str, *, interrupting: bool) -> str:
    return model(
        start(),
        user_task("work"),
        boundary("late", "work", definition, interrupting=interrupting),
        user_task("remind"),
        end(),
        flows("s>work>e late>remind>e"),
    )


def test_a_cycle_fires_as_often_as_it_says_and_keeps_to_its_grid() -> None:
    engine = engine_with(with_boundary(timer("timeCycle", "R2/PT1H"), interrupting=False))
    tree = engine.start("p")

    engine.advance(minutes=90)
    engine.fire_timers()
    (_, job) = engine.jobs(TIMER)[0]

    assert job.due_at == datetime(2026, 1, 1, 14, 0, tzinfo=UTC)
    engine.advance(hours=10)
    engine.fire_timers()
    assert tasks_of(engine.trees[tree.root_id]) == ["remind", "remind", "work"]
    assert engine.jobs(TIMER) == []


def test_an_interrupting_timer_never_repeats() -> None:
    engine = engine_with(with_boundary(timer("timeCycle", "R/PT1H"), interrupting=True))
    tree = engine.start("p")

    engine.advance(hours=9)
    engine.fire_timers()

    assert tasks_of(engine.trees[tree.root_id]) == ["remind"]
    assert engine.jobs(TIMER) == []


def test_a_timer_that_is_no_time_refuses_the_command() -> None:
    engine = engine_with(model(start(), catch("x", timer("timeDate", "${when}")), end(), flows("s>x>e")))

    with pytest.raises(Refused, match="expected an ISO 8601 date") as caught:
        engine.start("p", {"when": "tomorrow"})

    assert caught.value.status == "FAILED_PRECONDITION"


def test_a_literal_that_is_no_time_is_refused_at_deployment() -> None:
    with pytest.raises(InvalidModel, match="element 'x': expected an ISO 8601 duration"):
        engine_with(model(start(), catch("x", timer("timeDuration", "PT")), end(), flows("s>x>e")))


def test_a_start_timer_starts_an_instance_at_each_firing() -> None:
    engine = engine_with(model(start("s", timer("timeCycle", "R2/PT1M")), user_task("work"), flows("s>work")))

    engine.advance(minutes=1)
    engine.fire_timers()
    engine.advance(hours=1)
    engine.fire_timers()

    assert [state_of(tree) for tree in engine.trees.values()] == ["active", "active"]
    assert all(started(events) == ["s", "work"] for events in engine.history.values())


@pytest.mark.parametrize(
    ("repeat", "due", "rest"),
    [
        ("R3/PT1H", "2026-01-01T11:00:00+00:00", "R2/PT1H"),
        ("R/PT1H", "2026-01-01T11:00:00+00:00", "R/PT1H"),
        ("R1/P1M", "2026-02-01T08:00:00+00:00", ""),
        ("cron 0 0/5 * * * ?", "2026-01-01T10:35:00+00:00", "cron 0 0/5 * * * ?"),
    ],
)
def test_missed_firings_are_left_out(repeat: str, due: str, rest: str) -> None:
    due_at, now = datetime(2026, 1, 1, 8, 0, tzinfo=UTC), datetime(2026, 1, 1, 10, 30, tzinfo=UTC)

    found = next_of(repeat, due_at, now)

    assert found == (datetime.fromisoformat(due), rest)


@pytest.mark.parametrize("repeat", ["", "R3/PT1H/2026-01-01T10:59:00Z", "cron 0 0 12 * * ?|2026-01-01T11:00:00Z"])
def test_a_cycle_that_is_over_has_no_next_firing(repeat: str) -> None:
    moment = datetime(2026, 1, 1, 10, 0, tzinfo=UTC)

    assert next_of(repeat, moment, moment) is None


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        ("0 0 12 ? * 2", "2026-01-05T12:00:00"),
        ("0 0 8 ? * 2-6", "2026-01-02T08:00:00"),
        ("0 0 8 ? * 6L", "2026-01-30T08:00:00"),
        ("0 0 8 ? * FRIL", "2026-01-30T08:00:00"),
        ("0 0 8 ? * 2#1", "2026-01-05T08:00:00"),
        ("0 0 8 ? * L", "2026-01-03T08:00:00"),
        ("0 0 0 1 JAN ? 2030", "2030-01-01T00:00:00"),
        ("0 0/5 * * * ? *", "2026-01-01T12:05:00"),
        ("30 12 * * 1", "2026-01-05T12:30:00"),
    ],
)
def test_cron_counts_days_and_years_as_quartz_does(cron: str, due: str) -> None:
    engine = engine_with(with_boundary(timer("timeCycle", cron), interrupting=False))

    engine.start("p")

    (_, job) = engine.jobs(TIMER)[0]
    assert job.due_at == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_a_cron_expression_ends_with_its_last_year() -> None:
    engine = engine_with(with_boundary(timer("timeCycle", "0 0 13 1 1 ? 2026"), interrupting=False))
    tree = engine.start("p")

    engine.advance(hours=1)
    engine.fire_timers()

    assert tasks_of(engine.trees[tree.root_id]) == ["remind", "work"]
    assert engine.jobs(TIMER) == []


def test_the_end_of_a_cycle_may_come_from_a_variable() -> None:
    definition = timer("timeCycle", "R/PT1H").replace("<timeCycle>", '<timeCycle flowable:endDate="${until}">')
    engine = engine_with(with_boundary(definition, interrupting=False))
    tree = engine.start("p", {"until": "2026-01-01T14:30:00"})

    engine.advance(hours=1)
    engine.fire_timers()
    engine.advance(hours=9)
    engine.fire_timers()

    assert tasks_of(engine.trees[tree.root_id]) == ["remind", "remind", "work"]
    assert engine.jobs(TIMER) == []


@pytest.mark.parametrize("kind", ["timeDate", "timeDuration", "timeCycle"])
def test_a_timer_without_a_time_refuses_the_command(kind: str) -> None:
    engine = engine_with(with_boundary(timer(kind, "${wait}"), interrupting=True))

    with pytest.raises(Refused, match=r"element 'late': expected .*, found (None|null)") as caught:
        engine.start("p", {"wait": None})

    assert caught.value.status == "FAILED_PRECONDITION"
