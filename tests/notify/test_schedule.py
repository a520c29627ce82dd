"""When a message may be delivered."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notify.model.records import QuietHours
from notify.model.schedule import after_quiet, end_of_period, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(start_minute=22 * 60, end_minute=7 * 60)
NOON = QuietHours(start_minute=12 * 60, end_minute=13 * 60 + 30)


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("quiet", "moment", "expected"),
    [
        (NIGHT, "2026-01-05T21:59", "2026-01-05T21:59"),
        (NIGHT, "2026-01-05T22:00", "2026-01-06T07:00"),
        (NIGHT, "2026-01-06T00:30", "2026-01-06T07:00"),
        (NIGHT, "2026-01-06T06:59", "2026-01-06T07:00"),
        (NIGHT, "2026-01-06T07:00", "2026-01-06T07:00"),
        (NOON, "2026-01-05T12:00", "2026-01-05T13:30"),
        (NOON, "2026-01-05T13:30", "2026-01-05T13:30"),
        # The clocks go forward at 2 and back at 3 o'clock.
        (NIGHT, "2026-03-28T23:00", "2026-03-29T07:00"),
        (NIGHT, "2026-10-24T23:00", "2026-10-25T07:00"),
        (QuietHours(start_minute=60, end_minute=60), "2026-01-05T01:00", "2026-01-05T01:00"),
    ],
)
def test_quiet_hours_end_on_the_wall_clock_of_the_recipient(quiet: QuietHours, moment: str, expected: str) -> None:
    assert after_quiet(berlin(moment), quiet, BERLIN) == berlin(expected)


@pytest.mark.parametrize(
    ("period", "moment", "expected"),
    [
        (3600, "2026-01-05T10:20", "2026-01-05T11:00"),
        (3600, "2026-01-05T11:00", "2026-01-05T12:00"),
        (4 * 3600, "2026-01-05T23:20", "2026-01-06T00:00"),
        (5 * 3600, "2026-01-05T21:00", "2026-01-06T00:00"),
        (86400, "2026-01-05T10:20", "2026-01-06T00:00"),
        (7 * 86400, "2026-01-07T10:20", "2026-01-12T00:00"),
    ],
)
def test_digest_periods_begin_anew_at_midnight_and_weeks_on_monday(period: int, moment: str, expected: str) -> None:
    assert end_of_period(berlin(moment), period, BERLIN) == berlin(expected)


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1)),  # noqa: DTZ001
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
    st.integers(60, 7 * 86400),
)
def test_nothing_is_delivered_earlier_nor_later_than_a_period(
    moment: datetime, start: int, end: int, zone: str, period: int
) -> None:
    at = moment.replace(tzinfo=UTC)
    quiet = after_quiet(at, QuietHours(start_minute=start, end_minute=end), ZoneInfo(zone))
    digest = end_of_period(at, period, ZoneInfo(zone))

    assert at <= quiet <= at + timedelta(hours=25)
    assert at <= digest <= at + timedelta(seconds=max(period, 1) * 1.5 + 3 * 3600)


@pytest.mark.parametrize("name", ["", "Nowhere/Land", "../etc/passwd", "/etc/localtime", "x" * 300])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected an IANA time zone"):
        zone_of(name)
