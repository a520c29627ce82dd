"""One service in a process of its own, as `flowloom serve` starts it: killed and started again on the same port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mesh.testing.ports import free_port

START_SECONDS = 120
STOP_SECONDS = 30


class ServedService:
    """A service's process. Access is off: only this machine can connect."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self._log = folder / f"{name}-{self.port}.log"
        self._environment = {
            **os.environ,
            "FLOWLOOM_SERVER_PORT": str(self.port),
            "FLOWLOOM_SERVER_LAME_DUCK_SECONDS": "0",
            "FLOWLOOM_ACCESS_MODE": "off",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return once it listens. Raises RuntimeError with its last output if it does not."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start, without waiting."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "host", "serve", self.name),
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return once it listens."""
        assert self._process is not None, "expected it to be launched"
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"expected {self.name} to listen, found:\n{self.log()[-4000:]}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def log(self) -> str:
        return self._log.read_text(errors="replace")
