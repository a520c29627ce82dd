"""Signals and messages over RuntimeService."""

from __future__ import annotations

import asyncio

import pytest
from flowloom.engine.v1 import runtime_service_pb2 as pb

from tests.engine.rpc.world import (
    CALLING,
    CATCH_MESSAGE,
    CATCH_SIGNAL,
    START_BY_MESSAGE,
    Mesh,
    bpmn,
    refusing,
    sequence,
    variables,
)


async def test_a_signal_reaches_everybody_who_waits(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL)
    ids = [await mesh.start("listening") for _ in range(3)]

    await mesh.runtime.SendSignal(pb.SendSignalRequest(signal_name="alarm", variables=variables(a=1)))

    assert [await mesh.task_names(instance_id) for instance_id in ids] == [["After"]] * 3
    assert await mesh.values(ids[0]) == {"a": 1}


async def test_a_signal_to_one_instance_leaves_the_others_waiting(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL)
    one, other = await mesh.start("listening"), await mesh.start("listening")

    await mesh.runtime.SendSignal(pb.SendSignalRequest(signal_name="alarm", process_instance_id=one))

    assert (await mesh.task_names(one), await mesh.task_names(other)) == (["After"], [])


async def test_a_signal_to_one_instance_reaches_those_that_it_called(mesh: Mesh) -> None:
    calling = bpmn("caller", sequence('<callActivity id="e1" calledElement="listening"/>'))
    await mesh.deploy(CATCH_SIGNAL, calling)
    instance_id = await mesh.start("caller")

    await mesh.runtime.SendSignal(pb.SendSignalRequest(signal_name="alarm", process_instance_id=instance_id))

    found = await mesh.runtime.ListProcessInstances(
        pb.ListProcessInstancesRequest(super_process_instance_id=instance_id)
    )
    assert [await mesh.task_names(row.id) for row in found.data] == [["After"]]


async def test_a_signal_starts_what_starts_by_it(mesh: Mesh) -> None:
    await mesh.deploy(
        bpmn(
            "woken",
            '<startEvent id="start"><signalEventDefinition signalRef="s"/></startEvent>'
            '<sequenceFlow id="f" sourceRef="start" targetRef="t"/><userTask id="t" name="Up"/>',
            '<signal id="s" name="alarm"/>',
        )
    )

    await mesh.runtime.SendSignal(pb.SendSignalRequest(signal_name="alarm"))

    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest())).total == 1


async def test_that_nobody_waits_for_a_signal_is_no_error(mesh: Mesh) -> None:
    assert await mesh.runtime.SendSignal(pb.SendSignalRequest(signal_name="alarm")) == pb.SendSignalResponse()


async def test_a_signal_to_an_unknown_instance_is_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND", "process-instance-not-found"):
        await mesh.runtime.SendSignal(pb.SendSignalRequest(signal_name="alarm", process_instance_id="nothing"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"signal_name": "alarm", "action": "trigger"},
        {"signal_name": "alarm", "async": True, "variables": variables(a=1)},
    ],
)
async def test_a_signal_that_cannot_be_read_is_refused(mesh: Mesh, given: dict[str, object]) -> None:
    with refusing("INVALID_ARGUMENT", "invalid-request"):
        await mesh.runtime.SendSignal(pb.SendSignalRequest(**given))  # type: ignore[arg-type]


async def test_a_message_goes_to_the_only_one_that_waits(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    instance_id = await mesh.start("catching")
    execution_id = await mesh.execution_at(instance_id, "e1")

    found = await mesh.runtime.CorrelateMessage(
        pb.CorrelateMessageRequest(message_name="paid", variables=variables(a=1))
    )

    assert (found.process_instance_id, found.execution_id, found.started) == (instance_id, execution_id, False)
    assert await mesh.values(instance_id) == {"a": 1}


async def test_a_message_that_several_wait_for_is_refused(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    ids = [await mesh.start("catching"), await mesh.start("catching")]

    with refusing("FAILED_PRECONDITION", "message-ambiguous"):
        await mesh.runtime.CorrelateMessage(pb.CorrelateMessageRequest(message_name="paid"))

    assert [await mesh.task_names(instance_id) for instance_id in ids] == [[], []]


async def test_a_message_goes_to_the_instance_that_is_named(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    one, other = await mesh.start("catching"), await mesh.start("catching")

    await mesh.runtime.CorrelateMessage(pb.CorrelateMessageRequest(message_name="paid", process_instance_id=other))

    assert (await mesh.task_names(one), await mesh.task_names(other)) == ([], ["After"])


async def test_a_message_goes_to_an_instance_that_the_named_one_called(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE, CALLING)
    instance_id = await mesh.start("calling")

    found = await mesh.runtime.CorrelateMessage(
        pb.CorrelateMessageRequest(message_name="paid", process_instance_id=instance_id)
    )

    assert found.process_instance_id != instance_id
    assert await mesh.task_names(found.process_instance_id) == ["After"]


async def test_a_message_goes_to_the_instance_with_the_business_key(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    await mesh.start("catching", business_key="one")
    wanted = await mesh.start("catching", business_key="two")

    found = await mesh.runtime.CorrelateMessage(pb.CorrelateMessageRequest(message_name="paid", business_key="two"))

    assert found.process_instance_id == wanted


async def test_a_message_that_nobody_waits_for_starts_what_starts_by_it(mesh: Mesh) -> None:
    await mesh.deploy(START_BY_MESSAGE)

    found = await mesh.runtime.CorrelateMessage(
        pb.CorrelateMessageRequest(message_name="order", variables=variables(a=1))
    )

    assert (found.started, found.HasField("execution_id")) == (True, False)
    assert await mesh.task_names(found.process_instance_id) == ["Pack"]
    assert await mesh.values(found.process_instance_id) == {"a": 1}


async def test_a_start_by_message_names_its_definition(mesh: Mesh) -> None:
    await mesh.deploy(START_BY_MESSAGE)

    found = await mesh.runtime.StartProcessInstance(pb.StartProcessInstanceRequest(message="order"))

    assert (found.process_definition_key, found.activity_id) == ("ordered", "t")


@pytest.mark.parametrize("where", [{}, {"process_instance_id": "nothing"}, {"business_key": "nothing"}])
async def test_a_message_that_nobody_waits_for_is_not_found(mesh: Mesh, where: dict[str, str]) -> None:
    with refusing("NOT_FOUND"):
        await mesh.runtime.CorrelateMessage(pb.CorrelateMessageRequest(message_name="paid", **where))  # type: ignore[arg-type]


async def test_a_message_for_a_suspended_instance_is_refused(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    instance_id = await mesh.start("catching")
    await mesh.runtime.UpdateProcessInstance(
        pb.UpdateProcessInstanceRequest(process_instance_id=instance_id, action="suspend")
    )

    with refusing("FAILED_PRECONDITION", "process-instance-suspended"):
        await mesh.runtime.CorrelateMessage(pb.CorrelateMessageRequest(message_name="paid"))


async def test_a_repeated_message_is_delivered_once(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    instance_id = await mesh.start("catching")
    request = pb.CorrelateMessageRequest(message_name="paid", process_instance_id=instance_id, request_id="r")

    await mesh.runtime.CorrelateMessage(request)
    again = await mesh.runtime.CorrelateMessage(request)

    assert again.process_instance_id == instance_id
    assert await mesh.task_names(instance_id) == ["After"]


async def test_a_repeated_message_that_started_an_instance_starts_no_other(mesh: Mesh) -> None:
    await mesh.deploy(START_BY_MESSAGE)
    request = pb.CorrelateMessageRequest(message_name="order", request_id="r")

    first = await mesh.runtime.CorrelateMessage(request)
    again = await mesh.runtime.CorrelateMessage(request)

    assert again == first
    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest())).total == 1


async def test_an_asynchronous_signal_is_answered_before_its_deliveries_which_follow(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL)
    instance_id = await mesh.start("listening")
    request = pb.SendSignalRequest(signal_name="alarm")
    setattr(request, "async", True)

    await mesh.runtime.SendSignal(request)

    async with asyncio.timeout(10):
        while await mesh.task_names(instance_id) != ["After"]:
            pass


@pytest.mark.parametrize(("action", "name"), [("messageEventReceived", "paid"), ("signalEventReceived", "alarm")])
async def test_an_action_may_bring_transient_variables(mesh: Mesh, action: str, name: str) -> None:
    await mesh.deploy(CATCH_MESSAGE, CATCH_SIGNAL)
    instance_id = await mesh.start("catching" if name == "paid" else "listening")
    execution_id = await mesh.execution_at(instance_id, "e1")

    await mesh.runtime.ExecuteExecutionAction(
        pb.ExecuteExecutionActionRequest(
            execution_id=execution_id,
            action=action,
            message_name=name,
            signal_name=name,
            transient_variables=variables(a=1),
        )
    )

    assert (await mesh.task_names(instance_id), await mesh.values(instance_id)) == (["After"], {})
