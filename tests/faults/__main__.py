"""`python -m tests.faults [kills] [seed]`: the kill loops, with a line of what was killed and what was lost.

The mesh as one process on MariaDB first, then engine and history as two, joined by a real Kafka: relay, consumer and
broker are killed in turn, for as many minutes at most.
"""

import random
import sys
import tempfile
from pathlib import Path

from mesh.testing.kafka import apache_kafka_is_installed, running_kafka
from mesh.testing.mariadb import running_mariadb
from tests.faults import bus_loop, kill_loop

DEFAULT_KILLS = 30
BUS_KILLS = 24
BUS_SECONDS = 150.0


def main(arguments: list[str]) -> int:
    kills = int(arguments[0]) if arguments else DEFAULT_KILLS
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().randrange(2**32)
    print(f"killing the mesh {kills} times under load (seed {seed})", flush=True)
    with running_mariadb() as server:
        tally = kill_loop.run(server.create_database(), server.create_database(), kills, seed)
    for finding in tally.findings:
        print(f"FOUND {finding}")
    print(
        f"killed {tally.kills} times, {len(tally.works)} instances started and completed, "
        f"{len(tally.findings)} faults found",
        flush=True,
    )
    failed = bool(tally.findings or not tally.works)
    return 1 if _kill_the_bus(seed) or failed else 0


def _kill_the_bus(seed: int) -> bool:
    """Tell whether anything was found."""
    if not apache_kafka_is_installed():
        print("NOT RUN: the kill loop of the bus needs Apache Kafka, found no jars of it (make servers)")
        return True
    print(f"killing relay, consumer and broker up to {BUS_KILLS} times under load (seed {seed})", flush=True)
    with running_mariadb() as server, running_kafka() as kafka, tempfile.TemporaryDirectory() as folder:
        urls = (server.create_database(), server.create_database())
        with bus_loop.mesh_on(kafka, Path(folder), *urls, "faults.") as mesh:
            tally = bus_loop.run(mesh, BUS_KILLS, seed, BUS_SECONDS)
    for finding in tally.findings:
        print(f"FOUND {finding}")
    killed = ", ".join(f"{victim} {times} times" for victim, times in sorted(tally.killed.items()))
    print(
        f"killed {killed}; {len(tally.works)} instances, {tally.messages} messages ({tally.redelivered} came again), "
        f"{len(tally.findings)} faults found"
    )
    return bool(tally.findings or not tally.works)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
