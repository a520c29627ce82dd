"""Conformance cases against the pure kernel: FLOWLOOM_CORPUS names a directory of them; without it there are none."""

import os
from pathlib import Path
from typing import Any

import pytest

from engine.bpmn.problems import InvalidModel
from engine.effects.scripts import JavaScript
from tests.engine.kernel.corpus import Case, load_cases
from tests.engine.kernel.harness import MemoryEngine

CORPUS = os.environ.get("FLOWLOOM_CORPUS", "")
CASES = load_cases(Path(CORPUS)) if CORPUS else []


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[case["id"] for _, case in CASES])
def test_the_kernel_behaves_as_the_case_says(case: dict[str, Any]) -> None:
    Case(Path(CORPUS), case, MemoryEngine(JavaScript(), cold=True)).run()


MODELS = sorted((Path(CORPUS) / "models" / "miwg").glob("*.bpmn")) if CORPUS else []


@pytest.mark.parametrize("path", MODELS, ids=[path.stem for path in MODELS])
def test_models_of_other_tools_are_deployed_or_refused_precisely(path: Path) -> None:
    try:
        MemoryEngine().deploy(path.read_bytes())
    except InvalidModel as refused:
        assert refused.problems
        assert all(problem.line and "expected" in problem.message for problem in refused.problems)
