"""Clocks tell aware UTC times, and a manual one moves forward only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mesh.clock import ManualClock, SystemClock


def test_the_system_clock_tells_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))))

    assert clock.now() == clock.now() == datetime(2030, 1, 1, 10, tzinfo=UTC)
    assert clock.advance(timedelta(milliseconds=5)) == datetime(2030, 1, 1, 10, 0, 0, 5000, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_a_manual_clock_gives_the_milliseconds_that_ids_take() -> None:
    assert ManualClock(datetime(1970, 1, 1, 0, 0, 1, 234_000, tzinfo=UTC)).now_ms() == 1234


def test_a_manual_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        ManualClock(datetime(2030, 1, 1, tzinfo=UTC)).advance(timedelta(seconds=-1))


def test_a_manual_clock_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2030, 1, 1))  # noqa: DTZ001 - the point of the test
