"""Cron expressions of timers: six or seven fields, seconds first, as Flowable (Quartz) writes them."""

from datetime import datetime

from croniter import croniter

QUARTZ_FIELDS = (6, 7)


def is_cron(text: str) -> bool:
    """Whether a text has the shape of a cron expression."""
    return len(text.split()) in (5, *QUARTZ_FIELDS)


def next_after(text: str, moment: datetime) -> datetime:
    """The next time strictly after a moment. Raises ValueError for what is no cron expression."""
    try:
        return croniter(_plain(text), moment, second_at_beginning=True).get_next(datetime)  # type: ignore[no-any-return]
    except (ValueError, KeyError) as error:
        raise ValueError(f"expected a cron expression such as '0 0/5 * * * ?', found '{text}' ({error})") from None


def _plain(text: str) -> str:
    fields = text.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    return " ".join(fields[:6]).replace("?", "*")
