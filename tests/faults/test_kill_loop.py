"""kill -9 under load on both databases; `make faults` does it thirty times."""

from pathlib import Path

import pytest

from mesh.testing.mariadb import mariadb_is_installed, running_mariadb
from tests.faults import kill_loop

KILLS_ON_MARIADB = 12
KILLS_ON_SQLITE = 3


@pytest.mark.mariadb
@pytest.mark.skipif(not mariadb_is_installed(), reason="MariaDB is not installed")
def test_every_acknowledged_command_survives_kills_on_mariadb() -> None:
    with running_mariadb() as server:
        tally = kill_loop.run(server.create_database(), server.create_database(), KILLS_ON_MARIADB, seed=1)

    assert tally.findings == []
    assert tally.kills == KILLS_ON_MARIADB
    assert len(tally.works) > KILLS_ON_MARIADB


def test_every_acknowledged_command_survives_kills_on_sqlite(tmp_path: Path) -> None:
    tally = kill_loop.run(
        f"sqlite:///{tmp_path}/engine.db", f"sqlite:///{tmp_path}/history.db", KILLS_ON_SQLITE, seed=2
    )

    assert tally.findings == []
    assert len(tally.works) > KILLS_ON_SQLITE
