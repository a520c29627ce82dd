"""Processes that run scripts. A script that goes wrong takes its process with it, and never the engine.

A process is kept for the next script. It has nothing of the engine: no variable of the environment beside those by
which programs are found, no file, no connection; it ends when its pipe is closed, so also when the engine is killed.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from engine.effects import script_worker

_KEPT_VARIABLES: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_PROGRAM: Final = Path(script_worker.__file__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRun:
    """A script with what surrounds it, all JavaScript but `document`, which is JSON."""

    seconds: float
    memory_bytes: int
    prelude: str
    document: str
    source: str
    fields: str

    def encode(self) -> bytes:
        """As `script_worker` reads it."""
        texts = [text.encode() for text in (self.prelude, self.document, self.source, self.fields)]
        header = script_worker.REQUEST.pack(self.seconds, self.memory_bytes, *map(len, texts))
        return b"".join((header, *texts))


class ScriptTooLong(Exception):
    """A script had used up its time inside of one step; its process is gone."""


class ScriptCrash(Exception):
    """The process of a script ended, for another reason than the time."""


class ScriptProcesses:
    """Runs scripts in processes of their own: one per caller at a time, kept for the next. Safe to use from threads."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def run(self, script: ScriptRun) -> tuple[bytes, str]:
        """Give the kind of answer (see `script_worker`) and its text. Raises ScriptTooLong, ScriptCrash."""
        process = self._take()
        try:
            answer = _ask(process, script.encode())
        except BaseException:
            process.kill()
            _end(process)
            raise
        if answer is None:
            _end(process)
            if process.returncode == -signal.SIGPROF:
                raise ScriptTooLong
            raise ScriptCrash(f"its process ended with code {process.returncode}")
        with self._lock:
            self._idle.append(process)
        return answer

    def close(self) -> None:
        """End the processes that no script is in."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            _end(process)

    def _take(self) -> subprocess.Popen[bytes]:
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return _start()
            if process.poll() is None:
                return process
            _end(process)


@cache
def shared_processes() -> ScriptProcesses:
    """The processes that all who run scripts in this program share; they know nothing from one script to the next."""
    return ScriptProcesses()


def _start() -> subprocess.Popen[bytes]:
    # -P: the folder of the program is no place to import from.
    return subprocess.Popen(  # noqa: S603 - our own program, with no argument from outside
        [sys.executable, "-P", str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
    )


def _ask(process: subprocess.Popen[bytes], request: bytes) -> tuple[bytes, str] | None:
    """The answer, or None if the process is gone without one."""
    assert process.stdin is not None and process.stdout is not None, "both are pipes"
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except BrokenPipeError:
        return None
    header = process.stdout.read(script_worker.ANSWER.size)
    if len(header) < script_worker.ANSWER.size:
        return None
    kind, length = script_worker.ANSWER.unpack(header)
    text = process.stdout.read(length)
    return (kind, text.decode()) if len(text) == length else None


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None, "both are pipes"
    # What it was still to be told is of no use any more.
    with suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    process.wait()
