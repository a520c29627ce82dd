"""Conformance cases against the pure kernel: FLOWLOOM_CORPUS names a directory of them; without it there are none."""

import os
from pathlib import Path
from typing import Any

import pytest

from engine.effects.scripts import JavaScript
from tests.engine.kernel.corpus import Case, load_cases
from tests.engine.kernel.harness import MemoryEngine

CORPUS = os.environ.get("FLOWLOOM_CORPUS", "")
CASES = load_cases(Path(CORPUS)) if CORPUS else []


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[case["id"] for _, case in CASES])
def test_the_kernel_behaves_as_the_case_says(case: dict[str, Any]) -> None:
    Case(Path(CORPUS), case, MemoryEngine(JavaScript(), cold=True)).run()
