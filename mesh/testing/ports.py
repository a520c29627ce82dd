"""Ports for the servers of tests."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Final

from mesh import ports

_FOLDER: Final = Path(tempfile.gettempdir()) / f"flowloom-ports-{os.getuid()}"

_CLAIMED: Final[list[int]] = []
"""The open files of the ports that this process has claimed: the system takes the claims back at its end."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free and that no other process of tests gets while this one lives.

    So a server may be killed and started again on it, and servers of tests that run side by side never meet.
    """
    return ports.free_port(may_take=_claim)


def _claim(port: int) -> bool:
    _FOLDER.mkdir(exist_ok=True)
    claim = os.open(_FOLDER / str(port), os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return False
    _CLAIMED.append(claim)
    return True
