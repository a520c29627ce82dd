"""The runner against real meshes: our own corpus holds on both faces, and a case that is wrong fails with its step."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.conformance.__main__ import main

CORPUS: Final = Path(__file__).parent / "corpus"
CASES: Final = len(list(CORPUS.glob("scenarios/*/*.yaml")))


def run(capsys: pytest.CaptureFixture[str], corpus: Path, *more: str) -> tuple[int, list[str]]:
    status = main(["--corpus", str(corpus), *more])
    return status, capsys.readouterr().out.splitlines()


def test_every_case_holds_over_grpc(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, CORPUS)

    assert [line for line in lines if line.startswith("FAIL")] == []
    assert CASES > 0
    assert lines[-1] == f"{CASES} passed, 0 failed"
    assert status == 0


@pytest.mark.envoy
def test_every_case_holds_over_rest(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, CORPUS, "--face", "rest")

    assert [line for line in lines if line.startswith("FAIL")] == []
    assert lines[-1] == f"{CASES} passed, 0 failed"
    assert status == 0


@pytest.mark.mariadb
def test_every_case_holds_on_mariadb(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = run(capsys, CORPUS, "--store", "mysql")

    assert [line for line in lines if line.startswith("FAIL")] == []
    assert lines[-1] == f"{CASES} passed, 0 failed"
    assert status == 0


def test_a_wrong_expectation_fails_and_a_case_after_it_has_a_fresh_state(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(CORPUS / "models")
    scenarios = tmp_path / "scenarios" / "x"
    scenarios.mkdir(parents=True)
    head = (
        "about: a\ntier: 1\norigin: own\nmodels: [own/expense-second.bpmn20.xml]\nsteps:\n  - start: {key: expense}\n"
    )
    (scenarios / "a.yaml").write_text(f"id: x/a\n{head}  - expect: {{tasks: [Something else]}}\n")
    counts = "{instances: {key: expense, active: 1, completed: 0}, definitions: {key: expense, versions: 1}}"
    (scenarios / "b.yaml").write_text(f"id: x/b\n{head}  - expect: {counts}\n")

    status, lines = run(capsys, tmp_path)

    assert [line for line in lines if line.startswith("FAIL")] == [
        "FAIL x/a: step 2: expected tasks ['Something else'], found ['Look at it']"
    ]
    assert lines[-1] == "1 passed, 1 failed"
    assert status == 1


def test_a_corpus_without_such_cases_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", str(CORPUS), "--only", "nowhere"]) == 2

    assert "expected cases of 'nowhere'" in capsys.readouterr().err
