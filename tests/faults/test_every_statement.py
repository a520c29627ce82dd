"""Every kind of command, with the engine dying (or its connection, or its transaction) at every one of its statements.

Both databases are put through it at the same time, each by a process of its own; see `tests.faults.crashes`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.testing.mariadb import mariadb_is_installed, running_mariadb
from tests.faults.kinds import KINDS

SECONDS = 900
# The engine's process dies here, never the server: what it has committed need not reach the disk each time.
SERVER_OPTIONS = ("--innodb-flush-log-at-trx-commit=0",)
BOTH = (
    "sqlite",
    pytest.param(
        "mariadb",
        marks=[
            pytest.mark.mariadb,
            pytest.mark.skipif(not mariadb_is_installed(), reason="MariaDB is not installed"),
        ],
    ),
)

Results = dict[str, dict[str, Any]]


class Run:
    """A run of all kinds on one database, under way."""

    def __init__(self, url: str) -> None:
        # Files, not pipes: nobody reads while the other one is waited for.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `results`
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "tests.faults.crashes", url]
        self._process = subprocess.Popen(command, stdout=self._output, stderr=self._errors)
        self._results: Results | None = None

    def results(self) -> Results:
        """Wait for the end; what was found, by kind. Fails if the run itself broke."""
        if self._results is None:
            self._process.wait(SECONDS)
            self._output.seek(0)
            self._errors.seek(0)
            found = [json.loads(line) for line in self._output.read().splitlines()]
            assert len(found) == len(KINDS), self._errors.read().decode()[-4000:]
            self._results = {result["kind"]: result for result in found}
        return self._results

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._errors.close()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """Begin on every database that a chosen test asks for, all at once."""
    # In memory if there is such a place: processes die here, not machines.
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory)) if memory.is_dir() else tmp_path_factory.mktemp("crashes")
    chosen = {item.callspec.params.get("database") for item in request.session.items if hasattr(item, "callspec")}
    started: dict[str, Run] = {}
    try:
        if "sqlite" in chosen:
            started["sqlite"] = Run(f"sqlite:///{folder}/engine.db")
        if "mariadb" in chosen and mariadb_is_installed():
            with running_mariadb(SERVER_OPTIONS) as server:
                started["mariadb"] = Run(server.create_database())
                yield started
        else:
            yield started
    finally:
        for run in started.values():
            run.end()
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database", BOTH)
def test_a_command_happens_once_or_not_at_all_wherever_the_engine_dies(
    runs: dict[str, Run], database: str, kind: str
) -> None:
    result = runs[database].results()[kind]

    assert result["findings"] == []
    assert result["points"]["death"] > 2 * result["statements"] > 0
