"""Dates read by patterns of Java's letters."""

from datetime import UTC, datetime

import pytest

from engine.app.form_dates import UnknownPattern, parse_date


@pytest.mark.parametrize(
    ("text", "pattern", "wanted"),
    [
        ("28/02/2026", "dd/MM/yyyy", datetime(2026, 2, 28, tzinfo=UTC)),
        ("1-3-26", "d-M-yy", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-02-28T23:59:58.125", "yyyy-MM-dd'T'HH:mm:ss.SSS", datetime(2026, 2, 28, 23, 59, 58, 125000, tzinfo=UTC)),
        ("12:05 am 1 Feb 2026", "hh:mm a d MMM yyyy", datetime(2026, 2, 1, 0, 5, tzinfo=UTC)),
        ("12:05 PM 1 February 2026", "hh:mm a d MMMM yyyy", datetime(2026, 2, 1, 12, 5, tzinfo=UTC)),
        ("2026", "yyyy", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_date_is_read_by_its_pattern(text: str, pattern: str, wanted: datetime) -> None:
    assert parse_date(text, pattern) == wanted


@pytest.mark.parametrize("text", ["", "28.02.2026", "30/02/2026", "28/13/2026", "x", "28/02/20266"])
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_date(text, "dd/MM/yyyy")


@pytest.mark.parametrize("pattern", ["yyyy-MM-dd'T", "yyyy Q", "dd dd", "y" * 201])
def test_a_pattern_that_cannot_be_read_says_so(pattern: str) -> None:
    with pytest.raises(UnknownPattern):
        parse_date("1", pattern)
