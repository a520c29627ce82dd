"""A mesh of one's own: `flowloom up` as a process, in a folder of its own, on free ports, stopped at the end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.02
LOG_TAIL_CHARACTERS: Final = 3000


class MeshNotStarted(Exception):
    """`flowloom up` ended, or did not announce itself in time; the message holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOptions:
    """How to start: the flags of `flowloom up`, and what its environment has beside this process's own."""

    edge: bool = True
    manual_jobs: bool = False
    manual_clock: bool = False
    database_urls: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Mesh:
    """A running mesh. `rest` is the edge's base URL (empty without edge), `grpc` the address of its gRPC services."""

    def __init__(self, process: subprocess.Popen[bytes], announced: dict[str, object], log: Path) -> None:
        self._process = process
        self._log = log
        self.rest = str(announced.get("rest") or "")
        self.grpc = str(announced["grpc"])

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def log_tail(self) -> str:
        return _tail(self._log)

    def stop(self) -> None:
        """Ask it to end in its own way, and kill it if it takes too long."""
        _stop(self._process)


def start_mesh(folder: Path, options: MeshOptions) -> Mesh:
    """Start a mesh that keeps its data and its log in `folder`, and return once it serves. Raises MeshNotStarted."""
    folder.mkdir(parents=True, exist_ok=True)
    announce = folder / "announced.json"
    announce.unlink(missing_ok=True)
    log = folder / "mesh.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            _command(folder, announce, options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **options.environment},
        )
    try:
        return Mesh(process, _announced(process, announce, log), log)
    except BaseException:
        _stop(process)
        raise


@contextlib.contextmanager
def running_mesh(folder: Path, options: MeshOptions) -> Iterator[Mesh]:
    """Run a mesh as `start_mesh` does, and stop it afterwards."""
    mesh = start_mesh(folder, options)
    try:
        yield mesh
    finally:
        mesh.stop()


def _command(folder: Path, announce: Path, options: MeshOptions) -> Sequence[str]:
    flags = {
        "--no-edge": not options.edge,
        "--manual-jobs": options.manual_jobs,
        "--manual-clock": options.manual_clock,
        "--quiet": True,
    }
    valued = {
        "--port": "0",
        "--grpc-port": "0",
        "--data-directory": os.fspath(folder / "data"),
        "--announce": os.fspath(announce),
    }
    databases = [f"--database={service}={url}" for service, url in options.database_urls.items()]
    return (
        sys.executable,
        "-m",
        "host.cli",
        "up",
        *(word for name, value in valued.items() if value for word in (name, value)),
        *databases,
        *(name for name, given in flags.items() if given),
    )


def _announced(process: subprocess.Popen[bytes], announce: Path, log: Path) -> dict[str, object]:
    give_up_at = time.monotonic() + START_SECONDS
    while not announce.exists():
        if process.poll() is not None:
            raise MeshNotStarted(f"flowloom up ended with {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > give_up_at:
            raise MeshNotStarted(f"flowloom up did not serve within {START_SECONDS} s:\n{_tail(log)}")
        # The file is the announcement; the process tells in no other way.
        time.sleep(POLL_SECONDS)
    announced: dict[str, object] = json.loads(announce.read_text())
    return announced


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
