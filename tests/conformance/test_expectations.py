"""Each expectation holds where it should and fails where it should not, and the history is given time to follow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.case_run import CaseRun, Failed
from tests.conformance.driver import Activity, Instance, Job, Subscription, Waiting
from tests.conformance.expectations import expect
from tests.conformance.test_steps import mock, task


def instance(state: str, end: str = "") -> Instance:
    return Instance(id="i1", key="K", state=state, end_activity_id=end)


def running(run: CaseRun) -> None:
    mock(run).instance.return_value = instance("active")
    mock(run).historic_instance.return_value = instance("active")


def ended(run: CaseRun, state: str = "completed", end: str = "theEnd") -> None:
    mock(run).instance.return_value = None
    mock(run).historic_instance.return_value = instance(state, end)


def activity(activity_id: str, *, is_open: bool = False, canceled: bool = False) -> Activity:
    return Activity(activity_id=activity_id, ended=not is_open, canceled=canceled)


async def fails(run: CaseRun, said: str, **args: Any) -> None:
    with pytest.raises(Failed, match=said):
        await expect(run, args)


async def test_the_state_of_a_running_instance_comes_from_the_engine(run: CaseRun) -> None:
    running(run)

    await expect(run, {"state": "active"})
    await fails(run, "expected state suspended, found active", state="suspended")


async def test_the_state_of_an_ended_instance_comes_from_the_history(run: CaseRun) -> None:
    ended(run, "terminated")

    await expect(run, {"state": "terminated"})
    await fails(run, "expected state completed, found terminated", state="completed")


async def test_the_history_is_given_time_to_follow(run: CaseRun) -> None:
    mock(run).instance.return_value = None
    mock(run).historic_instance.side_effect = [None, instance("active"), instance("completed")]

    await expect(run, {"state": "completed"})


async def test_an_instance_that_is_over_is_not_active_because_the_history_lags(run: CaseRun) -> None:
    mock(run).instance.return_value = None
    mock(run).historic_instance.return_value = instance("active")

    await fails(run, "expected state active, found active in the history, not running", state="active")
    await fails(run, "expected the history to know the end of the instance", absent=["a"])
    await fails(run, "expected the history to know the end of the instance", variables={"a": 1})


async def test_patience_with_the_history_ends(run: CaseRun) -> None:
    mock(run).instance.return_value = None
    mock(run).historic_instance.return_value = None

    await fails(run, "none in the history", state="completed")


async def test_tasks_are_compared_as_a_multiset(run: CaseRun) -> None:
    mock(run).tasks.return_value = [task("1", "A"), task("2", "B"), task("3", "A")]

    await expect(run, {"tasks": ["A", "A", "B"]})
    await fails(run, r"expected tasks \['A', 'B'\], found \['A', 'A', 'B'\]", tasks=["A", "B"])


async def test_deep_reaches_the_driver(run: CaseRun) -> None:
    mock(run).tasks.return_value = []
    mock(run).waiting.return_value = []

    await expect(run, {"tasks": [], "at": [], "deep": True})

    mock(run).tasks.assert_awaited_with("i1", True)
    mock(run).waiting.assert_awaited_with("i1", True)


async def test_tokens_are_compared_as_a_multiset(run: CaseRun) -> None:
    mock(run).waiting.return_value = [Waiting(execution_id="e", activity_id="a")] * 2

    await expect(run, {"at": ["a", "a"]})
    await fails(run, "tokens at", at=["a"])


async def test_one_of_several_equal_tasks_must_fit(run: CaseRun) -> None:
    mock(run).tasks.return_value = [task("1", "A", assignee="x"), task("2", "A", due="2026-01-01T00:00:00.000Z")]

    await expect(run, {"task": {"name": "A", "assignee": None, "due": "2026-01-01T01:00:00+01:00", "priority": 50}})
    await fails(run, 'with {"assignee": "y"}, found {"assignee": "x"}', task={"name": "A", "assignee": "y"})
    await fails(run, "expected an open task 'B', found none", task={"name": "B"})


async def test_candidates_are_sets(run: CaseRun) -> None:
    mock(run).tasks.return_value = [task("1", "A")]
    mock(run).candidates.return_value = (["u"], ["g", "f"])

    await expect(run, {"task": {"name": "A", "candidate_users": ["u"], "candidate_groups": ["f", "g"]}})
    await fails(run, "candidate_users", task={"name": "A", "candidate_users": []})


async def test_live_variables_are_those_of_the_engine(run: CaseRun) -> None:
    running(run)
    mock(run).variables.return_value = {"a": 1.0, "n": None}

    await expect(run, {"variables": {"a": 1, "n": None}, "absent": ["b"]})
    await fails(run, "expected variable a = true, found 1.0", variables={"a": True})
    await fails(run, "expected variable b = null, found none", variables={"b": None})
    await fails(run, "expected no variable n, found null", absent=["n"])


async def test_deep_variables_may_be_those_of_any_called_instance(run: CaseRun) -> None:
    running(run)
    mock(run).called_instances.return_value = ["i2"]
    mock(run).variables.side_effect = lambda each: {"i1": {"a": 1}, "i2": {"a": 2, "b": 3}}[each]

    await expect(run, {"deep": True, "variables": {"a": 2, "b": 3}})
    await fails(run, "variable a = 2", variables={"a": 2})


async def test_variables_of_an_ended_instance_are_the_last_historic_ones(run: CaseRun) -> None:
    ended(run)
    mock(run).historic_variables.return_value = [{"name": "a", "value": "x"}]

    await expect(run, {"variables": {"a": "x"}, "absent": ["b"]})
    mock(run).historic_variables.assert_awaited_with("i1", False)


async def test_jobs_are_told_apart_by_where_they_lie_and_what_they_do(run: CaseRun) -> None:
    jobs = {
        "jobs": [("async-continuation", 2), ("trigger-timer", 1)],
        "timer-jobs": [("trigger-timer", 1)],
        "external-worker-jobs": [("external-worker-complete", 3)],
    }
    mock(run).jobs.side_effect = lambda _, kind: [
        Job(id="j", kind=kind, handler=handler) for handler, count in jobs.get(kind, ()) for _ in range(count)
    ]

    await expect(run, {"jobs": {"async": 2, "timer": 2, "external": 3, "dead": 0, "suspended": 0}})
    await fails(run, "expected 1 dead jobs, found 0", jobs={"dead": 1})
    await fails(run, "expected 0 external jobs, found 3", jobs={"external": 0})


async def test_subscriptions_are_compared_by_kind(run: CaseRun) -> None:
    mock(run).subscriptions.return_value = [
        Subscription(kind="message", name="m"),
        Subscription(kind="signal", name="s"),
    ]

    await expect(run, {"subscriptions": {"message": ["m"], "signal": ["s"]}})
    await fails(run, "message subscriptions", subscriptions={"message": []})


async def test_called_counts_direct_or_all_levels(run: CaseRun) -> None:
    mock(run).called_instances.side_effect = lambda _, deep: ["i2", "i3"] if deep else ["i2"]

    await expect(run, {"called": 1})
    await expect(run, {"called": 2, "deep": True})
    await fails(run, "expected 0 called instances, found 1", called=0)


async def test_instances_of_a_key_count_running_and_completed_ones(run: CaseRun) -> None:
    mock(run).count_running.return_value = 2
    mock(run).definitions.return_value = ["d1", "d2"]
    counts = {("d1", "active"): 1, ("d2", "suspended"): 1, ("d1", "completed"): 1, ("d2", "completed"): 3}
    mock(run).count_historic.side_effect = lambda *asked: counts.get(asked, 0)

    await expect(run, {"instances": {"key": "K", "active": 2, "completed": 4}})
    await fails(run, "expected 1 active instances of K, found 2", instances={"key": "K", "active": 1})
    await fails(run, "expected 5 completed instances of K, found 4", instances={"key": "K", "completed": 5})


async def test_completed_instances_are_not_counted_before_the_history_agrees_on_the_running_ones(run: CaseRun) -> None:
    mock(run).count_running.return_value = 0
    mock(run).definitions.return_value = ["d1"]
    mock(run).count_historic.side_effect = lambda _, state: {"active": 1}.get(state, 0)

    said = "expected the history to know that 0 instances of K are running, found 1 not ended there"
    await fails(run, said, instances={"key": "K", "completed": 0})


async def test_definitions_count_versions(run: CaseRun) -> None:
    mock(run).definitions.return_value = ["d1"]

    await expect(run, {"definitions": {"key": "K", "versions": 1}})
    await fails(run, "expected 0 versions of K, found 1", definitions={"key": "K", "versions": 0})


async def test_the_end_is_the_end_event_of_the_history(run: CaseRun) -> None:
    ended(run)

    await expect(run, {"end": "theEnd"})
    await fails(run, "expected the instance to end at other, found theEnd", end="other")


async def test_history_tells_ended_canceled_order_counts_and_what_never_started(run: CaseRun) -> None:
    ended(run)
    mock(run).activities.return_value = [activity("s"), activity("a", canceled=True), activity("b"), activity("b")]

    await expect(
        run,
        {
            "history": {
                "ended": ["b", "s"],
                "canceled": ["a"],
                "order": ["s", "b"],
                "counts": {"b": 2, "x": 0},
                "not_started": ["x"],
            }
        },
    )
    await fails(run, "ended in the history", history={"ended": ["a"]})
    await fails(run, "canceled in the history", history={"canceled": ["b"]})
    await fails(run, "starts in the order", history={"order": ["b", "s"]})
    await fails(run, "starts", history={"counts": {"b": 1}})
    await fails(run, r"found \['b'\] in the history", history={"not_started": ["b"]})


async def test_history_of_an_ended_instance_is_not_looked_at_before_it_knows_the_end(run: CaseRun) -> None:
    mock(run).instance.return_value = None
    mock(run).historic_instance.side_effect = [instance("active"), instance("completed")]
    mock(run).activities.return_value = [activity("x")]

    await fails(run, r"found \['x'\] in the history", history={"not_started": ["x"]})


async def test_history_of_a_running_instance_waits_for_the_elements_where_tokens_wait(run: CaseRun) -> None:
    running(run)
    mock(run).waiting.return_value = [Waiting(execution_id="e", activity_id="a")]
    late = [activity("x"), activity("a", is_open=True)]
    mock(run).activities.side_effect = [[], *[late] * 50]

    await fails(run, r"found \['x'\] in the history", history={"not_started": ["x"]})
