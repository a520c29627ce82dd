"""Jobs: asynchronous continuations, workers, failures, retries and dead letters."""

from datetime import timedelta

import pytest

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel.errors import Refused
from engine.kernel.state import ASYNC
from engine.kernel.values import variables_of
from tests.engine.kernel.contract import engine_with
from tests.engine.kernel.harness import MemoryEngine, state_of, tasks_of
from tests.engine.kernel.models import boundary, end, flow, flows, model, service, start, user_task

WORKER = '<serviceTask id="x" flowable:type="external-worker" flowable:topic="t"/>'


def failing(attributes: str = "") -> MemoryEngine:
    task = service("x", "${missing + 1}", f'flowable:async="true" {attributes}')
    return engine_with(model(start(), task, end(), flows("s>x>e")))


def test_a_job_is_tried_three_times_with_growing_pauses_and_is_dead_then() -> None:
    engine = failing()
    tree = engine.start("p")
    pauses = []

    for _ in range(3):
        (root_id, job) = engine.jobs(ASYNC)[0]
        engine.now = job.due_at
        engine.run_job(root_id, job)
        pauses.append(engine.rows[root_id].jobs[job.id].due_at - engine.now)

    assert pauses[:2] == [timedelta(seconds=2), timedelta(seconds=4)]
    ((_, dead),) = engine.jobs(ASYNC, dead=True)
    assert "missing" in dead.error
    incidents = [e for e in engine.history[tree.root_id] if isinstance(e, ev.IncidentRaised)]
    assert [(i.kind, i.element_id, i.job_id) for i in incidents] == [("job-dead", "x", dead.id)]


def test_a_dead_job_comes_back_with_its_tries_when_the_cause_is_gone() -> None:
    engine = failing('flowable:failedJobRetryTimeCycle="R1/PT1S"')
    tree = engine.start("p")
    engine.run_jobs()
    ((root_id, dead),) = engine.jobs(ASYNC, dead=True)
    engine.run(root_id, cmd.SetVariables(execution_id=root_id, variables=variables_of({"missing": 1})))

    engine.run(root_id, cmd.ChangeJob(job_id=dead.id, move="executable"))
    engine.run_jobs()

    engine.check_replay()
    assert state_of(engine.trees[tree.root_id]) == "completed"


def test_a_worker_s_result_goes_on_by_a_job_of_its_own() -> None:
    engine = engine_with(model(start(), WORKER, end(), flows("s>x>e")))
    tree = engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(root_id, cmd.CompleteJob(job_id=job.id, worker_id="worker", variables=variables_of({"v": 1})))
    assert state_of(engine.trees[tree.root_id]) == "active"
    engine.run_jobs()

    assert state_of(engine.trees[tree.root_id]) == "completed"


def test_a_former_holder_of_the_lease_is_fenced_off() -> None:
    engine = engine_with(model(start(), WORKER, end(), flows("s>x>e")))
    engine.start("p")
    root_id, job = engine.worker("t")

    for command in (
        cmd.CompleteJob(job_id=job.id, worker_id="slow"),
        cmd.FailJob(job_id=job.id, worker_id="slow", error="late"),
        cmd.ThrowJobError(job_id=job.id, worker_id="slow", error_code="late"),
    ):
        with pytest.raises(Refused, match=r"expected job .* to be locked by 'slow'"):
            engine.run(root_id, command)


def test_a_worker_that_fails_may_try_again_at_once_and_decides_how_often() -> None:
    engine = engine_with(model(start(), WORKER, end(), flows("s>x>e")))
    engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(root_id, cmd.FailJob(job_id=job.id, worker_id="worker", error="busy", retries=2))
    _, again = engine.worker("t")
    engine.run(root_id, cmd.FailJob(job_id=job.id, worker_id="worker", error="broken", details="trace", retries=0))

    assert again.id == job.id
    ((_, dead),) = engine.jobs(dead=True)
    assert (dead.error, dead.error_details) == ("broken", "trace")


def test_a_job_of_a_suspended_instance_is_not_run() -> None:
    engine = failing()
    tree = engine.start("p")
    ((root_id, job),) = engine.jobs(ASYNC)
    engine.run(root_id, cmd.SuspendInstance(instance_id=tree.root_id))

    with pytest.raises(Refused, match="found it suspended"):
        engine.run(root_id, cmd.ExecuteJob(job_id=job.id))


def test_a_worker_s_error_without_a_code_is_caught_by_any_handler_and_one_that_names_a_code_comes_first() -> None:
    by_code = boundary("named", "x", '<errorEventDefinition errorRef="err"/>')
    by_any = boundary("all", "x", "<errorEventDefinition/>")
    engine = engine_with(
        model(
            start(), WORKER, user_task("well"), by_any, user_task("any"),
            by_code, user_task("caught"), end(),
            flows("s>x>well>e all>any>e named>caught>e"),
            root='<error id="err" errorCode="other"/>',
        )
    )  # fmt: skip
    tree = engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(root_id, cmd.ThrowJobError(job_id=job.id, error_code=""))
    engine.run_jobs()

    engine.check_replay()
    assert tasks_of(engine.trees[tree.root_id]) == ["caught"]


def test_a_worker_s_local_variables_are_the_task_s_own_and_end_with_it() -> None:
    worker = (
        '<serviceTask id="x" flowable:type="external-worker" flowable:topic="t"><extensionElements>'
        '<flowable:externalWorkerOutParameter sourceExpression="${found + mine}" target="sum"/>'
        "</extensionElements></serviceTask>"
    )
    engine = engine_with(model(start(), worker, user_task("after"), end(), flows("s>x>after>e")))
    tree = engine.start("p")
    root_id, job = engine.worker("t")

    engine.run(
        root_id,
        cmd.CompleteJob(job_id=job.id, variables=variables_of({"found": 1}), local_variables=variables_of({"mine": 2})),
    )
    engine.run_jobs()

    engine.check_replay()
    assert {name: v.value for name, v in engine.rows[root_id].variables[tree.root_id].items()} == {"sum": 3}
    assert set(engine.rows[root_id].variables) == {tree.root_id}


def test_only_a_dead_job_is_revived() -> None:
    engine = failing('flowable:failedJobRetryTimeCycle="R1/PT1S"')
    engine.start("p")
    ((root_id, job),) = engine.jobs(ASYNC)

    with pytest.raises(Refused) as refused:
        engine.run(root_id, cmd.ChangeJob(job_id=job.id, move="revive"))
    engine.run_jobs()
    engine.run(root_id, cmd.ChangeJob(job_id=job.id, move="revive"))

    assert refused.value.status == "NOT_FOUND"
    assert engine.jobs(ASYNC, dead=True) == []


@pytest.mark.parametrize(
    ("gateway", "reached"),
    [("parallelGateway", ["a", "b"]), ("exclusiveGateway", ["b"]), ("inclusiveGateway", ["a"])],
)
def test_only_an_inclusive_gateway_left_by_a_job_chooses_its_flows_then(gateway: str, reached: list[str]) -> None:
    fork = f'<{gateway} id="x" flowable:asyncLeave="true"/>'
    ways = flow("x", "a", "${n == 1}") + flow("x", "b", "${n == 2}")
    engine = engine_with(model(start(), fork, user_task("a"), user_task("b"), flows("s>x"), ways))
    tree = engine.start("p", {"n": 2})
    assert tasks_of(tree) == []
    engine.run(tree.root_id, cmd.SetVariables(execution_id=tree.root_id, variables=variables_of({"n": 1})))

    assert engine.run_jobs() == 1

    engine.check_replay()
    assert sorted(tasks_of(engine.trees[tree.root_id])) == reached


def test_an_exclusive_gateway_that_leaves_by_a_job_takes_the_first_of_the_flows_that_hold() -> None:
    fork = '<exclusiveGateway id="x" flowable:asyncLeave="true"/>'
    ways = flow("x", "a", "${n > 0}") + flow("x", "b", "${n > 1}")
    engine = engine_with(model(start(), fork, user_task("a"), user_task("b"), flows("s>x"), ways))
    tree = engine.start("p", {"n": 2})

    engine.run_jobs()

    assert tasks_of(engine.trees[tree.root_id]) == ["a"]
