# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.StatisticsService`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from flowloom.history.v1 import statistics_service_pb2 as pb
from flowloom.history.v1 import statistics_service_pb2_grpc as services

from history.app.counting import PROCESS
from history.app.statistics import Range, Statistics, Sums
from history.rpc import calling

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

DEFAULT_ELEMENTS: Final = 20
DEFAULT_USERS: Final = 100
_FIELDS: Final = {
    "tenant_id": "tenant_id",
    "from_day": "from_day",
    "to_day": "to_day",
    "process_definition_key": "definition_key",
    "process_definition_id": "definition_id",
    "activity_id": "element_id",
    "activity_type": "element_type",
    "user_id": "user_id",
}


class StatisticsServicer(services.StatisticsServiceServicer):
    """Answers from the sums that history keeps."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    async def GetOverview(self, request: pb.GetOverviewRequest, _: RpcContext) -> pb.GetOverviewResponse:
        scope = calling.scope(request.tenant_id)
        processes, tasks, overdue, unassigned = await self._statistics.overview(_range(request), scope)
        return pb.GetOverviewResponse(
            open_process_instances=processes.open,
            open_tasks=tasks.open,
            overdue_tasks=overdue,
            unassigned_tasks=unassigned,
            started_process_instances=processes.started,
            completed_process_instances=processes.completed,
            terminated_process_instances=processes.canceled,
            failed_process_instances=processes.failed,
            created_tasks=tasks.started,
            completed_tasks=tasks.completed,
        )

    async def GetProcessStatistics(
        self, request: pb.GetProcessStatisticsRequest, _: RpcContext
    ) -> pb.GetProcessStatisticsResponse:
        scope = calling.scope(request.tenant_id)
        by = ("definition_key", "definition_id") if request.by_version else ("definition_key",)
        found = await self._statistics.grouped(PROCESS, _range(request), by, scope)
        data = [
            pb.ProcessStatistics(
                process_definition_key=group[0],
                process_definition_id=group[1] if request.by_version else None,
                started=sums.started,
                completed=sums.completed,
                terminated=sums.canceled,
                failed=sums.failed,
                open=sums.open,
                duration_in_millis=_durations(sums),
            )
            for group, sums in found.items()
        ]
        return pb.GetProcessStatisticsResponse(data=data)

    async def GetElementStatistics(
        self, request: pb.GetElementStatisticsRequest, _: RpcContext
    ) -> pb.GetElementStatisticsResponse:
        scope = calling.scope(request.tenant_id)
        limit = request.limit if request.HasField("limit") else DEFAULT_ELEMENTS
        found = await self._statistics.elements(_range(request), request.order_by, limit, scope)
        data = [
            pb.ElementStatistics(
                process_definition_key=key,
                activity_id=element_id,
                activity_name=sums.element_name or None,
                activity_type=sums.element_type,
                started=sums.started,
                completed=sums.completed,
                canceled=sums.canceled,
                open=sums.open,
                duration_in_millis=_durations(sums),
            )
            for (key, element_id), sums in found
        ]
        return pb.GetElementStatisticsResponse(data=data)

    async def GetSeries(self, request: pb.GetSeriesRequest, _: RpcContext) -> pb.GetSeriesResponse:
        scope = calling.scope(request.tenant_id)
        measure = request.measure or "completed"
        days, found = await self._statistics.series(
            request.kind or PROCESS, measure, _range(request), scope, split=request.split
        )
        series = [
            pb.Series(
                name=name,
                points=[pb.SeriesPoint(day=day, value=sums.get(day, Sums()).measured(measure)) for day in days],
            )
            for name, sums in found.items()
        ]
        return pb.GetSeriesResponse(series=series)

    async def GetWorkload(self, request: pb.GetWorkloadRequest, _: RpcContext) -> pb.GetWorkloadResponse:
        scope = calling.scope(request.tenant_id)
        limit = request.limit if request.HasField("limit") else DEFAULT_USERS
        data = [
            pb.UserWorkload(
                user_id=user_id,
                open=work.open,
                overdue=work.overdue,
                assigned=work.assigned,
                completed=work.completed,
                mean_work_time_in_millis=work.work_sum_ms / work.work_count if work.work_count else None,
            )
            for user_id, work in await self._statistics.workload(_range(request), limit, scope)
        ]
        return pb.GetWorkloadResponse(data=data)


def _range(request: Any) -> Range:
    known = {field.name for field in request.DESCRIPTOR.fields}
    given = {ours: getattr(request, name) for name, ours in _FIELDS.items() if name in known and request.HasField(name)}
    return Range(**given)


def _durations(sums: Sums) -> pb.Durations:
    p50, p90, p95, p99 = sums.percentiles()
    return pb.Durations(
        count=sums.duration_count,
        total=sums.duration_sum_ms,
        mean=sums.mean,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
    )
