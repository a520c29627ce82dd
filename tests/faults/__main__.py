"""`python -m tests.faults [kills]`: the kill loop on MariaDB, with a line of what was killed and what was lost."""

import random
import sys

from mesh.testing.mariadb import running_mariadb
from tests.faults import kill_loop

DEFAULT_KILLS = 30


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
        f"{len(tally.findings)} faults found"
    )
    return 1 if tally.findings or not tally.works else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
