"""Moments go in and out as aware UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mesh.db.types import UtcDateTime, moment_of_text, text_of_moment


def test_a_moment_is_spelled_in_utc_with_all_its_digits() -> None:
    there = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    assert text_of_moment(there) == "2025-12-31 23:30:00.000000"
    assert text_of_moment(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01 00:00:00.000000"


def test_a_moment_is_read_back_aware() -> None:
    moment = datetime(2026, 1, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert moment_of_text(text_of_moment(moment)) == moment
    assert moment_of_text(text_of_moment(moment)).tzinfo is UTC


def test_a_moment_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001

    with pytest.raises(ValueError, match="time zone"):
        text_of_moment(naive)
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(naive, None)  # type: ignore[arg-type]
