"""An OpenSearch of one's own: one node in a temporary folder, on a free loopback port, with a small heap.

Its jars are put into a cache folder by `make servers`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from mesh.testing.daemon import Daemon, find_program
from mesh.testing.ports import free_port

OPENSEARCH_VERSION: Final = "2.19.3"
"""Also in tests/opensearch/pom.xml, from which the jars are fetched."""
START_SECONDS: Final = 180.0
_JVM: Final = ("-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def jar_folder() -> Path:
    """Return where `make servers` keeps the jars."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "flowloom" / f"opensearch-{OPENSEARCH_VERSION}"


def opensearch_is_installed() -> bool:
    """Tell whether this machine has what a node needs."""
    return find_program("java") is not None and (jar_folder() / "complete").exists()


class OpenSearchNode:
    """A node and its data, which survive `stop` and `start`."""

    def __init__(self, folder: Path) -> None:
        """Prepare its home in the folder; nothing runs yet. Raises RuntimeError where no Java is."""
        java = find_program("java")
        if java is None:
            raise RuntimeError("expected java to be installed, found none: run make servers")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        for name in ("config", "data", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        classes = f"{jar_folder()}/*:{jar_folder()}"
        command = (str(java), *_JVM, "-cp", classes, "SearchNode", str(folder), str(port))
        self._daemon = Daemon(command, folder / "node.log", self._answers, START_SECONDS)

    def start(self) -> None:
        """Start, and return once it answers. Raises RuntimeError, with the end of its log, if it does not."""
        self._daemon.start()

    def stop(self) -> None:
        """End it in its own way."""
        self._daemon.stop()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._daemon.kill()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/_cluster/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


@contextlib.contextmanager
def running_opensearch() -> Iterator[OpenSearchNode]:
    """Start a node and end it afterwards, with all that it kept."""
    with tempfile.TemporaryDirectory() as folder:
        node = OpenSearchNode(Path(folder))
        node.start()
        try:
            yield node
        finally:
            node.kill()
