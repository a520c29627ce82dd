"""S3-compatible storage for tests: moto's server, a process of its own that speaks S3 over HTTP."""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mesh.testing.daemon import Daemon
from mesh.testing.ports import free_port

START_SECONDS: Final = 60.0


@contextlib.contextmanager
def running_s3() -> Iterator[str]:
    """Start the storage and give its URL; any key opens it. It keeps nothing beyond its end."""
    port = free_port()

    def answers() -> bool:
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", port)) == 0

    with tempfile.TemporaryDirectory() as folder:
        command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
        server = Daemon(command, Path(folder) / "s3.log", answers, START_SECONDS)
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()
