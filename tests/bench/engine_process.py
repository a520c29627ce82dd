"""The engine alone in a process of its own, as `flowloom serve engine` starts it, and what it costs."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh.testing.ports import free_port
from tests.mesh_process import START_SECONDS, STOP_SECONDS, cpu_seconds


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """Where an engine answers, and its process id."""

    grpc: str
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def peak_mebibytes(self) -> float:
        """The most memory that it ever held at once (VmHWM)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024

    def forget_peak(self) -> None:
        """Let the peak begin anew at what it holds now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def running_engine(database_url: str, environment: Mapping[str, str] | None = None) -> Iterator[RunningEngine]:
    """Start an engine on a free port, wait until it answers, stop it at the end.

    Raises RuntimeError with its last output if it does not come up.
    """
    port = free_port()
    settings = {
        "FLOWLOOM_SERVER_PORT": str(port),
        "FLOWLOOM_SERVER_LAME_DUCK_SECONDS": "0",
        # This is about the engine alone: nobody logs in.
        "FLOWLOOM_ACCESS_MODE": "off",
        "FLOWLOOM_ENGINE_DATABASE_URL": database_url,
    }
    with tempfile.TemporaryDirectory(prefix="flowloom-bench-") as folder:
        log = Path(folder, "engine.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                (sys.executable, "-m", "host", "serve", "engine"),
                stdout=output,
                stderr=output,
                env={**os.environ, **settings, **(environment or {})},
                start_new_session=True,
            )
        try:
            _await(process, port, log)
            yield RunningEngine(f"127.0.0.1:{port}", process.pid)
        finally:
            _stop(process)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"expected the engine to listen, found:\n{log.read_text()[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
