"""Business topics of the embedded bus: self-contained, in order, each once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flowloom.engine.v1 import runtime_service_pb2 as runtime_pb
from flowloom.engine.v1 import task_service_pb2 as task_pb
from flowloom.events.v1 import events_pb2

from engine.service import EngineSettings
from mesh.bus import topics
from mesh.clock import ManualClock
from tests.engine.relay.worlds import REVIEW, Listener
from tests.faults import embedded

WHOLE_LIFE = [
    "process.started",
    "task.created",
    "task.assigned",
    "task.assigned",
    "task.completed",
    "task.created",
    "task.assigned",
    "task.completed",
    "process.completed",
]


def settings(folder: Path) -> EngineSettings:
    return embedded.settings_for(f"sqlite:///{folder}/engine.db")


async def _act(engine: embedded.Embedded, task_id: str, action: str, **more: Any) -> None:
    await engine.tasks.TaskAction(task_pb.TaskActionRequest(task_id=task_id, action=action, **more))


async def _whole_life(engine: embedded.Embedded) -> str:
    """A review is started, claimed, handed on, completed and signed."""
    await engine.deploy(REVIEW)
    instance = await engine.start("review", business_key="B-1")
    task = await engine.task(instance)
    for user in ("fozzie", "gonzo"):
        request = task_pb.UpdateTaskRequest(task_id=task)
        request.assignee = user
        await engine.tasks.UpdateTask(request)
    assert isinstance(engine.clock, ManualClock)
    engine.clock.advance(timedelta(minutes=5))
    await engine.complete(task)
    await engine.complete(await engine.task(instance))
    return instance


async def test_the_life_of_an_instance_is_told_in_order(tmp_path: Path) -> None:
    listener = Listener()
    async with embedded.running(settings(tmp_path)) as engine:
        await listener.listen(engine.service.bus)
        instance = await _whole_life(engine)
        await listener.until(len(WHOLE_LIFE))

        assert listener.told(instance) == WHOLE_LIFE


async def test_a_task_event_tells_all_that_one_needs_to_act_on_it(tmp_path: Path) -> None:
    listener = Listener()
    async with embedded.running(settings(tmp_path)) as engine:
        await listener.listen(engine.service.bus)
        instance = await _whole_life(engine)
        await listener.until(len(WHOLE_LIFE))

    created = listener.bodies(topics.TASK_CREATED)[0]
    assert (created.name, created.form_key, created.priority) == ("Check", "check-form", 70)
    assert sorted(created.candidate_users) == ["fozzie", "gonzo"]
    assert list(created.candidate_groups) == ["management"]
    assert created.due_date.ToDatetime(UTC) == datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert (created.process_instance_id, created.root_process_instance_id) == (instance, instance)
    assert (created.process_definition_key, created.process_definition_name) == ("review", "Review")
    assert (created.business_key, created.task_definition_key) == ("B-1", "check")
    handed_on = [body for body in listener.bodies(topics.TASK_ASSIGNED) if body.HasField("previous_assignee")]
    assert [(body.assignee, body.previous_assignee) for body in handed_on] == [("gonzo", "fozzie")]
    completed = listener.bodies(topics.TASK_COMPLETED)[0]
    assert (completed.name, completed.assignee, completed.form_key) == ("Check", "gonzo", "check-form")
    assert (completed.business_key, completed.process_definition_key) == ("B-1", "review")
    assert list(completed.candidate_groups) == ["management"]
    assert completed.duration.ToTimedelta() == timedelta(minutes=5)


async def test_a_process_event_tells_keys_times_and_how_it_ended(tmp_path: Path) -> None:
    listener = Listener()
    async with embedded.running(settings(tmp_path)) as engine:
        await listener.listen(engine.service.bus)
        instance = await _whole_life(engine)
        other = await engine.start("review", business_key="B-2")
        delete = runtime_pb.DeleteProcessInstanceRequest(process_instance_id=other, delete_reason="not wanted")
        await engine.runtime.DeleteProcessInstance(delete)
        await listener.until(len(WHOLE_LIFE) + 3)

    (completed,) = listener.bodies(topics.PROCESS_COMPLETED)
    assert (completed.process_instance_id, completed.business_key) == (instance, "B-1")
    assert completed.end_state == events_pb2.END_STATE_COMPLETED
    assert (completed.end_activity_id, completed.duration.ToTimedelta()) == ("e", timedelta(minutes=5))
    (terminated,) = listener.bodies(topics.PROCESS_TERMINATED)
    assert (terminated.business_key, terminated.delete_reason) == ("B-2", "not wanted")
    assert terminated.process_definition_key == "review"
    assert listener.told(other) == ["process.started", "task.created", "process.terminated"]


async def test_headers_are_flowables_and_cloud_events(tmp_path: Path) -> None:
    listener = Listener()
    async with embedded.running(settings(tmp_path)) as engine:
        await listener.listen(engine.service.bus, [topics.PROCESS_STARTED])
        await engine.deploy(REVIEW)
        instance = await engine.start("review")
        await listener.until(1)

    headers = listener.heard[0].headers
    at = listener.heard[0].occurred_at.isoformat()
    assert headers["eventType"] == "PROCESS_STARTED"
    assert headers["timestamp"] == headers["ce_time"] == at
    assert headers["ce_type"] == topics.PROCESS_STARTED
    assert (headers["ce_specversion"], headers["ce_source"]) == ("1.0", "/flowloom/engine")
    assert (headers["ce_id"], headers["ce_subject"]) == (listener.heard[0].event_id, instance)


async def test_a_restart_tells_what_is_known_from_before_and_nothing_twice(tmp_path: Path) -> None:
    listener = Listener()
    async with embedded.running(settings(tmp_path)) as engine:
        await listener.listen(engine.service.bus)
        await engine.deploy(REVIEW)
        instance = await engine.start("review", business_key="B-1")
        await listener.until(2)

    async with embedded.running(settings(tmp_path)) as engine:
        await engine.complete(await engine.task(instance))
        await listener.listen(engine.service.bus)
        await listener.until(5)

    assert len(listener.heard) == 5
    (completed,) = listener.bodies(topics.TASK_COMPLETED)
    assert (completed.business_key, sorted(completed.candidate_users)) == ("B-1", ["fozzie", "gonzo"])


async def test_what_began_before_anybody_listened_is_told_from_the_engines_own_tables(tmp_path: Path) -> None:
    """The rows that told it first are gone: the facts come from where the engine keeps the task."""
    from sqlalchemy import delete

    from engine.storage.tables import outbox

    listener = Listener()
    async with embedded.running(settings(tmp_path)) as engine:
        await engine.deploy(REVIEW)
        instance = await engine.start("review", business_key="B-1")
        with engine.database.engine.begin() as connection:
            connection.execute(delete(outbox))
        await listener.listen(engine.service.bus, [topics.TASK_ASSIGNED])
        request = task_pb.UpdateTaskRequest(task_id=await engine.task(instance))
        request.assignee = "gonzo"
        await engine.tasks.UpdateTask(request)
        await listener.until(1)

    (assigned,) = listener.bodies(topics.TASK_ASSIGNED)
    assert (assigned.assignee, assigned.business_key, assigned.name) == ("gonzo", "B-1", "Check")
    assert list(assigned.candidate_groups) == ["management"]


async def test_nothing_is_derived_while_nobody_has_ever_listened(tmp_path: Path) -> None:
    from sqlalchemy import func, select

    from engine.storage.relay_tables import business_event, relay_fact

    async with embedded.running(settings(tmp_path)) as engine:
        await engine.deploy(REVIEW)
        await engine.start("review")
        with engine.database.reader.connect() as connection:
            counts = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (business_event, relay_fact)
            ]

    assert counts == [0, 0]


@pytest.mark.parametrize("times", [1, 2])
async def test_rows_that_come_again_tell_the_same_events(tmp_path: Path, times: int) -> None:
    from engine.app.relaying import Facts
    from engine.effects.business_events import BusinessEvents, history_headers
    from engine.storage.outbox_reader import outbox_reader

    async with embedded.running(settings(tmp_path)) as engine:
        await _whole_life(engine)
        rows = await outbox_reader(engine.database, history_headers).read(0, 100)

    facts = Facts(())
    told = [event for row in rows for event in BusinessEvents().events(row, facts)]
    for _ in range(times):
        # The facts are as they were left at the end.
        again = [event for row in rows for event in BusinessEvents().events(row, facts)]
        assert [(event.event_id, event.topic, event.sequence) for event in again] == [
            (event.event_id, event.topic, event.sequence) for event in told
        ]
    assert len({event.sequence for event in told}) == len(told)
