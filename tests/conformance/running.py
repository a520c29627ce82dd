"""Runs one case from its deployments to its last step, whatever happens, and tells what came out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.conformance import steps
from tests.conformance.case_run import CaseRun, Failed, attempt
from tests.conformance.driver import Refused
from tests.conformance.isolation import BROKEN, Isolation
from tests.conformance.loading import Case, Corpus

CASE_SECONDS: Final = 60.0
"""A case that takes longer has failed, and its mesh is not trusted with the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case; `failure` is empty if it passed."""

    case: Case
    failure: str = ""


async def run_case(case: Case, corpus: Corpus, isolation: Isolation, patience_seconds: float) -> Outcome:
    """Run a case on a fresh state and leave nothing behind. Raises MeshNotStarted."""
    problem = steps.problem_of(case)
    if problem:
        return Outcome(case=case, failure=problem)
    run = CaseRun(driver=await isolation.driver(), corpus=corpus, patience_seconds=patience_seconds)
    failure, broken = await _failure_of(case, run)
    await (isolation.discard() if broken else isolation.clean())
    return Outcome(case=case, failure=failure)


async def _failure_of(case: Case, run: CaseRun) -> tuple[str, bool]:
    """Return why the case failed (empty: it did not), and whether the mesh is not to be used any more."""
    place = "step 0"
    try:
        async with asyncio.timeout(CASE_SECONDS):
            for deployment in case.deployments:
                act = steps.deploy_models(run, list(deployment.models), deployment.tenant)
                await attempt(f"the deployment of {', '.join(deployment.models)}", None, act)
            for step in case.steps:
                place = f"step {step.number}"
                await steps.do_step(run, step)
    except Failed as failed:
        cause = failed.__cause__
        return f"{place}: {_line(failed)}", isinstance(cause, Refused) and cause.code in BROKEN
    except Refused as refused:
        return f"{place}: expected an answer to a question, found {_line(refused)}", refused.code in BROKEN
    except TimeoutError:
        return f"{place}: expected the case to end within {CASE_SECONDS} s, found it still running", True
    except FileNotFoundError as missing:
        return f"{place}: expected a model file, found none at {missing.filename}", False
    except (KeyError, TypeError, ValueError) as malformed:
        return f"{place}: expected a step that can be read, found {type(malformed).__name__}: {_line(malformed)}", False
    return "", False


def _line(failure: Exception) -> str:
    return " ".join(str(failure).split())
