"""The first level: least recently used entries of one cache, each with its age."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class LocalEntries(Generic[V]):
    """Entries by key. Times are seconds of a clock that never goes back."""

    def __init__(self, limit: int) -> None:
        """Keep so many entries at most."""
        self._limit = limit
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, oldest: float) -> tuple[V] | None:
        """Return the value, in a tuple of one, if it was put at `oldest` or later."""
        found = self._entries.get(key)
        if found is None:
            return None
        if found[0] < oldest:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return (found[1],)

    def put(self, key: str, value: V, now: float) -> None:
        """Keep the value; the one that was used least recently makes room."""
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget the entry."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
