"""Pages of a list: Flowable's start, size, sort and order, or a token that continues where the page before ended."""

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

DEFAULT_PAGE_SIZE: Final = 10
"""Rows of a page where nobody says how many (Flowable's default)."""

MAX_PAGE_SIZE: Final = 10_000
"""Rows of a page at most; asking for more is refused."""

MAX_TREES_IN_MEMORY: Final = 1_000
"""Instances whose executions are read to sort or count them, where no index can (executions are not a table)."""

ASCENDING: Final = "asc"
DESCENDING: Final = "desc"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list, as the contract's paging fields say it.

    `size` None: `DEFAULT_PAGE_SIZE`. `sort` empty: the list's own default. `order` empty: ascending. `page_token`:
    the `next_page_token` of the page before, with the same filters, sort and order; it excludes `start`.
    """

    start: int = 0
    size: int | None = None
    sort: str = ""
    order: str = ""
    page_token: str = ""


class Listed(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page. `total` counts all rows that pass the filter; it is None where a page token was used.

    `next_page_token` is empty on the last page. `sort` and `order` are those in effect.
    """

    rows: Sequence[T]
    total: int | None
    next_page_token: str
    start: int
    sort: str
    order: str

    @property
    def size(self) -> int:
        """How many rows this page has."""
        return len(self.rows)
