"""The completion saga, from the end of an instance to its participants' confirmations, with real participants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import saga_service_pb2 as pb
from flowloom.events.v1 import events_pb2
from sqlalchemy import select

from engine.kernel.commands import DeleteInstance
from engine.storage import tables
from mesh.rpc_errors import refusal_in
from tests.engine.relay.worlds import Listener
from tests.engine.sagas.world import Refusal, Trouble, World, always, first, running
from tests.faults import models

DONE = [("record", "COMPLETED"), ("publish", "COMPLETED")]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, "archive", "billing") as found:
        await found.engine.deploy(models.STRAIGHT, models.ONE)
        yield found


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    refusal = refusal_in(failed.value)
    return failed.value.code().name, refusal.reason if refusal is not None else ""


def published(world: World, saga_id: str) -> list[events_pb2.Event]:
    """What the bus gets to hear about an instance, after its own commands."""
    with world.engine.database.engine.connect() as connection:
        found = connection.execute(select(tables.outbox).order_by(tables.outbox.c.sequence)).all()
    rows = [row for row in found if row.command_id.startswith(f"{saga_id}/")]
    assert all(row.root_id == saga_id for row in rows)
    return [event for row in rows for event in events_pb2.CommandEvents.FromString(row.events).events]


async def test_with_nobody_registered_all_of_it_is_done_with_the_command(world: World) -> None:
    instance = await world.engine.start("straight")

    found = await world.sagas.GetSaga(pb.GetSagaRequest(saga_id=instance))

    assert (found.name, found.state, found.process_instance_id) == ("completion", "COMPLETED", instance)
    assert await world.log(instance) == [*DONE, ("", "COMPLETED")]
    assert await world.findings() == []


async def test_an_instance_that_is_deleted_has_no_completion(world: World) -> None:
    instance = await world.engine.start("one")

    await world.engine.service._commit.submit(DeleteInstance(instance_id=instance))

    assert await refused(world.sagas.GetSaga(pb.GetSagaRequest(saga_id=instance))) == ("NOT_FOUND", "saga-not-found")


async def test_participants_confirm_one_after_the_other_in_their_order(world: World) -> None:
    await world.register("billing", 2)
    await world.register("archive", 1)

    instance = await world.engine.start("straight", business_key="order 7")
    await world.until(instance, "COMPLETED")

    assert world.effects() == [("archive", "archive", "execute"), ("billing", "billing", "execute")]
    assert await world.log(instance) == [
        *DONE,
        ("archive", "STARTED"),
        ("archive", "COMPLETED"),
        ("billing", "STARTED"),
        ("billing", "COMPLETED"),
        ("", "COMPLETED"),
    ]
    told = world.participants["billing"].data
    assert (told["process_instance_id"], told["business_key"]) == (instance, "order 7")
    assert told["process_definition_key"] == "straight"
    assert told["results"] == {"archive": {"by": "archive"}}
    assert await world.findings() == []


async def test_only_who_is_registered_for_the_definition_takes_part(world: World) -> None:
    await world.register("archive", process_definition_key="another")
    await world.register("billing", process_definition_key="straight")

    instance = await world.engine.start("straight")
    await world.until(instance, "COMPLETED")

    assert world.effects() == [("billing", "billing", "execute")]


async def test_a_participant_that_fails_is_tried_again(world: World) -> None:
    await world.register("archive")
    world.participants["archive"].before = first(2)

    instance = await world.engine.start("straight")
    await world.until(instance, "COMPLETED")

    assert (await world.log(instance))[2:-1] == [
        ("archive", "STARTED"),
        ("archive", "FAILED"),
        ("archive", "STARTED"),
        ("archive", "FAILED"),
        ("archive", "STARTED"),
        ("archive", "COMPLETED"),
    ]
    assert world.repeated() == []


async def test_after_three_retries_what_was_done_is_taken_back_and_the_instance_has_failed(world: World) -> None:
    await world.register("archive", 1)
    await world.register("billing", 2)
    world.participants["billing"].before = always(Trouble("no paper"))

    instance = await world.engine.start("straight")
    found = await world.until(instance, "COMPENSATED")

    assert "no paper" in found.error
    assert await world.log(instance) == [
        *DONE,
        ("archive", "STARTED"),
        ("archive", "COMPLETED"),
        *[("billing", "STARTED"), ("billing", "FAILED")] * 4,
        ("billing", "COMPENSATING"),
        ("billing", "COMPENSATED"),
        ("archive", "COMPENSATING"),
        ("archive", "COMPENSATED"),
        ("publish", "COMPENSATED"),
        ("", "COMPENSATED"),
    ]
    # What never happened is not taken back.
    assert world.effects() == [("archive", "archive", "execute"), ("archive", "archive", "compensate")]
    (ended,) = published(world, instance)
    assert ended.process_instance_ended.state == events_pb2.END_STATE_FAILED
    assert "no paper" in ended.process_instance_ended.delete_reason
    assert await world.findings() == []


async def test_a_lost_answer_does_not_repeat_the_effect(world: World) -> None:
    await world.register("archive")
    world.participants["archive"].after = first(2)

    instance = await world.engine.start("straight")
    await world.until(instance, "COMPLETED")

    assert world.participants["archive"].calls == [("execute", "archive")] * 3
    assert world.effects() == [("archive", "archive", "execute")]


async def test_a_refusal_is_not_tried_again(world: World) -> None:
    await world.register("archive")
    world.participants["archive"].before = always(Refusal("never"))

    instance = await world.engine.start("straight")
    await world.until(instance, "COMPENSATED")

    assert world.participants["archive"].calls == [("execute", "archive"), ("compensate", "archive")]


async def test_a_participant_that_does_not_answer_in_time_has_failed(world: World) -> None:
    await world.register("archive", target="127.0.0.1:1", timeout="PT0.05S", tries=2)

    instance = await world.engine.start("straight")
    found = await world.until(instance, "FAILED")

    states = [state for step, state in await world.log(instance) if step == "archive"]
    assert states == ["STARTED", "FAILED"] * 2 + ["COMPENSATING", "FAILED"] * 2
    assert found.error


async def test_a_person_retries_a_compensated_saga_and_the_instance_has_completed_after_all(world: World) -> None:
    await world.register("archive", 1)
    await world.register("billing", 2)
    world.participants["billing"].before = always(Refusal("not yet"))
    instance = await world.engine.start("straight")
    await world.until(instance, "COMPENSATED")
    world.participants["billing"].before = lambda action, attempt: None

    request = pb.RetrySagaRequest(saga_id=instance, request_id="r")
    await world.sagas.RetrySaga(request)
    await world.sagas.RetrySaga(request)
    found = await world.until(instance, "COMPLETED")

    assert found.round == 2
    assert [effect for effect in world.effects() if "~2" in effect[1]] == [
        ("archive", "archive~2", "execute"),
        ("billing", "billing~2", "execute"),
    ]
    states = [event.process_instance_ended.state for event in published(world, instance)]
    assert [state for state in states if state] == [events_pb2.END_STATE_FAILED, events_pb2.END_STATE_COMPLETED]
    assert await refused(world.sagas.RetrySaga(pb.RetrySagaRequest(saga_id=instance))) == (
        "FAILED_PRECONDITION",
        "saga-not-ended-badly",
    )
    assert await world.findings() == []


async def test_a_person_retries_a_saga_whose_compensation_failed(world: World) -> None:
    await world.register("archive", 1, tries=2)
    await world.register("billing", 2)
    world.participants["billing"].before = always(Refusal("never"))
    world.participants["archive"].before = always(Trouble("stuck"), "compensate")
    instance = await world.engine.start("straight")
    await world.until(instance, "FAILED")
    world.participants["archive"].before = lambda action, attempt: None

    await world.sagas.RetrySaga(pb.RetrySagaRequest(saga_id=instance))
    await world.until(instance, "COMPENSATED")

    assert world.effects()[-1] == ("archive", "archive", "compensate")
    assert await world.findings() == []


async def test_a_person_closes_a_saga_with_a_note(world: World) -> None:
    await world.register("archive")
    world.participants["archive"].before = always(Refusal("never"))
    instance = await world.engine.start("straight")
    await world.until(instance, "COMPENSATED")

    closed = await world.sagas.CloseSaga(pb.CloseSagaRequest(saga_id=instance, note="settled by phone"))

    assert closed.state == "CLOSED"
    lines = await world.sagas.ListSagaLog(pb.ListSagaLogRequest(saga_id=instance, size=100))
    assert (lines.data[-1].state, lines.data[-1].error) == ("CLOSED", "settled by phone")
    assert await refused(world.sagas.CloseSaga(pb.CloseSagaRequest(saga_id=instance))) == (
        "FAILED_PRECONDITION",
        "saga-not-ended-badly",
    )
    assert await world.findings() == []


async def test_a_participant_by_message_is_told_by_the_bus_and_confirms(world: World) -> None:
    await world.register("warehouse", topic="warehouse", timeout="PT1H")
    listener = Listener()
    await listener.listen(world.engine.service.bus, ["flowable.saga.warehouse"])
    instance = await world.engine.start("straight")

    waiting = await world.until_step(instance, "warehouse")
    await listener.until(1)
    confirmation = pb.ConfirmSagaStepRequest(saga_id=instance, step_id="warehouse")
    await world.sagas.ConfirmSagaStep(confirmation)
    await world.until(instance, "COMPLETED")
    await world.sagas.ConfirmSagaStep(confirmation)

    assert waiting.state == "STARTED"
    (message,) = listener.heard
    requested = events_pb2.SagaStepRequested.FromString(message.payload)
    assert (message.topic, message.key) == ("flowable.saga.warehouse", instance)
    assert message.headers["eventType"] == "SAGA_STEP_REQUESTED"
    assert (requested.topic, requested.action, requested.step_id) == ("warehouse", "execute", "warehouse")
    assert instance in requested.data
    assert await refused(
        world.sagas.ConfirmSagaStep(pb.ConfirmSagaStepRequest(saga_id=instance, step_id="nobody"))
    ) == ("NOT_FOUND", "saga-step-not-found")
    assert await world.findings() == []


async def test_a_participant_by_message_that_says_no_for_good_turns_the_saga_round(world: World) -> None:
    await world.register("archive", 1)
    await world.register("warehouse", 2, topic="warehouse", timeout="PT1H")
    instance = await world.engine.start("straight")
    await world.until_step(instance, "warehouse")

    await world.sagas.ConfirmSagaStep(
        pb.ConfirmSagaStepRequest(saga_id=instance, step_id="warehouse", error="out of stock", final=True)
    )
    await world.until_step(instance, "warehouse")
    late = pb.ConfirmSagaStepRequest(saga_id=instance, step_id="warehouse", error="too late")
    assert await refused(world.sagas.ConfirmSagaStep(late)) == ("FAILED_PRECONDITION", "saga-step-not-awaited")
    await world.sagas.ConfirmSagaStep(
        pb.ConfirmSagaStepRequest(saga_id=instance, step_id="warehouse", action="compensate")
    )
    await world.until(instance, "COMPENSATED")

    assert world.effects()[-1] == ("archive", "archive", "compensate")
    actions = [event.saga_step_requested.action for event in published(world, instance)]
    assert [action for action in actions if action] == ["execute", "compensate"]


async def test_a_word_that_does_not_come_in_time_is_a_failure(world: World) -> None:
    await world.register("warehouse", topic="warehouse", timeout="PT0.05S", tries=2, compensates=False)

    instance = await world.engine.start("straight")
    found = await world.until(instance, "COMPENSATED")

    assert "confirmation" in found.error
    assert [state for step, state in await world.log(instance) if step == "warehouse"] == ["STARTED", "FAILED"] * 2


async def test_a_participant_by_rpc_may_confirm_later(world: World) -> None:
    await world.register("archive", timeout="PT1H")
    world.participants["archive"].pending = True
    instance = await world.engine.start("straight")
    await world.until_step(instance, "archive")

    request = pb.ConfirmSagaStepRequest(saga_id=instance, step_id="archive")
    request.result.update({"shelf": "7"})
    await world.sagas.ConfirmSagaStep(request)
    found = await world.until(instance, "COMPLETED")

    assert dict(found.data["results"]["archive"]) == {"shelf": "7"}


async def test_lists_find_sagas_by_what_they_are_about(world: World) -> None:
    first_one = await world.engine.start("straight")
    await world.register("archive")
    world.participants["archive"].before = always(Refusal("never"))
    second = await world.engine.start("straight")
    await world.until(second, "COMPENSATED")

    async def ids(**filters: Any) -> list[str]:
        return [one.id for one in (await world.sagas.ListSagas(pb.ListSagasRequest(**filters))).data]

    assert await ids() == [first_one, second]
    assert await ids(state="COMPENSATED") == [second]
    assert await ids(process_instance_id=first_one) == [first_one]
    assert await ids(process_definition_key="straight", order="desc") == [second, first_one]
    assert await ids(open=True) == []
    assert await ids(name="form-submission") == []
    assert await refused(ids(state="LOST")) == ("INVALID_ARGUMENT", "invalid-query")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Not A Name", "target": "a:1"},
        {"name": "record", "target": "a:1"},
        {"name": "a", "target": "a:1", "topic": "b"},
        {"name": "a"},
        {"name": "a", "target": "no port"},
        {"name": "a", "topic": "no topic"},
        {"name": "a", "target": "a:1", "timeout": "soon"},
        {"name": "a", "target": "a:1", "timeout": "PT0S"},
        {"name": "a", "target": "a:1", "tries": 0},
        {"name": "a", "target": "a:1", "saga_name": "form-submission"},
    ],
)
async def test_a_registration_that_cannot_work_is_refused(world: World, fields: dict[str, Any]) -> None:
    call = world.sagas.RegisterSagaParticipant(pb.RegisterSagaParticipantRequest(**fields))

    assert (await refused(call))[0] == "INVALID_ARGUMENT"


async def test_who_registers_again_is_changed_and_who_is_taken_away_takes_part_no_more(world: World) -> None:
    before = await world.register("archive", tries=2)
    after = await world.register("archive", tries=3)
    listed = await world.sagas.ListSagaParticipants(pb.ListSagaParticipantsRequest())
    request = pb.UnregisterSagaParticipantRequest(participant_id=after.id, request_id="r")
    await world.sagas.UnregisterSagaParticipant(request)
    await world.sagas.UnregisterSagaParticipant(request)

    instance = await world.engine.start("straight")

    assert before.id == after.id
    assert [(one.name, one.tries) for one in listed.data] == [("archive", 3)]
    assert (await world.until(instance, "COMPLETED")).steps[-1].name == "publish"
    unknown = pb.UnregisterSagaParticipantRequest(participant_id=after.id)
    assert await refused(world.sagas.UnregisterSagaParticipant(unknown)) == (
        "NOT_FOUND",
        "saga-participant-not-found",
    )
