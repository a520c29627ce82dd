"""`python -m tests.bench [name …]`: run the benchmarks, or those named, and print their ratios."""

import sys
import time

from tests.bench import (
    access,
    caches,
    edge,
    edge_access,
    group_commit,
    growth,
    history,
    jobs,
    kernel,
    memory,
    sagas,
    streams,
)

BENCHES = {
    "kernel": kernel.run,
    "group-commit": group_commit.run,
    "jobs": jobs.run,
    "access": access.run,
    "caches": caches.run,
    "streams": streams.run,
    "sagas": sagas.run,
    "edge": edge.run,
    "edge-access": edge_access.run,
    "history": history.run,
    "memory": memory.run,
    "growth": growth.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"expected one of {', '.join(BENCHES)}; found {', '.join(unknown)}")
        return 2
    for name in names or BENCHES:
        began = time.perf_counter()
        print(f"== {name}", flush=True)
        for line in BENCHES[name]():
            print(line, flush=True)
        print(f"   ({time.perf_counter() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
