"""One engine on SQLite, or two on one MariaDB, for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from mesh.testing.mariadb import mariadb_is_installed, running_mariadb
from tests.engine.concurrency.processes import Crowd, crowd_of, running_engines

BOTH = (
    "one-on-sqlite",
    pytest.param(
        "two-on-mariadb",
        marks=[
            pytest.mark.mariadb,
            pytest.mark.skipif(not mariadb_is_installed(), reason="MariaDB is not installed"),
        ],
    ),
)


@pytest.fixture(scope="session", params=BOTH)
def addresses(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Where the engines answer."""
    if request.param == "one-on-sqlite":
        folder = tmp_path_factory.mktemp("concurrency")
        with running_engines(f"sqlite:///{folder}/engine.db", 1) as found:
            yield found
    else:
        with running_mariadb() as server, running_engines(server.url(), 2) as found:
            yield found


@pytest.fixture
async def crowd(addresses: list[str]) -> AsyncIterator[Crowd]:
    """The clients; whatever they did, the database must be in order afterwards."""
    async with crowd_of(addresses) as found:
        yield found
        await found.check()
