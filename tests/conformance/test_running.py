"""A case runs on a fresh mesh, fails with its step, and a mesh that broke is not used again."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, create_autospec

import pytest

from tests.conformance.driver import Driver, Refused
from tests.conformance.isolation import Isolation
from tests.conformance.loading import Case, Corpus, Deployment, Step
from tests.conformance.running import run_case


@pytest.fixture
def driver() -> Any:
    return create_autospec(Driver, instance=True)


@pytest.fixture
def isolation(driver: Any) -> Any:
    given = AsyncMock(spec=Isolation)
    given.driver.return_value = driver
    return given


def case(*steps: tuple[str, Any], models: tuple[str, ...] = ("own/a.bpmn20.xml",)) -> Case:
    numbered = [Step(number=number, word=word, args=args) for number, (word, args) in enumerate(steps, start=1)]
    return Case(id="a/b", tier=1, deployments=(Deployment(models=models),), steps=tuple(numbered))


async def test_a_case_that_holds_passes_and_leaves_a_clean_mesh(driver: Any, isolation: Any, corpus: Corpus) -> None:
    outcome = await run_case(case(("start", {"key": "K"})), corpus, isolation, 0.01)

    assert outcome.failure == ""
    driver.deploy.assert_awaited_once_with({"own/a.bpmn20.xml": b"<a/>"}, "")
    isolation.clean.assert_awaited_once_with()
    isolation.discard.assert_not_awaited()


async def test_a_failure_names_its_step_and_the_mesh_is_cleaned(driver: Any, isolation: Any, corpus: Corpus) -> None:
    driver.start.side_effect = Refused("INTERNAL", "a bug\nin two lines")

    outcome = await run_case(case(("jobs", "run"), ("start", {"key": "K"})), corpus, isolation, 0.01)

    assert outcome.failure == "step 2: expected a start of K to be done, found INTERNAL: a bug in two lines"
    isolation.clean.assert_awaited_once_with()


async def test_models_that_do_not_deploy_fail_at_step_0(driver: Any, isolation: Any, corpus: Corpus) -> None:
    driver.deploy.side_effect = Refused("INVALID_ARGUMENT", "line 5")

    outcome = await run_case(case(("jobs", "run")), corpus, isolation, 0.01)

    assert outcome.failure.startswith("step 0: expected the deployment of own/a.bpmn20.xml to be done, found INVALID")


async def test_a_mesh_that_does_not_answer_is_replaced(driver: Any, isolation: Any, corpus: Corpus) -> None:
    driver.run_jobs.side_effect = Refused("DEADLINE_EXCEEDED", "")

    outcome = await run_case(case(("jobs", "run")), corpus, isolation, 0.01)

    assert "DEADLINE_EXCEEDED" in outcome.failure
    isolation.discard.assert_awaited_once_with()


async def test_a_question_that_is_not_answered_fails_the_case(driver: Any, isolation: Any, corpus: Corpus) -> None:
    driver.tasks.side_effect = Refused("UNIMPLEMENTED", "later")
    driver.start.return_value = "i1"

    outcome = await run_case(case(("start", {"key": "K"}), ("expect", {"tasks": []})), corpus, isolation, 0.01)

    assert outcome.failure == "step 2: expected an answer to a question, found UNIMPLEMENTED: later"


async def test_a_missing_model_and_a_malformed_step_fail(isolation: Any, corpus: Corpus) -> None:
    missing = await run_case(case(("jobs", "run"), models=("own/none.bpmn20.xml",)), corpus, isolation, 0.01)
    malformed = await run_case(case(("start", {})), corpus, isolation, 0.01)

    assert "expected a model file, found none at" in missing.failure
    assert malformed.failure.startswith("step 1: expected a step that can be read, found KeyError")


async def test_an_unknown_word_fails_without_running_anything(isolation: Any, corpus: Corpus) -> None:
    outcome = await run_case(case(("jobs", "run"), ("dance", {})), corpus, isolation, 0.01)

    assert outcome.failure.startswith("step 2: expected one of")
    isolation.driver.assert_not_awaited()
