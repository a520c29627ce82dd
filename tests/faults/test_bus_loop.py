"""Engine and history joined by a real broker, and every part of it killed."""

from pathlib import Path

import pytest

from mesh.testing.kafka import Kafka, apache_kafka_is_installed
from mesh.testing.mariadb import mariadb_is_installed, running_mariadb
from tests.faults import bus_loop

KILLS = 3


@pytest.mark.kafka
@pytest.mark.mariadb
@pytest.mark.skipif(not mariadb_is_installed(), reason="MariaDB is not installed")
@pytest.mark.xfail(not apache_kafka_is_installed(), reason="the stand-in forgets all when it is killed", run=False)
def test_events_survive_the_death_of_relay_consumer_and_broker(kafka_server: Kafka, tmp_path: Path) -> None:
    with running_mariadb() as database:
        urls = (database.create_database(), database.create_database())
        with bus_loop.mesh_on(kafka_server, tmp_path, *urls, "loop.") as mesh:
            tally = bus_loop.run(mesh, KILLS, seed=3, clients=2)

    assert tally.findings == []
    assert set(tally.killed) == set(bus_loop.VICTIMS)
    assert len(tally.works) > KILLS
