"""Rules on rows are tested on SQLite and on a real MariaDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.testing.mariadb import MariaDb, running_mariadb
from tests.engine.access.world import World, running


@pytest.fixture(scope="session")
def server() -> Iterator[MariaDb]:
    """A MariaDB for all tests of this folder."""
    with running_mariadb() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """An engine of one's own, on each store."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'engine.db'}"
    else:
        url = request.getfixturevalue("server").create_database()
    async with running(url) as found:
        yield found


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    """An engine of one's own, on SQLite."""
    async with running(f"sqlite:///{tmp_path / 'engine.db'}") as found:
        yield found


shared = small
