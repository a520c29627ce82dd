"""Counts the requests of principals in fixed windows of one minute, all counters of a request in one go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.app.policies import ADDRESS_KEY, TENANT_KEY, USER_KEY
from gateway.model.contract import RouteClass
from gateway.model.counting import WINDOW_SECONDS, Count, Counted, LimitTable
from gateway.settings import RateSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One counter to be raised: its name, by how much, and when it may be forgotten."""

    name: str
    hits: int
    expires_in_seconds: int


class Counters(Protocol):
    """Counters that all gateways share."""

    async def add(self, additions: Sequence[Addition]) -> Sequence[int] | None:
        """Raise the counters and return what they say now; None if that cannot be known at present."""
        ...


def limit_table(settings: RateSettings) -> LimitTable:
    """Return the limits that the settings name."""
    named: Mapping[tuple[str, str], int] = {
        (USER_KEY, RouteClass.READ.value): settings.user_reads_per_minute,
        (USER_KEY, RouteClass.WRITE.value): settings.user_writes_per_minute,
        (TENANT_KEY, RouteClass.READ.value): settings.tenant_reads_per_minute,
        (TENANT_KEY, RouteClass.WRITE.value): settings.tenant_writes_per_minute,
        (ADDRESS_KEY, RouteClass.LOGIN.value): settings.address_logins_per_minute,
    }
    return LimitTable(per_window={key: limit for key, limit in named.items() if limit})


class CountRequests:
    """Says for each request how far its counters are."""

    def __init__(self, counters: Counters, table: LimitTable, now: Callable[[], float]) -> None:
        """`now` gives Unix time in seconds."""
        self._counters = counters
        self._table = table
        self._now = now
        self.uncounted = 0

    async def __call__(self, asked: Sequence[Counted], hits: int) -> Sequence[Count | None]:
        """Return a count for each of what is asked, None where there is no limit or nothing could be counted."""
        limited = [(counted, limit) for counted in asked if (limit := self._table.limit_of(counted))]
        if not limited:
            return [None] * len(asked)
        window, within = divmod(int(self._now()), WINDOW_SECONDS)
        additions = [
            # A window's counter outlives it a little: the clocks of gateways differ.
            Addition(name=_name(counted, window), hits=hits, expires_in_seconds=2 * WINDOW_SECONDS)
            for counted, _ in limited
        ]
        found = await self._counters.add(additions)
        if found is None:
            self.uncounted += 1
            return [None] * len(asked)
        counts = {
            counted: Count(
                name=f"{counted.kind}-{counted.route_class}",
                count=count,
                limit=limit,
                ends_in_seconds=WINDOW_SECONDS - within,
            )
            for (counted, limit), count in zip(limited, found, strict=True)
        }
        return [counts.get(counted) for counted in asked]


def _name(counted: Counted, window: int) -> str:
    return f"flowloom:rate:{counted.kind}:{counted.route_class}:{window}:{counted.value}"
