"""Conformance cases against the pure kernel: our own, or those of the directory that FLOWLOOM_CORPUS names."""

import os
from pathlib import Path
from typing import Any

import pytest

from engine.bpmn.problems import InvalidModel
from engine.effects.scripts import JavaScript
from tests.engine.kernel.corpus import Case, load_cases
from tests.engine.kernel.harness import MemoryEngine

OWN = Path(__file__).parents[2] / "conformance" / "corpus"
CORPUS = Path(os.environ.get("FLOWLOOM_CORPUS") or OWN)
CASES = load_cases(CORPUS)


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[case["id"] for _, case in CASES])
def test_the_kernel_behaves_as_the_case_says(case: dict[str, Any]) -> None:
    Case(CORPUS, case, MemoryEngine(JavaScript(), cold=True)).run()


MODELS = sorted(path for path in (CORPUS / "models").rglob("*") if path.suffix in (".bpmn", ".xml"))


@pytest.mark.parametrize("path", MODELS, ids=[path.stem for path in MODELS])
def test_every_model_is_deployed_or_refused_precisely(path: Path) -> None:
    try:
        MemoryEngine().deploy(path.read_bytes())
    except InvalidModel as refused:
        assert refused.problems
        assert all("expected" in problem.message for problem in refused.problems)
