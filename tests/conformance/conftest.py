"""A case under way on a driver that does what a test says."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest

from tests.conformance.case_run import CaseRun
from tests.conformance.driver import Driver
from tests.conformance.loading import Corpus

# The driver is the border of the runner, so a scripted one stands in for the mesh: what it is asked is what we test.


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "models" / "own").mkdir(parents=True)
    (tmp_path / "models" / "own" / "a.bpmn20.xml").write_bytes(b"<a/>")
    return Corpus(tmp_path)


@pytest.fixture
def run(corpus: Corpus) -> CaseRun:
    driver = create_autospec(Driver, instance=True)
    return CaseRun(driver=driver, corpus=corpus, patience_seconds=0.05, instances={"p": "i1"}, keys={"p": "K"})
