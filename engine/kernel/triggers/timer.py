"""Timer: a date, a duration or a cycle (BPMN 2.0, 10.5.5.12; values and cron as Flowable's).

Only non-interrupting boundary events, event sub-process starts and process starts repeat; the next firing is scheduled
when the present one happens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as time_of_day
from typing import Any, Final

from engine.kernel.cron import NeverAgain, is_cron, next_after
from engine.kernel.definition import Node, Position, TriggerKind, Wake
from engine.kernel.durations import parse_duration, parse_moment, parse_repetition
from engine.kernel.errors import Refused
from engine.kernel.expression import Expression
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source
from engine.kernel.state import TIMER

HANDLER: Final = "trigger-timer"
START_HANDLER: Final = "timer-start-event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Exactly one of the three; `end` bounds a cycle."""

    moment: Expression | None = None
    duration: Expression | None = None
    cycle: Expression | None = None
    end: Expression | None = None


def _read(source: Source, reader: Reader, event: Source) -> Timer:
    def read(tag: str) -> Expression | None:
        return reader.expression(source, source.text_of(tag), tag, event.id)

    cycle = source.child("timeCycle")
    end = cycle.extension.get("endDate") if cycle is not None else None
    timer = Timer(
        moment=read("timeDate"),
        duration=read("timeDuration"),
        cycle=read("timeCycle"),
        end=reader.expression(source, end, "endDate", event.id),
    )
    given = [e for e in (timer.moment, timer.duration, timer.cycle) if e is not None]
    if len(given) != 1:
        reader.problem(
            source, f"expected one of timeDate, timeDuration and timeCycle in a timer, found {len(given)}", event.id
        )
    elif given[0].is_literal and (timer.end is None or timer.end.is_literal):
        _check_literal(source, reader, timer, event)
    return timer


def _check_literal(source: Source, reader: Reader, timer: Timer, event: Source) -> None:
    try:
        due_of(
            timer,
            lambda e: e.text if e is not None else None,
            datetime(2020, 1, 1, tzinfo=parse_moment("2020-01-01").tzinfo),
        )
    except ValueError as error:
        reader.problem(source, str(error), event.id)


def due_of(timer: Timer, value_of: Callable[[Expression | None], Any], now: datetime) -> tuple[datetime, str]:
    """When a timer fires first, and its cycle for later ('' for none). Raises ValueError for what is no time."""
    if timer.moment is not None:
        return _moment(value_of(timer.moment), now), ""
    if timer.duration is not None:
        return _duration(value_of(timer.duration), now), ""
    cycle = value_of(timer.cycle)
    if cycle is None:
        raise ValueError("expected a cycle, found null")
    return _first_of_cycle(str(cycle), now, _end(timer, value_of, now))


def _moment(value: Any, now: datetime) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time_of_day(), tzinfo=now.tzinfo)
    text = _text(value)
    return parse_duration(text).after(now) if text.startswith("P") else parse_moment(text)


def _duration(value: Any, now: datetime) -> datetime:
    if isinstance(value, datetime):
        return value
    text = _text(value)
    return parse_duration(text).after(now) if text.startswith("P") else parse_moment(text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a date or a duration as ISO 8601 text, found {value!r}")  # noqa: TRY004
    return value.strip()


def _end(timer: Timer, value_of: Callable[[Expression | None], Any], now: datetime) -> datetime | None:
    value = value_of(timer.end) if timer.end is not None else None
    return None if value is None else _moment(value, now)


def _first_of_cycle(text: str, now: datetime, end: datetime | None) -> tuple[datetime, str]:
    text = text.strip()
    if text.startswith("R"):
        cycle = parse_repetition(text)
        last = cycle.end or end
        first = cycle.period.after(now) if cycle.start is None else cycle.start
        if first <= now:
            first = cycle.period.next_after(first, now)
        times = None if cycle.times is None or cycle.times == 0 else cycle.times - 1
        return first, _rest(times, cycle.period_text, last)
    if is_cron(text):
        return next_after(text, now), f"cron {text}" + (f"|{end.isoformat()}" if end is not None else "")
    if text.startswith("P"):
        return parse_duration(text).after(now), ""
    return parse_moment(text), ""


def _rest(times: int | None, period: str, end: datetime | None) -> str:
    if times == 0:
        return ""
    head = "R" if times is None else f"R{times}"
    return f"{head}/{period}" + (f"/{end.isoformat()}" if end is not None else "")


def next_of(repeat: str, due_at: datetime, now: datetime) -> tuple[datetime, str] | None:
    """The next firing after one that was due then and happens now, and what is left of its cycle; None when it is over.

    Firings keep to the grid of the first one; those that were missed meanwhile are left out (Flowable).
    """
    if not repeat:
        return None
    if repeat.startswith("cron "):
        text, _, end = repeat[5:].partition("|")
        try:
            due = next_after(text, max(due_at, now))
        except NeverAgain:
            return None
        return None if end and due > parse_moment(end) else (due, repeat)
    cycle = parse_repetition(repeat)
    due = cycle.period.next_after(due_at, now)
    if cycle.end is not None and due > cycle.end:
        return None
    times = None if cycle.times is None else cycle.times - 1
    return due, _rest(times, cycle.period_text, cycle.end)


def _arm(here: Here, node: Node) -> None:
    try:
        due, repeat = due_of(node.event, here.value, here.now)
    except ValueError as error:
        raise Refused(
            "FAILED_PRECONDITION", "bad-timer", f"element '{node.id}': {error}", element_id=node.id
        ) from error
    repeats = not node.interrupting and (node.attached_to is not None or node.kind.tag == "startEvent")
    here.schedule(TIMER, HANDLER, due_at=due, node=node, repeat=repeat if repeats else "")


def _fired(here: Here, node: Node, wake: Wake) -> None:
    """`wake.name` is what the fired job said of its cycle, `wake.due_at` when it was due."""
    following = next_of(wake.name, wake.due_at or here.now, here.now) if not node.interrupting else None
    if following is not None:
        here.schedule(TIMER, HANDLER, due_at=following[0], node=node, repeat=following[1])


TRIGGER: Final = TriggerKind(
    name="timer",
    tag="timerEventDefinition",
    positions=frozenset((Position.START, Position.EVENT_SUB_START, Position.CATCH, Position.BOUNDARY)),
    read=_read,
    arm=_arm,
    fired=_fired,
)
