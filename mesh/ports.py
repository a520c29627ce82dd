"""Free TCP ports for servers that must be told a number before they bind."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOWEST: Final = 10_000
"""Below it the well-known and most of the registered servers live."""

TRIES: Final = 1_000
"""How many numbers are tried before it is said that none is free."""

_LOCAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOCAL_LOWEST: Final = 32_768


def free_port(address: str = "127.0.0.1", *, may_take: Callable[[int], bool] = lambda _: True) -> int:
    """Return a TCP port of `address` on which nobody listens now and that no outgoing connection will be given.

    The numbers that the system itself gives away (to outgoing connections, and for port 0) are avoided: one of those,
    free when it was looked at, is soon the near end of somebody's connection, and the server cannot bind it then.
    `may_take` is asked for the last word on a port. Raises OSError if no number is free.
    """
    highest = _lowest_given_away() - 1
    for _ in range(TRIES):
        port = random.randint(LOWEST, highest)  # noqa: S311 - spread, not a secret
        if _is_free(address, port) and may_take(port):
            return port
    raise OSError(f"expected a free port of {address} between {LOWEST} and {highest}, found none in {TRIES} tries")


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def _lowest_given_away() -> int:
    """The first number that the system gives away: Linux's usual one where none is said, or no room is left below."""
    try:
        lowest = int(_LOCAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _LOCAL_LOWEST
    return lowest if lowest > LOWEST + TRIES else _LOCAL_LOWEST
