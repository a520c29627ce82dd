"""What the outbox tells of standalone tasks."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from flowloom.engine.v1 import task_service_pb2 as ts
from flowloom.events.v1 import events_pb2

from engine.effects.events import encode_events
from engine.kernel.state import Task
from engine.storage import tables
from engine.storage.small_writes import SmallWrites
from engine.storage.standalone_tasks import StandaloneTaskRows
from mesh.clock import ManualClock
from mesh.ids import IdSource
from tests.engine.rpc.world import START, Mesh, refusing, variables


def told(mesh: Mesh) -> list[tuple[str, str, Any]]:
    """Root, kind and content of all events, in the order of the outbox."""
    with mesh.database.engine.connect() as connection:
        rows = connection.execute(tables.outbox.select().order_by(tables.outbox.c.sequence)).all()
    found: list[tuple[str, str, Any]] = []
    for row in rows:
        envelope = events_pb2.CommandEvents.FromString(row.events)
        assert (row.root_id, row.command_id) == (envelope.root_instance_id, envelope.command_id)
        for event in envelope.events:
            assert not event.process_instance_id
            kind = event.WhichOneof("kind") or ""
            found.append((row.root_id, kind, getattr(event, kind)))
    return found


async def test_a_standalone_task_is_told_from_its_creation_to_its_end(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="x", priority=7, tenant_id="acme"))
    await mesh.tasks.ClaimTask(ts.ClaimTaskRequest(task_id=task.id, assignee="kermit"))
    await mesh.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))

    (_, created, creation), (_, updated, update), (_, ended, end) = told(mesh)
    assert (created, creation.task_id, creation.name, creation.priority, creation.tenant_id) == (
        "task_created", task.id, "x", 7, "acme",
    )  # fmt: skip
    assert (updated, update.assignee, list(update.changed_fields)) == (
        "task_updated",
        "kermit",
        ["assignee", "claim_time"],
    )
    assert (ended, end.task_id, end.canceled, end.completed_by) == ("task_ended", task.id, False, "kermit")
    assert {root for root, _, _ in told(mesh)} == {task.id}


async def test_a_deletion_is_told_with_its_reason_and_whether_the_history_goes_too(mesh: Mesh) -> None:
    parent = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="parent"))
    child = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="child", parent_task_id=parent.id))
    plain = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="plain"))

    await mesh.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=plain.id, delete_reason="not needed"))
    await mesh.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=parent.id, cascade_history=True))

    ended = {event.task_id: event for _, kind, event in told(mesh) if kind == "task_ended"}
    assert {key: (event.reason, event.history_deleted) for key, event in ended.items()} == {
        plain.id: ("not needed", False),
        parent.id: ("deleted", True),
        child.id: ("deleted", True),
    }


def test_a_task_was_created_at_one_moment_in_its_row_and_in_what_is_told(mesh: Mesh) -> None:
    seconds = itertools.count()

    def walking() -> datetime:
        return START + timedelta(seconds=next(seconds))

    rows = StandaloneTaskRows(SmallWrites(mesh.database, ManualClock(START)), IdSource(), walking, encode_events)
    blank = Task(id="", instance_id="", execution_id="", element_id="", name="x", created_at=START)

    task_id = rows.create(blank)["task_id"]

    with mesh.database.engine.connect() as connection:
        (created,) = connection.execute(tables.task.select()).all()
        (told_of,) = connection.execute(tables.outbox.select()).all()
    assert created.id == task_id
    occurred = events_pb2.CommandEvents.FromString(told_of.events).occurred_at
    assert occurred.ToDatetime(tzinfo=UTC) == created.created_at


async def test_variables_and_links_of_a_standalone_task_are_told_as_the_task_s(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="x"))
    request = ts.CreateTaskVariablesRequest(task_id=task.id, variables=variables(a=1))
    _ = [found async for found in mesh.tasks.CreateTaskVariables(request)]
    await mesh.tasks.DeleteTaskVariable(ts.DeleteTaskVariableRequest(task_id=task.id, variable_name="a"))
    await mesh.tasks.CreateTaskIdentityLink(
        ts.CreateTaskIdentityLinkRequest(task_id=task.id, user="gonzo", type="candidate")
    )
    await mesh.tasks.DeleteTaskIdentityLink(
        ts.DeleteTaskIdentityLinkRequest(task_id=task.id, family="users", identity_id="gonzo", type="candidate")
    )

    found = told(mesh)[1:]
    assert [kind for _, kind, _ in found] == [
        "variable_set",
        "variable_removed",
        "identity_link_added",
        "identity_link_removed",
    ]
    assert {(content.scope_kind, content.scope_id) for _, _, content in found} == {
        (events_pb2.SCOPE_KIND_TASK, task.id)
    }


async def test_a_deleted_task_and_those_below_it_are_told_to_be_deleted_each_as_its_own_root(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="above"))
    below = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="below", parent_task_id=task.id))
    await mesh.tasks.DeleteTask(ts.DeleteTaskRequest(task_id=task.id))

    found = [(root, kind, content.canceled, content.reason) for root, kind, content in told(mesh)[2:]]
    assert found == [(below.id, "task_ended", True, "deleted"), (task.id, "task_ended", True, "deleted")]


async def test_a_refused_or_repeated_command_tells_nothing(mesh: Mesh) -> None:
    task = await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="x", request_id="c"))
    await mesh.tasks.CreateTask(ts.CreateTaskRequest(name="x", request_id="c"))
    await mesh.tasks.ClaimTask(ts.ClaimTaskRequest(task_id=task.id, assignee="kermit", request_id="r"))
    await mesh.tasks.ClaimTask(ts.ClaimTaskRequest(task_id=task.id, assignee="kermit", request_id="r"))
    with refusing("FAILED_PRECONDITION", "task-claimed"):
        await mesh.tasks.ClaimTask(ts.ClaimTaskRequest(task_id=task.id, assignee="gonzo"))

    assert [kind for _, kind, _ in told(mesh)] == ["task_created", "task_updated"]
