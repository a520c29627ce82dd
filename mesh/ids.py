"""Ids: UUIDv7 (RFC 9562, 5.7) as text, ordered by time, each carrying the shard of the tree that it belongs to.

    bits  127..80   milliseconds since 1970
          79..76    version, 7
          75..64    random, drawn anew each millisecond
          63..62    variant, binary 10
          61..48    random, drawn anew each millisecond
          47..10    counter: starts at 37 random bits each millisecond, then counts up
           9..0     shard, 0 to 1023

Text sorts as the numbers do, so ids of one process are strictly increasing, whatever shard they are for. Two processes
that mint in the same millisecond meet only if 63 random bits do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import count
from random import SystemRandom
from threading import Lock
from typing import Final

SHARD_BITS: Final = 10
SHARDS: Final = 1 << SHARD_BITS

_SHARD_MASK: Final = SHARDS - 1
_COUNTER_START_BITS: Final = 37
_TEXT_LENGTH: Final = 36
_SHARD_AT: Final = 33
_UUID_7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)

_Epoch = tuple[int, str, Callable[[], int]]
"""A millisecond, the first 24 characters of all its ids, and what gives the next counter (shard bits zero)."""


def system_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


system_random_bits: Final[Callable[[int], int]] = SystemRandom().getrandbits
"""Give so many bits from the operating system's source of randomness."""


class IdSource:
    """Mints ids. One per process: only ids of the same source are sure to be strictly increasing.

    Safe to use from several threads. Not to be carried over a fork: build it afterwards.
    """

    __slots__ = ("_epoch", "_lock", "_now_ms", "_random_bits")

    def __init__(
        self,
        now_ms: Callable[[], int] = system_ms,
        random_bits: Callable[[int], int] = system_random_bits,
    ) -> None:
        """Take the time (milliseconds since 1970) and the randomness (so many bits) from the given callables."""
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._lock = Lock()
        self._epoch = self._new_epoch(0)

    def root(self) -> str:
        """Mint the id of a new tree; the tree's shard is drawn at random and can be read back with `shard_of`."""
        ms, prefix, advance = self._epoch
        if self._now_ms() > ms:
            ms, prefix, advance = self._begin()
        counter = advance()
        # An odd multiple of a counter that starts at random: as even as a draw, without paying for one.
        shard = (counter >> SHARD_BITS) * 619 & _SHARD_MASK
        return f"{prefix}{counter | shard:012x}"

    def for_shard(self, shard: int) -> Callable[[], str]:
        """Return a function that mints ids for things in a tree of this shard.

        Raises ValueError if `shard` is not from 0 to 1023.
        """
        if not 0 <= shard < SHARDS:
            raise ValueError(f"expected a shard from 0 to {SHARDS - 1}, found {shard}")
        now_ms = self._now_ms

        def mint() -> str:
            # No lock: the epoch is read at once and a count advances atomically, so two threads never share a number.
            ms, prefix, advance = self._epoch
            if now_ms() > ms:
                ms, prefix, advance = self._begin()
            return f"{prefix}{advance() | shard:012x}"

        return mint

    def _begin(self) -> _Epoch:
        """Enter the present millisecond, unless another thread has done so or the clock stepped back meanwhile."""
        with self._lock:
            now = self._now_ms()
            if now > self._epoch[0]:
                self._epoch = self._new_epoch(now)
            return self._epoch

    def _new_epoch(self, ms: int) -> _Epoch:
        bits = self._random_bits(12 + 14 + _COUNTER_START_BITS)
        high, middle = bits >> 51, (bits >> _COUNTER_START_BITS) & 0x3FFF
        time_hex = f"{ms:012x}"
        prefix = f"{time_hex[:8]}-{time_hex[8:]}-7{high:03x}-{0x8000 | middle:04x}-"
        # The counter is one bit wider than its start, so a millisecond has room for 137 thousand million ids.
        start = (bits & ((1 << _COUNTER_START_BITS) - 1)) << SHARD_BITS
        return ms, prefix, count(start, SHARDS).__next__


def shard_of(id: str) -> int:  # noqa: A002 - the word for it
    """Return the shard (0 to 1023) that an id minted here carries.

    Raises ValueError if the text cannot be such an id; what it names then does not exist.
    """
    try:
        if len(id) != _TEXT_LENGTH:
            raise ValueError
        return int(id[_SHARD_AT:], 16) & _SHARD_MASK
    except ValueError:
        raise ValueError(f"expected an id as minted here (a UUID of {_TEXT_LENGTH} characters), found {id!r}") from None


def is_id(text: str) -> bool:
    """Tell whether the text has the form of an id minted here: a lower-case UUIDv7."""
    return _UUID_7.fullmatch(text) is not None
