"""Limits of a principal's requests: what is counted in which window, and how a count becomes an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Something that is counted: the requests of one class (`read`, ...) by one user, tenant or address."""

    route_class: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A counter after this request. `limit` is the number taken within a window, which ends in `ends_in_seconds`."""

    name: str
    count: int
    limit: int
    ends_in_seconds: int

    @property
    def over(self) -> bool:
        """Whether this request was one too many."""
        return self.count > self.limit

    @property
    def remaining(self) -> int:
        """How many more are taken within this window."""
        return max(0, self.limit - self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitTable:
    """The limits by (kind, class), requests in a window. What is not in it is not limited."""

    per_window: Mapping[tuple[str, str], int]

    def limit_of(self, counted: Counted) -> int:
        """Return the limit, or 0 if there is none."""
        return self.per_window.get((counted.kind, counted.route_class), 0)
