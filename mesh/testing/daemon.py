"""A server program that a test owns: started, waited for, stopped or killed, started again."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.02
_SEARCHED: Final = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin")


def find_program(*names: str) -> Path | None:
    """Return where the first of these programs is installed, or None if none of them is."""
    for name in names:
        for found in (shutil.which(name), *(shutil.which(name, path=folder) for folder in _SEARCHED)):
            if found is not None:
                return Path(found)
    return None


class Daemon:
    """One child process and the question whether it answers yet."""

    def __init__(self, command: Sequence[str], log: Path, is_ready: Callable[[], bool], start_seconds: float) -> None:
        """Remember how to start; `log` receives what the program prints, `is_ready` asks it whether it serves."""
        self._command = tuple(command)
        self._log = log
        self._is_ready = is_ready
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the process id. Raises RuntimeError if it was never started."""
        if self._process is None:
            raise RuntimeError(f"expected {self._command[0]} to have been started, found it was not")
        return self._process.pid

    def start(self) -> None:
        """Start the program and return once it answers.

        Raises RuntimeError, with the end of its log, if it dies or does not answer in time.
        """
        if self.running:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603 - our own command line
        deadline = time.monotonic() + self._start_seconds
        while not self._is_ready():
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._command[0]} ended with {self._process.returncode}:\n{self._tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self._command[0]} did not answer in {self._start_seconds} s:\n{self._tail()}")
            # A started program tells nobody when it serves, so it can only be asked again.
            time.sleep(_POLL_SECONDS)

    def stop(self, within_seconds: float = 20.0) -> None:
        """Ask the program to end in its own way, and wait; kill it if it takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_seconds)
        self.kill()

    def kill(self) -> None:
        """End the program at once, as a power cut would."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]
