"""The implementations over which the contract of the bus is tested."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mesh.testing.kafka import Kafka
from mesh.testing.mariadb import MariaDb, mariadb_is_installed, running_mariadb
from tests.mesh.bus.worlds import KafkaWorld, MemoryWorld, SqlWorld, World, sqlite_world

IMPLEMENTATIONS = (
    "memory",
    "sqlite",
    pytest.param("mariadb", marks=pytest.mark.mariadb),
    pytest.param("kafka", marks=pytest.mark.kafka),
)


@pytest.fixture(scope="package")
def mariadb_server() -> Iterator[MariaDb]:
    if not mariadb_is_installed():
        pytest.skip("no MariaDB here")
    with running_mariadb() as server:
        yield server


@pytest.fixture
async def mariadb_world(mariadb_server: MariaDb) -> AsyncIterator[SqlWorld]:
    world = SqlWorld(mariadb_server.create_database())
    yield world
    await world.close()


@pytest.fixture(params=IMPLEMENTATIONS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """One world for each implementation of the bus."""
    found: World
    if request.param == "memory":
        found = MemoryWorld()
    elif request.param == "kafka":
        server: Kafka = request.getfixturevalue("kafka_server")
        if not server.is_real and "takes_over" in request.node.name:
            pytest.xfail("the broker that stands in does not hand partitions over")
        found = KafkaWorld(server.url)
    elif request.param == "sqlite":
        found = sqlite_world(tmp_path)
    else:
        found = SqlWorld(request.getfixturevalue("mariadb_server").create_database())
    yield found
    await found.close()
