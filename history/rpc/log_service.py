# ruff: noqa: N802 - gRPC gives the methods their names
"""The servicer of `flowloom.history.v1.HistoryLogService`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import grpc
from flowloom.engine.v1 import task_pb2
from flowloom.history.v1 import history_log_service_pb2 as pb
from flowloom.history.v1 import history_log_service_pb2_grpc as services
from google.api import httpbody_pb2

from history.app.deleting import no_such_instance, no_such_task
from history.app.logs import Comments, DetailFilter, LogQueries, TaskLogFilter, no_such_comment
from history.app.queries import HistoryQueries
from history.model.records import Comment, Detail, TaskLogEntry
from history.rpc import calling, mapping
from history.rpc.variables import written
from mesh.errors import InvalidArgument, NotFound
from mesh.paging import refuse

if TYPE_CHECKING:
    RpcContext = grpc.aio.ServicerContext[Any, Any]

VARIABLE_UPDATE: Final = "variableUpdate"
DETAIL_PATH: Final = "/process-api/history/historic-detail/{id}/data"
MAX_MESSAGE_CHARACTERS: Final = 1_000_000


class HistoryLogServicer(services.HistoryLogServiceServicer):
    """Answers from history's own records, and keeps remarks."""

    def __init__(self, queries: HistoryQueries, logs: LogQueries, comments: Comments) -> None:
        self._queries = queries
        self._logs = logs
        self._comments = comments

    async def ListHistoricDetails(
        self, request: pb.ListHistoricDetailsRequest, _: RpcContext
    ) -> pb.ListHistoricDetailsResponse:
        wanted = mapping.read_filter(DetailFilter, request)
        page = await self._logs.details(wanted, mapping.read_page(request), calling.scope())
        return pb.ListHistoricDetailsResponse(data=[detail(found) for found in page.rows], **mapping.envelope(page))

    async def GetHistoricDetailData(
        self, request: pb.GetHistoricDetailDataRequest, _: RpcContext
    ) -> httpbody_pb2.HttpBody:
        found = await self._logs.detail(request.detail_id, calling.scope())
        if found is None or found.type != "binary":
            message = f"expected a binary historic detail, found none with id '{request.detail_id}'"
            raise NotFound("historic-detail-not-found", message, id=request.detail_id)
        return httpbody_pb2.HttpBody(content_type="application/octet-stream", data=found.value)

    async def ListHistoricTaskLogEntries(
        self, request: pb.ListHistoricTaskLogEntriesRequest, _: RpcContext
    ) -> pb.ListHistoricTaskLogEntriesResponse:
        scope = calling.scope(request.tenant_id)
        page = await self._logs.task_log(_task_log_filter(request), mapping.read_page(request), scope)
        data = [task_log_entry(found) for found in page.rows]
        return pb.ListHistoricTaskLogEntriesResponse(data=data, **mapping.envelope(page))

    async def ListHistoricProcessInstanceComments(
        self, request: pb.ListHistoricProcessInstanceCommentsRequest, _: RpcContext
    ) -> AsyncIterator[task_pb2.Comment]:
        await self._check_instance(request.process_instance_id)
        for found in await self._logs.comments_of_instance(request.process_instance_id):
            yield comment(found)

    async def CreateHistoricProcessInstanceComment(
        self, request: pb.CreateHistoricProcessInstanceCommentRequest, _: RpcContext
    ) -> task_pb2.Comment:
        if not 1 <= len(request.message) <= MAX_MESSAGE_CHARACTERS:
            expected = f"expected a message of 1 to {MAX_MESSAGE_CHARACTERS} characters"
            raise InvalidArgument("invalid-comment", f"{expected}, found {len(request.message)}")
        author, asked = calling.user_id(), calling.request_id(request.request_id)
        made = await self._comments.add(request.process_instance_id, author, request.message, calling.scope(), asked)
        return comment(made)

    async def GetHistoricProcessInstanceComment(
        self, request: pb.GetHistoricProcessInstanceCommentRequest, _: RpcContext
    ) -> task_pb2.Comment:
        await self._check_instance(request.process_instance_id)
        for found in await self._logs.comments_of_instance(request.process_instance_id):
            if found.id == request.comment_id:
                return comment(found)
        raise no_such_comment(request.comment_id)

    async def DeleteHistoricProcessInstanceComment(
        self, request: pb.DeleteHistoricProcessInstanceCommentRequest, _: RpcContext
    ) -> pb.DeleteHistoricProcessInstanceCommentResponse:
        asked = calling.request_id(request.request_id)
        await self._comments.remove(request.process_instance_id, request.comment_id, calling.scope(), asked)
        return pb.DeleteHistoricProcessInstanceCommentResponse()

    async def ListHistoricTaskInstanceComments(
        self, request: pb.ListHistoricTaskInstanceCommentsRequest, _: RpcContext
    ) -> AsyncIterator[task_pb2.Comment]:
        if await self._queries.task(request.task_id, calling.scope()) is None:
            raise no_such_task(request.task_id)
        for found in await self._logs.comments_of_task(request.task_id):
            yield comment(found)

    async def _check_instance(self, instance_id: str) -> None:
        if await self._queries.instance(instance_id, calling.scope()) is None:
            raise no_such_instance(instance_id)


def _task_log_filter(request: pb.ListHistoricTaskLogEntriesRequest) -> TaskLogFilter:
    def moment(name: str) -> datetime | None:
        return mapping.read_moment(request, name)

    def number(name: str) -> int | None:
        if not request.HasField(name):  # type: ignore[arg-type]
            return None
        value: float = getattr(request, name)
        if not float(value).is_integer() or abs(value) >= 2**63:
            raise refuse(name, f"expected a whole log number, found {value}")
        return int(value)

    return TaskLogFilter(
        task_id=request.task_id if request.HasField("task_id") else None,
        type=request.type if request.HasField("type") else None,
        user_id=request.user_id if request.HasField("user_id") else None,
        process_instance_id=request.process_instance_id if request.HasField("process_instance_id") else None,
        process_definition_id=request.process_definition_id if request.HasField("process_definition_id") else None,
        since=moment("from"),
        until=moment("to"),
        tenant_id=request.tenant_id if request.HasField("tenant_id") else None,
        from_log_number=number("from_log_number"),
        to_log_number=number("to_log_number"),
    )


def detail(record: Detail) -> pb.HistoricDetail:
    """A value that a variable had."""
    is_global = not record.task_id and record.execution_id == record.instance_id
    url = DETAIL_PATH.format(id=record.id)
    return pb.HistoricDetail(
        id=record.id,
        process_instance_id=record.instance_id or None,
        execution_id=record.execution_id or None,
        activity_instance_id=record.activity_id or None,
        task_id=record.task_id or None,
        time=mapping.stamp(record.recorded_at),
        detail_type=VARIABLE_UPDATE,
        revision=record.revision,
        variable=written(record.name, record.type, record.value, is_global=is_global, data_url=url),
    )


def task_log_entry(record: TaskLogEntry) -> pb.HistoricTaskLogEntry:
    """Something that was done with a task."""
    return pb.HistoricTaskLogEntry(
        log_number=record.ordinal,
        type=record.type,
        task_id=record.task_id,
        time_stamp=mapping.stamp(record.recorded_at),
        user_id=record.user_id or None,
        data=record.data or None,
        execution_id=record.execution_id or None,
        process_instance_id=record.instance_id or None,
        process_definition_id=record.definition_id or None,
        tenant_id=record.tenant_id,
    )


def comment(record: Comment) -> task_pb2.Comment:
    """A remark."""
    return task_pb2.Comment(
        id=record.id,
        author=record.author or None,
        message=record.message,
        time=mapping.stamp(record.created_at),
        task_id=record.task_id or None,
        process_instance_id=record.instance_id or None,
    )
