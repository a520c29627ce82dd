"""Cases are read as they are written, and what cannot be read is a failed case that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.loading import Corpus, Deployment, Step, read_case

CASE = """
id: area/name
about: Something.
tier: 2
origin: own
models: [own/a.bpmn20.xml, own/b.bpmn20.xml]
steps:
  - start: {key: K}
  - jobs: run
"""


def test_a_case_has_its_models_as_one_deployment_and_numbered_steps() -> None:
    case = read_case(CASE, "area/name")

    assert (case.id, case.area, case.tier) == ("area/name", "area", 2)
    assert case.deployments == (Deployment(models=("own/a.bpmn20.xml", "own/b.bpmn20.xml")),)
    assert case.steps == (Step(number=1, word="start", args={"key": "K"}), Step(number=2, word="jobs", args="run"))


def test_deployments_come_in_order_one_by_one() -> None:
    each = "[own/a.bpmn20.xml, [own/b.bpmn20.xml], {models: [own/c.bpmn20.xml], tenant: t}]"
    case = read_case(CASE.replace("models: [own/a.bpmn20.xml, own/b.bpmn20.xml]", f"deployments: {each}"), "area/name")

    assert case.deployments == (
        Deployment(models=("own/a.bpmn20.xml",)),
        Deployment(models=("own/b.bpmn20.xml",)),
        Deployment(models=("own/c.bpmn20.xml",), tenant="t"),
    )


def test_a_case_may_have_no_models() -> None:
    case = read_case(CASE.replace("[own/a.bpmn20.xml, own/b.bpmn20.xml]", "[]"), "area/name")

    assert case.deployments == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("about:", "abuot:", "abuot"),
        ("id: area/name", "id: other/name", "expected the id area/name, found other/name"),
        ("tier: 2", "tier: 4", "expected tier 1, 2 or 3, found 4"),
        ("steps:", "steps: []\nabout:", "expected a list of steps"),
        ("  - jobs: run", "  - {jobs: run, clock: 1}", "step 2: expected one key"),
        ("[own/a.bpmn20.xml, own/b.bpmn20.xml]", "[5]", "expected a list of model files"),
    ],
)
def test_what_is_wrong_with_a_case_is_said(before: str, after: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_case(CASE.replace(before, after), "area/name")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, tier in (("b/two", 1), ("a/one", 2), ("a/three", 1)):
        path = tmp_path / "scenarios" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CASE.replace("area/name", name).replace("tier: 2", f"tier: {tier}"))
    (tmp_path / "scenarios" / "b" / "broken.yaml").write_text("id: [")
    return tmp_path


def test_cases_are_ordered_by_id_and_a_broken_one_is_among_them(folder: Path) -> None:
    cases = Corpus(folder).cases()

    assert [case.id for case in cases] == ["a/one", "a/three", "b/broken", "b/two"]
    assert [bool(case.problem) for case in cases] == [False, False, True, False]


def test_cases_can_be_chosen_by_area_id_and_tier(folder: Path) -> None:
    corpus = Corpus(folder)

    assert [case.id for case in corpus.cases("a")] == ["a/one", "a/three"]
    assert [case.id for case in corpus.cases("a/one")] == ["a/one"]
    assert [case.id for case in corpus.cases(tier=1)] == ["a/three", "b/two"]
    assert corpus.cases("nowhere") == []


def test_a_folder_without_scenarios_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scenarios"):
        Corpus(tmp_path)
