"""Counts and durations: what is added up with every event is what counting everything anew would tell."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest
from flowloom.history.v1 import history_service_pb2 as history_pb
from flowloom.history.v1 import statistics_service_pb2 as pb

from engine.kernel import commands as cmd
from history.model.sketch import MAX_ERROR, bucket_of, percentiles, value_of
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import Running, World

TWO_STEPS = bpmn.model(
    bpmn.start(),
    bpmn.user_task("ask", attributes='flowable:assignee="kermit"'),
    bpmn.user_task("answer", attributes='flowable:assignee="piggy"'),
    bpmn.end(),
    bpmn.flows("s>ask>answer>e"),
)
SEED = 7
INSTANCES = 25


def _live(world: World) -> None:
    """A few days of many instances, some of them deleted, some left open."""
    chance = random.Random(SEED)
    world.engine.deploy(TWO_STEPS)
    for n in range(INSTANCES):
        world.engine.later(hours=chance.random() * 12)
        tree = world.engine.start("p")
        world.engine.later(seconds=chance.lognormvariate(6, 2))
        world.engine.complete(tree, "ask")
        if n % 5 == 4:
            world.engine.run(tree.root_id, cmd.DeleteInstance(instance_id=tree.root_id, reason="no more"))
        elif n % 5 != 3:
            world.engine.later(seconds=chance.lognormvariate(8, 2))
            world.engine.complete(tree, "answer")


def _nearest_rank(durations: Sequence[float], part: float) -> float:
    ranked = sorted(durations)
    return ranked[max(math.ceil(part * len(ranked)), 1) - 1]


def _close(told: float, exact: float) -> bool:
    # Whole milliseconds of both ends, and the stated relative error.
    return abs(told - exact) <= exact * MAX_ERROR * 1.001 + 0.5


async def _all_instances(history: Running) -> list[history_pb.HistoricProcessInstance]:
    return await history.instances(size=1000)


async def test_counts_and_durations_of_processes_are_those_of_an_exact_count(world: World) -> None:
    _live(world)
    history = await world.start()
    await history.caught_up()

    (told,) = (await history.statistics.GetProcessStatistics(pb.GetProcessStatisticsRequest())).data
    exact = await _all_instances(history)

    states = Counter(one.state for one in exact)
    durations = [one.duration_in_millis for one in exact if one.state == "completed"]
    assert (told.started, told.completed, told.terminated, told.failed) == (
        INSTANCES,
        states["completed"],
        states["terminated"],
        0,
    )
    assert told.open == states["active"] > 0
    lasted = told.duration_in_millis
    assert (lasted.count, lasted.total) == (len(durations), sum(durations))
    assert lasted.mean == pytest.approx(sum(durations) / len(durations))
    for name, part in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        assert _close(getattr(lasted, name), _nearest_rank(durations, part)), name


async def test_the_bottleneck_is_the_element_where_tokens_spent_the_most_time(world: World) -> None:
    _live(world)
    history = await world.start()
    await history.caught_up()

    told = (await history.statistics.GetElementStatistics(pb.GetElementStatisticsRequest())).data
    users = pb.GetElementStatisticsRequest(activity_type="userTask", order_by="mean")
    by_mean = (await history.statistics.GetElementStatistics(users)).data

    total: dict[str, float] = defaultdict(float)
    opened: Counter[str] = Counter()
    for row in await history.activities():
        if row.HasField("duration_in_millis") and not row.canceled:
            total[row.activity_id] += row.duration_in_millis
        opened[row.activity_id] += not row.HasField("end_time")
    assert [one.activity_id for one in told][:2] == sorted(total, key=lambda name: -total[name])[:2]
    assert {one.activity_id: one.duration_in_millis.total for one in told} == {**dict.fromkeys(("s", "e"), 0), **total}
    assert {one.activity_id: one.open for one in told if one.open} == {k: v for k, v in opened.items() if v}
    assert {one.activity_id for one in by_mean} == {"ask", "answer"}
    assert by_mean[0].duration_in_millis.mean >= by_mean[1].duration_in_millis.mean


async def test_a_series_has_a_point_for_every_day_and_adds_up(world: World) -> None:
    _live(world)
    history = await world.start()
    await history.caught_up()
    first, last = BEGINNING.date(), world.engine.now.date()
    days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]

    def request(**more: Any) -> pb.GetSeriesRequest:
        return pb.GetSeriesRequest(from_day=days[0], to_day=days[-1], **more)

    (started,) = (await history.statistics.GetSeries(request(measure="started"))).series
    elements = (await history.statistics.GetSeries(request(kind="activity", split=True))).series
    (median,) = (await history.statistics.GetSeries(request(measure="p50"))).series

    exact = Counter(one.start_time.ToDatetime().date().isoformat() for one in await _all_instances(history))
    assert [(point.day, point.value) for point in started.points] == [(day, exact[day]) for day in days]
    assert {one.name for one in elements} == {"s", "ask", "answer", "e"}
    by_day: dict[str, list[float]] = defaultdict(list)
    for one in await _all_instances(history):
        if one.state == "completed":
            by_day[one.end_time.ToDatetime().date().isoformat()].append(one.duration_in_millis)
    for point in median.points:
        assert point.HasField("value") == (point.day in by_day)
        if point.day in by_day:
            assert _close(point.value, _nearest_rank(by_day[point.day], 0.5))


async def test_the_workload_tells_open_overdue_and_done_by_user(world: World) -> None:
    world.engine.deploy(TWO_STEPS)
    trees = [world.engine.start("p") for _ in range(4)]
    for tree in trees[:3]:
        world.engine.user_id = "kermit"
        world.engine.later(seconds=60)
        world.engine.complete(tree, "ask")
    (late,) = trees[0].tasks.values()
    world.engine.run(
        trees[0].root_id, cmd.UpdateTask(task_id=late.id, changes={"due_at": BEGINNING - timedelta(days=1)})
    )
    (given,) = trees[1].tasks.values()
    world.engine.run(trees[1].root_id, cmd.UpdateTask(task_id=given.id, changes={"assignee": "kermit"}))
    history = await world.start()
    await history.caught_up()

    told = {one.user_id: one for one in (await history.statistics.GetWorkload(pb.GetWorkloadRequest())).data}
    overview = await history.statistics.GetOverview(pb.GetOverviewRequest())

    assert (told["kermit"].open, told["piggy"].open) == (2, 2)
    assert (told["kermit"].overdue, told["piggy"].overdue) == (0, 1)
    assert (told["kermit"].assigned, told["piggy"].assigned) == (5, 3)
    assert (told["kermit"].completed, told["piggy"].completed) == (3, 0)
    assert told["kermit"].mean_work_time_in_millis == pytest.approx((60 + 120 + 180) * 1000 / 3)
    assert (overview.open_tasks, overview.overdue_tasks, overview.created_tasks) == (4, 1, 7)
    assert (overview.open_process_instances, overview.completed_tasks) == (4, 3)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetSeries", pb.GetSeriesRequest(measure="luck")),
        ("GetSeries", pb.GetSeriesRequest(kind="frog")),
        ("GetSeries", pb.GetSeriesRequest(from_day="yesterday")),
        ("GetSeries", pb.GetSeriesRequest(from_day="1900-01-01", to_day="2026-01-01")),
        ("GetElementStatistics", pb.GetElementStatisticsRequest(order_by="beauty")),
        ("GetElementStatistics", pb.GetElementStatisticsRequest(limit=0)),
        ("GetWorkload", pb.GetWorkloadRequest(limit=1001)),
        ("GetProcessStatistics", pb.GetProcessStatisticsRequest(to_day="2026-13-01")),
        ("GetOverview", pb.GetOverviewRequest(from_day="x")),
    ],
)
async def test_what_cannot_be_read_is_refused(tmp_path: Any, method: str, request_: Any) -> None:
    world = World(f"sqlite:///{tmp_path / 'history.db'}")
    history = await world.start()

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await getattr(history.statistics, method)(request_)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    await world.close()


def test_a_sketch_keeps_its_error_and_sketches_add_up() -> None:
    chance = random.Random(SEED)
    durations = [round(chance.lognormvariate(9, 3)) for _ in range(20_000)]
    halves = [Counter(map(bucket_of, durations[:9_000])), Counter(map(bucket_of, durations[9_000:]))]

    told = percentiles(halves[0] + halves[1], (0.01, 0.5, 0.9, 0.95, 0.99, 1.0))

    for part, value in zip((0.01, 0.5, 0.9, 0.95, 0.99, 1.0), told, strict=True):
        assert value is not None
        assert _close(value, _nearest_rank(durations, part)), part


def test_every_duration_lies_within_the_error_of_its_bucket() -> None:
    for duration in (0, 1, 2, 3, 10, 99, 1_000, 86_400_000, 10**13):
        assert abs(value_of(bucket_of(duration)) - duration) <= duration * MAX_ERROR * 1.001
