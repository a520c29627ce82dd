"""The sample service in a process that can be killed: `python -m tests.gateway.sample_process PORT NAME`."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.gateway.sample_service import SampleServer


async def _serve(port: int, name: str) -> None:
    server = SampleServer(port, name)
    await server.start()
    print("serving", flush=True)
    await asyncio.Event().wait()


class SampleProcess:
    """One such process; `kill` is SIGKILL, and `start` brings it back on the same port."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it serves."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.sample_process", str(self.port), self.name],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == b"serving"

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


@contextlib.contextmanager
def sample_process(port: int, name: str) -> Iterator[SampleProcess]:
    process = SampleProcess(port, name)
    process.start()
    try:
        yield process
    finally:
        process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
