"""Becomes Envoy, after asking the kernel to end it should its parent die: an orphan would hold the port for ever.

Run as a script: `envoy_launcher.py <parent's process id> <binary> <argument>...`. A step of its own between the
supervisor and Envoy, because running Python between fork and exec is not safe in a process with gRPC's threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by Envoy; exit with status 1 if the parent is gone already."""
    parent, binary = int(arguments[0]), arguments[1]
    if sys.platform == "linux":
        # The signal comes when the parent's *thread* that started us ends: the supervisor belongs on a lasting thread.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(binary, [binary, *arguments[2:]])  # noqa: S606 - the binary is the installed Envoy


if __name__ == "__main__":
    main(sys.argv[1:])
