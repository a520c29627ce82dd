"""Ids that a test can foretell."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from mesh.ids import SHARDS


class SequentialIds:
    """Plays `mesh.ids.IdSource`: valid UUIDv7 texts, counting up from one, readable back with `mesh.ids.shard_of`.

    The n-th id of shard s is `00000000-0000-7000-8000-` followed by `n * 1024 + s` in twelve hexadecimal digits.
    """

    def __init__(self, root_shard: int = 0) -> None:
        """Give new trees this shard (0 to 1023)."""
        self._numbers = count(1)
        self._root_shard = root_shard

    def root(self) -> str:
        """Mint the id of a new tree."""
        return self._text(self._root_shard)

    def for_shard(self, shard: int) -> Callable[[], str]:
        """Return a function that mints the next ids, for this shard."""
        if not 0 <= shard < SHARDS:
            raise ValueError(f"expected a shard from 0 to {SHARDS - 1}, found {shard}")
        return lambda: self._text(shard)

    def _text(self, shard: int) -> str:
        return f"00000000-0000-7000-8000-{next(self._numbers) * SHARDS + shard:012x}"
