"""A mesh in a process of its own, as `flowloom up` starts it, and what it costs: CPU and memory from /proc."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 30
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMesh:
    """Where a mesh answers, and its process id."""

    grpc: str
    rest: str
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def kill(self) -> None:
        """End it at once, as a crash would; the context manager that started it notices."""
        os.kill(self.pid, signal.SIGKILL)

    def resident_mebibytes(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * _PAGE / 2**20


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextlib.contextmanager
def running_mesh(
    *, database_url: str = "", history_url: str = "", edge: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[RunningMesh]:
    """Start a mesh on free ports, wait until it is ready, stop it at the end.

    Access is off unless the environment says otherwise: benchmarks, faults and bad input are about other things.
    Raises RuntimeError with its last output if it does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="flowloom-bench-") as folder:
        announce, log = Path(folder, "addresses.json"), Path(folder, "mesh.log")
        command = [sys.executable, "-m", "host", "up", "--port", "0", "--grpc-port", "0", "--quiet"]
        command += ["--data-directory", folder, "--announce", str(announce)]
        command += [f"--database=engine={database_url}"] if database_url else []
        command += [f"--database=history={history_url}"] if history_url else []
        command += [] if edge else ["--no-edge"]
        settings = {**os.environ, "FLOWLOOM_ACCESS_MODE": "off", **(environment or {})}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env=settings,
                start_new_session=True,
            )
        try:
            yield _await(process, announce, log)
        finally:
            _stop(process)


def _await(process: subprocess.Popen[bytes], announce: Path, log: Path) -> RunningMesh:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if announce.exists():
            found = json.loads(announce.read_text())
            return RunningMesh(grpc=found["grpc"], rest=found.get("rest", ""), pid=found["pid"])
        time.sleep(0.05)
    raise RuntimeError(f"expected the mesh to become ready, found:\n{log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
