"""Each word asks the driver for the right thing, and a case that words it wrongly is told so before it runs."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, call

import pytest

from tests.conformance.case_run import NEVER_AN_ID, CaseRun, Failed
from tests.conformance.driver import Job, Refused, Start, Task, Waiting, WorkerJob
from tests.conformance.loading import Case, Step
from tests.conformance.steps import do_step, problem_of


def task(task_id: str, name: str, key: str = "k", **facts: Any) -> Task:
    given: dict[str, Any] = dict.fromkeys(
        ("assignee", "owner", "due", "category", "form_key", "description", "delegation")
    )
    return Task(id=task_id, name=name, key=key, priority=50, **(given | facts))


async def do(run: CaseRun, word: str, args: Any) -> None:
    await do_step(run, Step(number=1, word=word, args=args))


def mock(run: CaseRun) -> AsyncMock:
    driver: Any = run.driver
    return driver  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("word", "args", "said"),
    [
        ("strat", {"key": "K"}, "unknown step 'strat'"),
        ("start", {"key": "K", "colour": 1}, "unknown key 'colour'"),
        ("retry", "p", "unknown key"),
        ("expect", {"state": "active", "colour": 1}, "unknown key 'colour'"),
        ("expect", {"jobs": {"timers": 1}}, "unknown key 'timers'"),
        ("expect", {"history": {"begun": []}}, "unknown key 'begun'"),
        ("expect", {"task": {"name": "a", "colour": 1}}, "unknown key 'colour'"),
        ("expect", {"subscriptions": ["a"]}, "expected subscriptions with"),
    ],
)
def test_unknown_words_and_keys_are_told_with_their_step(word: str, args: Any, said: str) -> None:
    case = Case(id="a/b", tier=1, steps=(Step(number=1, word="jobs", args="run"), Step(number=2, word=word, args=args)))

    problem = problem_of(case)

    assert problem.startswith("step 2: expected")
    assert said in problem


async def test_start_remembers_the_instance_by_name(run: CaseRun) -> None:
    mock(run).start.return_value = "i7"

    await do(run, "start", {"key": "K", "as": "q", "variables": {"a": 1}, "starter": "bono", "version": 2})

    mock(run).start.assert_awaited_once_with(Start(key="K", version=2, starter="bono", variables={"a": 1}))
    assert (run.instances["q"], run.keys["q"]) == ("i7", "K")


async def test_a_refused_start_with_the_expected_code_passes_and_names_nothing(run: CaseRun) -> None:
    mock(run).start.side_effect = Refused("NOT_FOUND", "no such key")

    await do(run, "start", {"key": "K", "as": "q", "fails": "NOT_FOUND"})

    assert "q" not in run.instances


@pytest.mark.parametrize(
    ("outcome", "fails", "said"),
    [
        (Refused("NOT_FOUND", "gone"), None, "expected a start of K to be done, found NOT_FOUND: gone"),
        (Refused("NOT_FOUND", "gone"), "ABORTED", "expected a start of K to be refused with ABORTED, found NOT_FOUND"),
        (None, "ABORTED", "expected a start of K to be refused with ABORTED, found it done"),
    ],
)
async def test_another_outcome_fails(run: CaseRun, outcome: Refused | None, fails: str | None, said: str) -> None:
    mock(run).start.side_effect = outcome
    mock(run).start.return_value = "i7"

    with pytest.raises(Failed, match=said):
        await do(run, "start", {"key": "K", **({"fails": fails} if fails else {})})


async def test_deploy_passes_where_the_refusal_contains_the_text(run: CaseRun) -> None:
    mock(run).deploy.side_effect = Refused("INVALID_ARGUMENT", "element 'NoWhere' is unknown")

    await do(run, "deploy", {"models": ["own/a.bpmn20.xml"], "fails": "nowhere"})

    mock(run).deploy.assert_awaited_once_with({"own/a.bpmn20.xml": b"<a/>"}, "")


@pytest.mark.parametrize(
    "outcome", [None, Refused("INVALID_ARGUMENT", "bad"), Refused("INTERNAL", "nowhere: KeyError")]
)
async def test_deploy_fails_where_it_is_not_refused_in_that_way(run: CaseRun, outcome: Refused | None) -> None:
    mock(run).deploy.side_effect = outcome

    with pytest.raises(Failed, match="to be refused with a message that contains 'nowhere'"):
        await do(run, "deploy", {"models": ["own/a.bpmn20.xml"], "fails": "nowhere"})


async def test_complete_picks_the_nth_task_by_name_or_key(run: CaseRun) -> None:
    mock(run).tasks.return_value = [task("t1", "A"), task("t2", "B", "x"), task("t3", "A")]

    await do(run, "complete", {"task": "A", "nth": 1, "variables": {"a": 1}, "local": True})
    await do(run, "complete", {"key": "x"})

    assert mock(run).complete.await_args_list == [call("t3", {"a": 1}, True, None), call("t2", {}, False, None)]


async def test_a_task_that_is_not_open_fails_and_tells_those_that_are(run: CaseRun) -> None:
    mock(run).tasks.return_value = [task("t1", "A")]

    with pytest.raises(Failed, match=r"expected an open task 'B', found open tasks \['A \(k\)'\]"):
        await do(run, "complete", {"task": "B"})


async def test_a_task_that_is_gone_is_asked_for_by_the_id_that_it_had(run: CaseRun) -> None:
    mock(run).tasks.side_effect = [[task("t1", "A")], [], []]
    await do(run, "claim", {"task": "A", "user": "u"})
    mock(run).complete.side_effect = Refused("NOT_FOUND", "gone")

    await do(run, "complete", {"task": "A", "fails": "NOT_FOUND"})
    await do(run, "complete", {"task": "never seen", "fails": "NOT_FOUND"})

    assert [each.args[0] for each in mock(run).complete.await_args_list] == ["t1", NEVER_AN_ID]


async def test_trigger_wakes_the_oldest_token_at_the_activity(run: CaseRun) -> None:
    mock(run).waiting.return_value = [
        Waiting(execution_id="e2", activity_id="a"),
        Waiting(execution_id="e1", activity_id="a"),
        Waiting(execution_id="e0", activity_id="b"),
    ]

    await do(run, "trigger", {"activity": "a", "variables": {"v": 1}})

    mock(run).trigger.assert_awaited_once_with("e1", {"v": 1})


async def test_message_goes_to_the_instance_or_by_business_key_or_to_whoever_waits(run: CaseRun) -> None:
    await do(run, "message", {"name": "m", "in": "p"})
    await do(run, "message", {"name": "m", "correlate": {"business_key": "b"}})
    await do(run, "message", {"name": "m", "variables": {"v": 1}})

    assert mock(run).correlate.await_args_list == [
        call("m", "i1", None, {}),
        call("m", None, "b", {}),
        call("m", None, None, {"v": 1}),
    ]


async def test_signal_is_broadcast_unless_it_names_an_instance(run: CaseRun) -> None:
    await do(run, "signal", {"name": "s"})
    await do(run, "signal", {"name": "s", "in": "p"})

    assert mock(run).signal.await_args_list == [call("s", None, {}), call("s", "i1", {})]


async def test_worker_reports_what_the_step_says(run: CaseRun) -> None:
    job = WorkerJob(id="j", lock_token="l")
    mock(run).acquire.return_value = job

    await do(run, "worker", {"topic": "t", "complete": {"a": 1}})
    await do(run, "worker", {"topic": "t", "fail": "no", "retries": 0})
    await do(run, "worker", {"topic": "t", "bpmn_error": "E", "variables": {"a": 1}})

    mock(run).complete_job.assert_awaited_once_with(job, {"a": 1})
    mock(run).fail_job.assert_awaited_once_with(job, "no", 0)
    mock(run).throw_bpmn_error.assert_awaited_once_with(job, "E", {"a": 1})


async def test_worker_without_a_job_fails(run: CaseRun) -> None:
    mock(run).acquire.return_value = None

    with pytest.raises(Failed, match="expected a job of topic t, found none"):
        await do(run, "worker", {"topic": "t", "complete": {}})


async def test_jobs_run_until_none_is_due_or_so_many(run: CaseRun) -> None:
    await do(run, "jobs", "run")
    await do(run, "jobs", {"run": 2})

    assert mock(run).run_jobs.await_args_list == [call(None), call(2)]


async def test_clock_fires_unless_told_not_to(run: CaseRun) -> None:
    await do(run, "clock", {"advance": "PT1H"})
    await do(run, "clock", {"advance": "PT1H", "fire": False})

    assert mock(run).advance_clock.await_args_list == [call("PT1H", True), call("PT1H", False)]


async def test_variables_are_set_on_the_instance_or_where_a_token_waits(run: CaseRun) -> None:
    mock(run).waiting.return_value = [Waiting(execution_id="e1", activity_id="a")]

    await do(run, "set", {"variables": {"v": 1}})
    await do(run, "set", {"variables": {"v": 1}, "activity": "a"})

    mock(run).set_variables.assert_awaited_once_with("i1", {"v": 1})
    mock(run).set_local_variables.assert_awaited_once_with("e1", {"v": 1})


async def test_to_remove_a_variable_that_is_not_there_is_no_failure(run: CaseRun) -> None:
    mock(run).remove_variable.side_effect = [Refused("NOT_FOUND", ""), None, Refused("INTERNAL", "bug")]

    await do(run, "unset", {"variables": ["a", "b"]})
    with pytest.raises(Failed):
        await do(run, "unset", {"variables": ["c"]})


async def test_suspend_and_activate_change_an_instance_or_all_versions(run: CaseRun) -> None:
    mock(run).definitions.return_value = ["d1", "d2"]

    await do(run, "suspend", {"in": "p"})
    await do(run, "activate", {"key": "K"})

    mock(run).change_instance.assert_awaited_once_with("i1", "suspend")
    assert mock(run).change_definition.await_args_list == [call("d1", "activate"), call("d2", "activate")]


async def test_move_and_migrate_pass_their_mappings(run: CaseRun) -> None:
    await do(run, "move", {"in": "p", "from": ["a"], "to": ["b", "c"]})
    await do(run, "migrate", {"in": "p", "to_version": 2, "mappings": {"a": "b", "c": ["d", "e"]}})

    mock(run).move.assert_awaited_once_with("i1", ["a"], ["b", "c"])
    mappings = [{"fromActivityId": "a", "toActivityId": "b"}, {"fromActivityId": "c", "toActivityIds": ["d", "e"]}]
    mock(run).migrate.assert_awaited_once_with("i1", "K", 2, mappings)


async def test_retry_revives_the_dead_jobs_of_the_instance_and_those_it_called(run: CaseRun) -> None:
    mock(run).called_instances.return_value = ["i2"]
    mock(run).jobs.side_effect = [[Job(id="j1", kind="deadletter-jobs", handler="h")], []]

    await do(run, "retry", {"in": "p"})

    mock(run).revive.assert_awaited_once_with("j1")
    assert mock(run).jobs.await_args_list == [call("i1", "deadletter-jobs"), call("i2", "deadletter-jobs")]


async def test_a_name_that_was_never_started_fails(run: CaseRun) -> None:
    with pytest.raises(Failed, match=r"an instance started as 'zz', found only \['p'\]"):
        await do(run, "delete", {"in": "zz"})
