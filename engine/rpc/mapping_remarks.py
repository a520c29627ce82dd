"""Remarks and events of tasks."""

from __future__ import annotations

from flowloom.engine.v1 import task_pb2
from flowloom.engine.v1 import task_service_pb2 as pb

from engine.app import task_remarks
from engine.app.standalone import Comment
from engine.rpc.errors import invalid_request


def new_comment(request: pb.CreateTaskCommentRequest, author: str) -> Comment:
    """Return a remark that is yet to be kept. Raises InvalidArgument if it says nothing."""
    if not request.message:
        raise invalid_request("message", "expected a message, found none")
    return task_remarks.new_comment(request.task_id, author, request.message)


def comment(found: Comment) -> task_pb2.Comment:
    """Return a remark."""
    kept = task_pb2.Comment(
        id=found.id,
        author=found.author or None,
        message=found.parts[0],
        task_id=found.task_id,
        process_instance_id=found.instance_id or None,
    )
    kept.time.FromDatetime(found.at)
    return kept


def event(found: Comment) -> task_pb2.TaskEvent:
    """Return a remark or another thing that was done, as an event."""
    kept = task_pb2.TaskEvent(
        id=found.id,
        action=found.action,
        message=found.parts,
        user_id=found.author or None,
        task_id=found.task_id,
        process_instance_id=found.instance_id or None,
    )
    kept.time.FromDatetime(found.at)
    return kept
