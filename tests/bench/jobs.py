"""Work by the clock, the engine alone on MariaDB: continuations a second, lateness of timers, a worker on a stream."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import grpc
from flowloom.engine.v1 import (
    external_worker_service_pb2,
    external_worker_service_pb2_grpc,
    runtime_service_pb2,
    runtime_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    variable_pb2,
)

from mesh.clock import SystemClock
from mesh.testing.mariadb import running_mariadb
from tests.bench.engine_process import RunningEngine, running_engine
from tests.bench.load import deploy
from tests.bench.measuring import Rounds, ratio_line
from tests.mesh_process import cpu_seconds

ROUNDS = 3
CHAIN, CHAINS = 25, 160
TIMERS_A_SECOND, TIMER_SECONDS, TIMER_LEAD = 500, 4, timedelta(seconds=8)
WORKED, WORKED_SLOWLY, SLOW_RATE = 1200, 600, 150
PAGE = 1000
CREDITS = 128

_HEAD = (
    '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:flowable="http://flowable.org/bpmn" targetNamespace="bench">'
)


def _process(key: str, *elements: str) -> bytes:
    """A start event, the elements (with the ids e0, e1, …) and an end event in a row."""
    ids = ["start", *(f"e{n}" for n in range(len(elements))), "end"]
    flows = "".join(
        f'<sequenceFlow id="f{n}" sourceRef="{a}" targetRef="{b}"/>' for n, (a, b) in enumerate(pairwise(ids))
    )
    body = '<startEvent id="start"/>' + "".join(elements) + '<endEvent id="end"/>' + flows
    return f'{_HEAD}<process id="{key}" isExecutable="true">{body}</process></definitions>'.encode()


_TIMER = (
    '<intermediateCatchEvent id="e0"><timerEventDefinition><timeDate xsi:type="tFormalExpression">${due}</timeDate>'
    "</timerEventDefinition></intermediateCatchEvent>"
)
MODELS = {
    "continuations": [f'<manualTask id="e{n}" flowable:async="true"/>' for n in range(CHAIN)],
    "timers": [
        _TIMER,
        '<userTask id="e1" name="${due}"/>',
    ],
    "worked": ['<serviceTask id="e0" flowable:type="external-worker" flowable:topic="bench"/>'],
}


def run() -> list[str]:
    with running_mariadb() as server, running_engine(server.create_database()) as engine:
        return asyncio.run(_measure(engine, server.pid))


async def _measure(engine: RunningEngine, database_pid: int) -> list[str]:
    async with grpc.aio.insecure_channel(engine.grpc) as channel:
        for key, elements in MODELS.items():
            await deploy(channel, f"{key}.bpmn20.xml", _process(key, *elements))
        return [
            await _continuations(channel, engine, database_pid),
            await _lateness(channel),
            *await _stream(channel),
        ]


async def _continuations(channel: grpc.aio.Channel, engine: RunningEngine, database_pid: int) -> str:
    runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
    request = runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="continuations")
    rates, costs = [], []
    for _ in range(ROUNDS):
        before, began = engine.cpu_seconds() + cpu_seconds(database_pid), time.perf_counter()
        await asyncio.gather(*(runtime.StartProcessInstance(request) for _ in range(CHAINS)))
        await _drained(runtime, "continuations")
        seconds, jobs = time.perf_counter() - began, CHAIN * CHAINS
        rates.append(jobs / seconds)
        costs.append((engine.cpu_seconds() + cpu_seconds(database_pid) - before) / jobs * 1000)
    rate, cost = Rounds(tuple(rates)), Rounds(tuple(costs))
    details = f"{rate.shown('jobs/s', 0)}, {cost.shown('ms', 2)} of CPU (engine and database), starts included"
    return ratio_line("asynchronous continuations against 2,000 jobs/s", rate.median / 2000, "≥ 1", details)


async def _drained(runtime: runtime_service_pb2_grpc.RuntimeServiceStub, key: str) -> None:
    """Wait until no instance of the process is left; a look is rare enough to cost nothing beside the work."""
    request = runtime_service_pb2.ListProcessInstancesRequest(process_definition_key=key, size=1)
    while (await runtime.ListProcessInstances(request)).total:  # noqa: ASYNC110 - another process has to end them
        await asyncio.sleep(0.05)


async def _lateness(channel: grpc.aio.Channel) -> str:
    """Each timer tells its due date as the name of the task behind it; the task's creation tells when it fired."""
    runtime = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
    first, count = SystemClock().now() + TIMER_LEAD, TIMERS_A_SECOND * TIMER_SECONDS
    due = iter([first + timedelta(seconds=n / TIMERS_A_SECOND) for n in range(count)])

    async def starter() -> None:
        for moment in due:
            variable = variable_pb2.Variable(name="due", type="string")
            variable.value.string_value = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
            await runtime.StartProcessInstance(
                runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="timers", variables=[variable])
            )

    await asyncio.gather(*(starter() for _ in range(64)))
    spare = (first - SystemClock().now()).total_seconds()
    assert spare > 0, f"expected the timers to be set before the first is due, found it {-spare:.1f} s ago"
    fired = await _fired(channel, count, first + timedelta(seconds=TIMER_SECONDS + 30))
    late = sorted(fired)
    p50, p99 = (late[int(len(late) * share)] * 1000 for share in (0.5, 0.99))
    details = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, worst {late[-1] * 1000:.0f} ms of {count} at {TIMERS_A_SECOND}/s"
    return ratio_line("timer lateness, p99 against 100 ms", p99 / 100, "≤ 1", details)


async def _fired(channel: grpc.aio.Channel, count: int, until: datetime) -> list[float]:
    tasks = task_service_pb2_grpc.TaskServiceStub(channel)
    request = task_service_pb2.ListTasksRequest(process_definition_key="timers", size=0)
    while (await tasks.ListTasks(request)).total < count:
        assert SystemClock().now() < until, f"expected {count} timers to fire by {until}"
        await asyncio.sleep(0.5)
    found: list[float] = []
    for start in range(0, count, PAGE):
        page = await tasks.ListTasks(
            task_service_pb2.ListTasksRequest(process_definition_key="timers", start=start, size=PAGE, sort="id")
        )
        found += [
            (task.create_time.ToDatetime(UTC) - datetime.fromisoformat(task.name)).total_seconds() for task in page.data
        ]
    return found


async def _stream(channel: grpc.aio.Channel) -> list[str]:
    done: Done = {}
    worker = asyncio.create_task(_work(channel, done))
    try:
        rates = [WORKED / await _crowd(channel, done, WORKED) for _ in range(ROUNDS)]
        delays = sorted(await _steadily(channel, done, WORKED_SLOWLY, SLOW_RATE))
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    rate = Rounds(tuple(rates))
    p99 = delays[int(len(delays) * 0.99)] * 1000
    return [
        ratio_line(
            "external worker over the stream, against 300 instances/s", rate.median / 300, "≥ 1", rate.shown("/s", 0)
        ),
        ratio_line(
            f"the same at {SLOW_RATE}/s, p99 from the start's request to the report's answer, against 50 ms",
            p99 / 50,
            "≤ 1",
            f"p50 {statistics.median(delays) * 1000:.1f} ms, p99 {p99:.1f} ms, worst {delays[-1] * 1000:.1f} ms",
        ),
    ]


Done = dict[str, asyncio.Future[float]]
"""When the work of an instance was reported, by instance; whoever comes first, starter or worker, makes the future."""


def _when(done: Done, instance_id: str) -> asyncio.Future[float]:
    return done.setdefault(instance_id, asyncio.get_running_loop().create_future())


async def _work(channel: grpc.aio.Channel, done: Done) -> None:
    """A worker's one stream: take jobs, report each batch as it came, and take as many more."""
    call = external_worker_service_pb2_grpc.ExternalWorkerServiceStub(channel).WorkJobs()
    subscription = external_worker_service_pb2.WorkSubscription(topic="bench", worker_id="bench", lock_duration="PT1M")
    await call.write(external_worker_service_pb2.WorkJobsRequest(subscription=subscription, credits=CREDITS))
    instances: dict[str, str] = {}
    while True:
        response = await call.read()
        assert isinstance(response, external_worker_service_pb2.WorkJobsResponse), "the stream ended"
        for outcome in response.outcomes:
            assert not outcome.code, outcome
            _when(done, instances.pop(outcome.job_id)).set_result(time.perf_counter())
        if response.jobs:
            instances.update({job.id: job.process_instance_id for job in response.jobs})
            completed = [
                external_worker_service_pb2.JobCompletion(job_id=job.id, lock_token=job.lock_token)
                for job in response.jobs
            ]
            await call.write(
                external_worker_service_pb2.WorkJobsRequest(completed=completed, credits=len(response.jobs))
            )


async def _one(channel: grpc.aio.Channel, done: Done) -> float:
    began = time.perf_counter()
    instance = await runtime_service_pb2_grpc.RuntimeServiceStub(channel).StartProcessInstance(
        runtime_service_pb2.StartProcessInstanceRequest(process_definition_key="worked")
    )
    ended = await _when(done, instance.id)
    del done[instance.id]
    return ended - began


async def _crowd(channel: grpc.aio.Channel, done: Done, count: int) -> float:
    """Seconds for so many instances from the first start to the last end, 64 under way at once."""
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            await _one(channel, done)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(64)))
    await _drained(runtime_service_pb2_grpc.RuntimeServiceStub(channel), "worked")
    return time.perf_counter() - began


async def _steadily(channel: grpc.aio.Channel, done: Done, count: int, rate: int) -> list[float]:
    """Seconds that each instance took when they start at a steady rate, whatever became of the former ones."""
    began = time.perf_counter()
    under_way: list[asyncio.Task[float]] = []
    for n in range(count):
        await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
        under_way.append(asyncio.create_task(_one(channel, done)))
    return list(await asyncio.gather(*under_way))
