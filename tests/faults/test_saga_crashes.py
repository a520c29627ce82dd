"""An engine that is killed between any two lines of its sagas' logs, in a loop; see `tests.faults.saga_crashes`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.testing.mariadb import running_mariadb

SECONDS = 900
LEAST_DEATHS = 10
"""Deaths of a loop: a saga of two steps that is taken back is five transactions, each with two places to die at."""


def killed(url: str, folder: Path, *most: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.saga_crashes", url, str(folder), *most]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert done.stdout, done.stderr.decode()[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_saga_comes_to_its_end_wherever_the_engine_dies(tmp_path: Path) -> None:
    found = killed(f"sqlite:///{tmp_path}/engine.db", tmp_path)

    assert found["findings"] == []
    assert found["completed"]
    assert found["deaths"] >= LEAST_DEATHS


@pytest.mark.mariadb
def test_the_same_on_mariadb_for_the_first_deaths(tmp_path: Path) -> None:
    with running_mariadb(("--innodb-flush-log-at-trx-commit=0",)) as server:
        found = killed(server.create_database(), tmp_path, "6")

    assert found["findings"] == []
    assert found["deaths"] == 6
