"""`python -m tests.conformance --corpus DIR [--face grpc|rest] [--store sqlite|mysql] [--only AREA] [--tier N]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from host.demo.mesh import MeshNotStarted
from mesh.testing.mariadb import mariadb_is_installed
from tests.conformance import report
from tests.conformance.isolation import isolated
from tests.conformance.loading import Case, Corpus
from tests.conformance.reading import FOLDER, Reading, read_models
from tests.conformance.running import Outcome, run_case

COULD_NOT_RUN = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every case passed, 1 if one failed, 2 if nothing could be run."""
    options = _options(arguments)
    try:
        corpus = Corpus(options.corpus)
        cases = corpus.cases(options.only, options.tier)
        wants_models = options.only in ("", FOLDER) and options.tier is None and bool(corpus.models_of(FOLDER))
        if not cases and not wants_models:
            raise LookupError(f"expected cases of '{options.only}' in {options.corpus}, found none")
        if options.store == "mysql" and not mariadb_is_installed():
            raise LookupError("expected a MariaDB server to be installed, found none (make servers installs it)")
        return asyncio.run(_run(corpus, cases, wants_models, options))
    except (LookupError, FileNotFoundError, MeshNotStarted) as failed:
        print(f"conformance: {failed}", file=sys.stderr)
        return COULD_NOT_RUN


async def _run(corpus: Corpus, cases: Sequence[Case], wants_models: bool, options: argparse.Namespace) -> int:
    outcomes: list[Outcome] = []
    readings: list[Reading] = []
    async with isolated(options.face, options.store) as isolation:
        for case in cases:
            outcome = await run_case(case, corpus, isolation, options.patience)
            outcomes.append(outcome)
            if outcome.failure:
                print(report.failure_line(outcome), flush=True)
        if wants_models:
            readings = await read_models(corpus, isolation)
    for line in (*report.table(outcomes), *report.reading_lines(readings), "", report.summary(outcomes, readings)):
        print(line)
    return 0 if report.all_passed(outcomes, readings) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description="Run a corpus of behaviour cases.")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder with scenarios/ and models/")
    parser.add_argument("--face", choices=("grpc", "rest"), default="grpc", help="which face of the API is asked")
    parser.add_argument("--store", choices=("sqlite", "mysql"), default="sqlite", help="where the mesh keeps its data")
    parser.add_argument("--only", default="", metavar="AREA", help="one area, or one case by its id")
    parser.add_argument("--tier", type=int, choices=(1, 2, 3), help="only the cases of this tier")
    parser.add_argument("--patience", type=float, default=5.0, metavar="SECONDS", help="how long the history may lag")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
