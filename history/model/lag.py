"""How far history is behind."""

from __future__ import annotations

import msgspec


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that were not taken yet, how many of them wait for a retry, and how old the last one taken is.

    `seconds` is 0 where nothing is behind.
    """

    messages: int
    held: int
    seconds: float
