"""When a message may be delivered: quiet hours and digest periods, in the time zone of whoever gets it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from notify.model.records import QuietHours

MINUTES_OF_DAY: Final = 24 * 60
_DAY: Final = timedelta(days=1)


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"expected an IANA time zone such as Europe/Berlin, found '{name}'") from error


def after_quiet(moment: datetime, quiet: QuietHours | None, zone: ZoneInfo) -> datetime:
    """The moment itself, or the end of the quiet hours that it falls into."""
    if quiet is None or quiet.start_minute == quiet.end_minute:
        return moment
    local = moment.astimezone(zone)
    minute = local.hour * 60 + local.minute
    over_midnight = quiet.end_minute <= quiet.start_minute
    if over_midnight:
        is_quiet = minute >= quiet.start_minute or minute < quiet.end_minute
    else:
        is_quiet = quiet.start_minute <= minute < quiet.end_minute
    if not is_quiet:
        return moment
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if over_midnight and minute >= quiet.start_minute:
        midnight += _DAY
    end = midnight.replace(hour=quiet.end_minute // 60, minute=quiet.end_minute % 60)
    # Where the clocks were put forward over the end, the wall time does not exist and lies before the moment.
    return max(end.astimezone(UTC), moment)


def end_of_period(moment: datetime, period_seconds: int, zone: ZoneInfo) -> datetime:
    """The end of the digest period that the moment is in. Periods are counted from a midnight of the zone.

    Those that divide a day begin anew at each midnight; longer ones are counted in days from a fixed Monday.
    """
    local = moment.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if period_seconds >= _DAY.total_seconds():
        days = max(1, round(period_seconds / _DAY.total_seconds()))
        into = midnight.date().toordinal() % days
        # Monday is day 1 of the proleptic calendar: a week counted from it ends on a Sunday night.
        end = midnight + timedelta(days=days - (into - 1) % days)
    else:
        into_seconds = (local - midnight).total_seconds()
        end = midnight + timedelta(seconds=(into_seconds // period_seconds + 1) * period_seconds)
        end = min(end, midnight + _DAY)
    return max(end.astimezone(UTC), moment)
