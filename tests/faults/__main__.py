"""`python -m tests.faults [kills] [seed]`: the kill loops, with a line of what was killed and what was lost.

The mesh as one process on MariaDB first, under load; then an engine between any two lines of its sagas' logs; then
engine and history as two processes joined by a real Kafka, where relay, consumer and broker are killed in turn. Ten
minutes at most.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from mesh.testing.kafka import apache_kafka_is_installed, running_kafka
from mesh.testing.mariadb import running_mariadb
from tests.faults import bus_loop, kill_loop

DEFAULT_KILLS = 30
SAGA_KILLS = 16
SAGA_SECONDS = 300
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
    failed = [bool(tally.findings or not tally.works), _kill_sagas(), _kill_the_bus(seed)]
    return 1 if any(failed) else 0


def _kill_sagas() -> bool:
    """Tell whether anything was found. The loop forks, so it has a process of its own."""
    print(f"killing an engine between the lines of its sagas' logs, up to {SAGA_KILLS} times", flush=True)
    with running_mariadb() as server, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.faults.saga_crashes", server.create_database(), folder, str(SAGA_KILLS)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=SAGA_SECONDS, check=False)
    if not done.stdout:
        print("FOUND the loop of the sagas ended without a result")
        return True
    found = json.loads(done.stdout.splitlines()[-1])
    for finding in found["findings"]:
        print(f"FOUND {finding}")
    print(f"killed {found['deaths']} times, every saga at its end, {len(found['findings'])} faults found", flush=True)
    return bool(found["findings"] or not found["deaths"])


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
