"""Streams in both directions: commands in batches, an answer for each, back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import external_worker_service_pb2 as ext
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts
from google.rpc import error_details_pb2, status_pb2

from engine.kernel.errors import not_found
from engine.rpc.batch_stream import MAX_COMMANDS, BatchStream, StreamTerms
from mesh.errors import InvalidArgument, Unavailable
from mesh.rpc_errors import refusal_in
from tests.engine.jobs.world import EXTERNAL, running, sqlite_url
from tests.engine.rpc.world import ONE_TASK, Mesh

SECONDS = 20.0


def start(correlation: int, key: str, request_id: str = "") -> rt.StartCommand:
    request = rt.StartProcessInstanceRequest(process_definition_key=key, request_id=request_id)
    return rt.StartCommand(correlation=correlation, start=request)


async def of(*messages: Any) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def starts(mesh: Mesh, *messages: Sequence[rt.StartCommand]) -> dict[int, rt.StartResult]:
    asked = of(*(rt.StartProcessInstancesRequest(commands=commands) for commands in messages))
    found = [result async for answer in mesh.runtime.StartProcessInstances(asked) for result in answer.results]
    assert len(found) == sum(map(len, messages))
    return {result.correlation: result for result in found}


def reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def test_every_start_is_answered_by_its_number_and_a_refusal_ends_nothing(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    found = await starts(mesh, [start(1, "one"), start(2, "nothing")], [start(3, "one")])

    assert {found[1].process_instance.process_definition_key, found[3].process_instance.process_definition_key} == {
        "one"
    }
    assert (found[2].error.code, reason(found[2].error)) == (5, "process-definition-not-found")
    assert (await mesh.task(found[3].process_instance.id)).name == "Approve"


async def test_a_repeated_request_id_on_another_stream_gets_the_first_instance(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    first = await starts(mesh, [start(1, "one", "r")])
    again = await starts(mesh, [start(7, "one", "r"), start(8, "one", "x" * 200)])

    assert again[7].process_instance.id == first[1].process_instance.id
    assert again[8].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_completions_on_a_stream_share_transactions(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    started = await starts(mesh, [start(n, "one") for n in range(40)])
    tasks = [(await mesh.task(result.process_instance.id)).id for result in started.values()]
    commands = [
        ts.CompleteCommand(correlation=n, complete=ts.CompleteTaskRequest(task_id=task))
        for n, task in enumerate([*tasks, "no-task"])
    ]

    answers = [a async for a in mesh.tasks.CompleteTasks(of(ts.CompleteTasksRequest(commands=commands)))]

    results = {result.correlation: result.error.code for answer in answers for result in answer.results}
    assert results == dict.fromkeys(range(40), 0) | {40: 5}
    assert len(answers) < 20
    assert (await mesh.tasks.ListTasks(ts.ListTasksRequest())).total == 0


async def test_a_message_that_is_too_long_ends_the_stream(mesh: Mesh) -> None:
    commands = [start(n, "one") for n in range(MAX_COMMANDS + 1)]

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await starts(mesh, commands)

    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class Held:
    """Commands that are held until they are let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.go = asyncio.Event()

    async def carry_out(self, command: int) -> int:
        self.begun.append(command)
        await self.go.wait()
        if command < 0:
            raise not_found("nothing", "expected something, found nothing")
        return command

    def stream(self, window: int = 4, draining: asyncio.Event | None = None) -> BatchStream[int, int]:
        terms = StreamTerms(window=window, draining=draining or asyncio.Event())
        return BatchStream(self.carry_out, lambda command, status: command * 100 + status.code, terms)


async def until(holds: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110 - the condition is about plain values
            await asyncio.sleep(0)


async def test_no_more_than_a_window_is_taken_from_a_client() -> None:
    held = Held()
    read: list[int] = []

    async def batches() -> AsyncIterator[Sequence[int]]:
        for n in range(10):
            read.append(n)
            yield (n,)

    async def collect() -> list[int]:
        return [answer async for answers in held.stream().answers(batches()) for answer in answers]

    collecting = asyncio.create_task(collect())
    await until(lambda: len(held.begun) == 4)
    for _ in range(20):
        await asyncio.sleep(0)

    assert read == [0, 1, 2, 3, 4]
    held.go.set()
    assert sorted(await collecting) == list(range(10))


async def test_a_client_that_takes_no_answers_is_not_read() -> None:
    held = Held()
    held.go.set()
    endless = ((n,) for n in range(10_000))
    answers = held.stream().answers(of(*(next(endless) for _ in range(100))))

    taken = await anext(answers)
    for _ in range(100):
        await asyncio.sleep(0)

    assert len(held.begun) <= len(taken) + 4
    await answers.aclose()


async def test_when_the_server_goes_away_what_is_under_way_is_answered_first() -> None:
    held = Held()
    draining = asyncio.Event()

    async def open_end() -> AsyncIterator[Sequence[int]]:
        yield (1, -2)
        await asyncio.Event().wait()

    answers = held.stream(draining=draining).answers(open_end())
    first = asyncio.ensure_future(anext(answers))
    await until(lambda: len(held.begun) == 2)
    draining.set()
    held.go.set()

    found = list(await first)
    with pytest.raises(Unavailable):
        while True:
            found += await anext(answers)
    assert sorted(found) == [-195, 1]


async def test_an_error_of_the_reading_side_reaches_the_caller() -> None:
    held = Held()
    held.go.set()

    async def broken() -> AsyncIterator[Sequence[int]]:
        yield (1,)
        raise InvalidArgument("broken", "expected more")

    with pytest.raises(InvalidArgument):
        async for _ in held.stream().answers(broken()):
            pass


class Worker:
    """The client's side of a worker's stream."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def say(self, **fields: Any) -> None:
        await self._call.write(ext.WorkJobsRequest(**fields))

    async def hear(self) -> ext.WorkJobsResponse:
        async with asyncio.timeout(SECONDS):
            response: ext.WorkJobsResponse = await self._call.read()
            return response


SUBSCRIPTION = ext.WorkSubscription(topic="mail", worker_id="w", lock_duration="PT5M")


async def test_a_worker_gets_as_many_jobs_as_it_granted_credits_and_reports_on_the_same_stream(
    tmp_path: Path,
) -> None:
    async with running(sqlite_url(tmp_path)) as engine:
        await engine.deploy(EXTERNAL)
        for _ in range(3):
            await engine.start("external")
        call = engine.worker.WorkJobs()
        worker = Worker(call)

        await worker.say(subscription=SUBSCRIPTION, credits=2)
        jobs = list((await worker.hear()).jobs)
        while len(jobs) < 2:
            jobs += (await worker.hear()).jobs
        await worker.say(
            completed=[ext.JobCompletion(job_id=jobs[0].id, lock_token=jobs[0].lock_token)],
            failed=[ext.JobFailure(job_id=jobs[1].id, error_message="no paper", retries=2)],
            bpmn_errors=[ext.JobBpmnError(job_id="no-job", error_code="X")],
            extended=[ext.JobLock(job_id="no-lock")],
        )
        outcomes: dict[str, tuple[int, str]] = {}
        while len(outcomes) < 4:
            heard = await worker.hear()
            assert not heard.jobs
            outcomes |= {outcome.job_id: (outcome.code, outcome.reason) for outcome in heard.outcomes}
        await worker.say(credits=5)
        more = (await worker.hear()).jobs

        assert outcomes == {
            jobs[0].id: (0, ""),
            jobs[1].id: (0, ""),
            "no-job": (5, "job-not-found"),
            "no-lock": (5, "job-not-found"),
        }
        assert more
        assert not {job.id for job in more} & {jobs[0].id}
        call.cancel()


@pytest.mark.parametrize(
    "messages",
    [
        [{"credits": 1}],
        [{"subscription": SUBSCRIPTION}, {"subscription": SUBSCRIPTION}],
        [{"subscription": SUBSCRIPTION, "credits": MAX_COMMANDS + 1}],
        [{"subscription": ext.WorkSubscription(worker_id="w", lock_duration="PT5M")}],
    ],
    ids=["no-subscription", "two-subscriptions", "too-many-credits", "no-topic"],
)
async def test_a_worker_that_breaks_the_order_of_the_stream_is_refused(
    tmp_path: Path, messages: list[dict[str, Any]]
) -> None:
    async with running(sqlite_url(tmp_path)) as engine:
        call = engine.worker.WorkJobs(of(*(ext.WorkJobsRequest(**message) for message in messages)))

        with pytest.raises(grpc.aio.AioRpcError) as failed:
            async for _ in call:
                pass

        refusal = refusal_in(failed.value)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal is not None
