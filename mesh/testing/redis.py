"""A Redis of one's own: in a temporary folder, on a free port of the loopback interface, saving nothing."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mesh.testing.daemon import Daemon, find_program
from mesh.testing.ports import free_port

START_SECONDS: Final = 10.0


def redis_is_installed() -> bool:
    """Tell whether this machine has a Redis server."""
    return find_program("redis-server", "valkey-server") is not None


class Redis:
    """One server; after `kill` or `stop` it can be started again on the same port, empty."""

    def __init__(self, folder: Path) -> None:
        """Choose a port; nothing runs yet."""
        program = find_program("redis-server", "valkey-server")
        if program is None:
            raise RuntimeError("expected redis-server to be installed, found it nowhere")
        self.port = free_port()
        command = (
            *(str(program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "no"),
        )
        self._daemon = Daemon(command, folder / "redis.log", self._answers, START_SECONDS)

    @property
    def url(self) -> str:
        """Return its URL, as settings take it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Tell whether the server process lives."""
        return self._daemon.running

    def start(self) -> None:
        """Start and return once it answers; does nothing if it runs."""
        self._daemon.start()

    def stop(self) -> None:
        """Shut down in good order."""
        self._daemon.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._daemon.kill()

    def restart(self) -> None:
        """Shut down in good order if it runs, and start again on the same port."""
        self.stop()
        self.start()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextlib.contextmanager
def running_redis() -> Iterator[Redis]:
    """Run a server; all is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="flowloom-redis-") as folder:
        server = Redis(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()
