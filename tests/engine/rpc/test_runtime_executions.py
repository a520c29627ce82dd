"""Executions, their variables and what goes on in them, over RuntimeService."""

from __future__ import annotations

from flowloom.engine.v1 import runtime_service_pb2 as pb
from google.protobuf import json_format

from tests.engine.rpc.world import (
    CATCH_MESSAGE,
    CATCH_SIGNAL,
    MESSAGE,
    ONE_TASK,
    RECEIVE,
    START,
    Mesh,
    bpmn,
    refusing,
    sequence,
    variable,
    variables,
)


async def test_an_execution_is_what_waits_at_an_element(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive")
    execution_id = await mesh.execution_at(instance_id, "e1")

    found = await mesh.runtime.GetExecution(pb.GetExecutionRequest(execution_id=execution_id))

    assert json_format.MessageToDict(found) == {
        "id": execution_id,
        "parentId": instance_id,
        "processInstanceId": instance_id,
        "processDefinitionId": found.process_definition_id,
        "activityId": "e1",
        "activityType": "receiveTask",
        "waiting": True,
    }


async def test_a_triggered_execution_has_ended(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive")
    execution_id = await mesh.execution_at(instance_id, "e1")

    found = await mesh.runtime.ExecuteExecutionAction(
        pb.ExecuteExecutionActionRequest(execution_id=execution_id, action="trigger", variables=variables(a=1))
    )

    assert (found.id, found.ended, found.activity_id) == (execution_id, True, "e1")
    assert await mesh.task_names(instance_id) == ["After"]
    assert await mesh.values(instance_id) == {"a": 1}


async def test_a_repeated_trigger_gets_the_first_answer(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive")
    execution_id = await mesh.execution_at(instance_id, "e1")
    request = pb.ExecuteExecutionActionRequest(execution_id=execution_id, action="trigger", request_id="r")

    await mesh.runtime.ExecuteExecutionAction(request)
    again = await mesh.runtime.ExecuteExecutionAction(request)

    assert (again.id, again.ended) == (execution_id, True)


async def test_a_user_task_is_not_triggered(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    execution_id = await mesh.execution_at(await mesh.start("one"), "e1")

    with refusing("FAILED_PRECONDITION", "not-waiting"):
        await mesh.runtime.ExecuteExecutionAction(
            pb.ExecuteExecutionActionRequest(execution_id=execution_id, action="trigger")
        )


async def test_an_unknown_execution_is_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND", "execution-not-found"):
        await mesh.runtime.ExecuteExecutionAction(
            pb.ExecuteExecutionActionRequest(execution_id="nothing", action="trigger")
        )


async def test_an_execution_gets_the_message_that_it_waits_for(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    instance_id = await mesh.start("catching")
    execution_id = await mesh.execution_at(instance_id, "e1")
    request = pb.ExecuteExecutionActionRequest(execution_id=execution_id, action="messageEventReceived")

    with refusing("NOT_FOUND", "subscription-not-found"):
        request.message_name = "unpaid"
        await mesh.runtime.ExecuteExecutionAction(request)
    request.message_name = "paid"
    await mesh.runtime.ExecuteExecutionAction(request)

    assert await mesh.task_names(instance_id) == ["After"]


async def test_an_execution_gets_the_signal_that_it_waits_for(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_SIGNAL)
    instance_id = await mesh.start("listening")
    execution_id = await mesh.execution_at(instance_id, "e1")

    await mesh.runtime.ExecuteExecutionAction(
        pb.ExecuteExecutionActionRequest(
            execution_id=execution_id, action="signalEventReceived", signal_name="alarm", variables=variables(a=1)
        )
    )

    assert await mesh.task_names(instance_id) == ["After"]
    assert await mesh.values(instance_id) == {"a": 1}


async def test_active_activities_are_told_by_their_ids(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    found = mesh.runtime.ListActiveActivities(pb.ListActiveActivitiesRequest(execution_id=instance_id))

    assert [value.string_value async for value in found] == ["e1"]


async def test_a_variable_of_an_execution_is_local_unless_it_says_global(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive", variables={"a": 0})
    execution_id = await mesh.execution_at(instance_id, "e1")
    wanted = [variable("a", 1), variable("b", 2, scope="global")]

    await mesh.runtime.UpsertExecutionVariables(
        pb.UpsertExecutionVariablesRequest(execution_id=execution_id, variables=wanted)
    ).read()

    listed = mesh.runtime.ListExecutionVariables(pb.ListExecutionVariablesRequest(execution_id=execution_id))
    assert [(v.name, v.scope, v.value.number_value) async for v in listed] == [("a", "local", 1), ("b", "global", 2)]
    assert await mesh.values(instance_id) == {"a": 0, "b": 2}


async def test_a_variable_of_an_execution_is_created_once(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    execution_id = await mesh.execution_at(await mesh.start("receive"), "e1")
    request = pb.CreateExecutionVariablesRequest(execution_id=execution_id, variables=variables(a=1))
    await mesh.runtime.CreateExecutionVariables(request).read()

    with refusing("ALREADY_EXISTS", "variable-exists"):
        await mesh.runtime.CreateExecutionVariables(request).read()


async def test_a_deleted_local_variable_shows_the_global_one(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive", variables={"a": 0})
    execution_id = await mesh.execution_at(instance_id, "e1")
    await mesh.runtime.CreateExecutionVariables(
        pb.CreateExecutionVariablesRequest(execution_id=execution_id, variables=variables(a=1))
    ).read()

    await mesh.runtime.DeleteExecutionVariable(
        pb.DeleteExecutionVariableRequest(execution_id=execution_id, variable_name="a")
    )

    found = await mesh.runtime.GetExecutionVariable(
        pb.GetExecutionVariableRequest(execution_id=execution_id, variable_name="a")
    )
    assert (found.scope, found.value.number_value) == ("global", 0)


async def test_variables_of_an_unknown_execution_are_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND"):
        await mesh.runtime.ListExecutionVariables(pb.ListExecutionVariablesRequest(execution_id="nothing")).read()


async def test_variables_of_an_instance_are_created_once(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"a": 0})

    with refusing("ALREADY_EXISTS", "variable-exists"):
        await mesh.runtime.CreateProcessInstanceVariables(
            pb.CreateProcessInstanceVariablesRequest(process_instance_id=instance_id, variables=variables(b=1, a=1))
        ).read()

    assert await mesh.values(instance_id) == {"a": 0}


async def test_variables_of_an_instance_are_created_or_changed(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"a": 0})
    wanted = [variable("a", "9007199254740993", "long"), variable("b", "2026-01-02", "date")]

    answered = mesh.runtime.UpsertProcessInstanceVariables(
        pb.UpsertProcessInstanceVariablesRequest(process_instance_id=instance_id, variables=wanted)
    )

    assert [(v.name, v.type, v.scope) async for v in answered] == [("a", "long", "local"), ("b", "date", "local")]
    assert await mesh.values(instance_id) == {"a": "9007199254740993", "b": "2026-01-02T00:00:00.000Z"}


async def test_a_variable_of_an_instance_is_changed_only_if_it_is_there(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"a": 0})
    request = pb.UpdateProcessInstanceVariableRequest(process_instance_id=instance_id, variable=variable("", True))

    request.variable_name = "a"
    found = await mesh.runtime.UpdateProcessInstanceVariable(request)

    assert (found.name, found.type, found.value.bool_value) == ("a", "boolean", True)
    with refusing("NOT_FOUND", "variable-not-found"):
        request.variable_name = "b"
        await mesh.runtime.UpdateProcessInstanceVariable(request)


async def test_all_variables_of_an_instance_are_deleted(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", variables={"a": 0, "b": 1})

    await mesh.runtime.DeleteProcessInstanceVariables(
        pb.DeleteProcessInstanceVariablesRequest(process_instance_id=instance_id)
    )

    assert await mesh.values(instance_id) == {}


async def test_an_execution_is_no_process_instance(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    execution_id = await mesh.execution_at(await mesh.start("one"), "e1")

    with refusing("NOT_FOUND"):
        await mesh.runtime.CreateProcessInstanceVariables(
            pb.CreateProcessInstanceVariablesRequest(process_instance_id=execution_id, variables=variables(b=1))
        ).read()


async def test_a_binary_variable_is_found_wherever_it_hangs(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    await mesh.runtime.CreateProcessInstanceVariables(
        pb.CreateProcessInstanceVariablesRequest(
            process_instance_id=instance_id, variables=[variable("file", "AAEC", "binary")]
        )
    ).read()

    (found,) = (await mesh.runtime.ListVariableInstances(pb.ListVariableInstancesRequest(variable_name="file"))).data

    data = await mesh.runtime.GetVariableInstanceData(pb.GetVariableInstanceDataRequest(variable_instance_id=found.id))
    assert found.variable.value_url.endswith("/data")
    assert (found.process_instance_id, found.execution_id, data.data) == (instance_id, instance_id, b"\x00\x01\x02")


async def test_present_stays_at_elements_are_listed(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    found = await mesh.runtime.ListActivityInstances(
        pb.ListActivityInstancesRequest(process_instance_id=instance_id, activity_type="userTask")
    )

    assert [(row.activity_id, row.task_id) for row in found.data] == [("e1", (await mesh.task(instance_id)).id)]


async def test_event_subscriptions_are_listed_and_read(mesh: Mesh) -> None:
    await mesh.deploy(CATCH_MESSAGE)
    instance_id = await mesh.start("catching")

    found = await mesh.runtime.ListEventSubscriptions(
        pb.ListEventSubscriptionsRequest(event_type="message", event_name="paid")
    )

    (row,) = found.data
    assert (row.process_instance_id, row.activity_id, row.created.seconds) == (instance_id, "e1", START.timestamp())
    read = await mesh.runtime.GetEventSubscription(pb.GetEventSubscriptionRequest(event_subscription_id=row.id))
    assert read == row


async def test_a_message_boundary_is_reached_through_its_host(mesh: Mesh) -> None:
    body = sequence('<userTask id="e1" name="Wait"/>') + (
        '<boundaryEvent id="b" attachedToRef="e1"><messageEventDefinition messageRef="m"/></boundaryEvent>'
        '<sequenceFlow id="fb" sourceRef="b" targetRef="t"/><userTask id="t" name="Paid"/>'
    )
    await mesh.deploy(bpmn("bounded", body, MESSAGE))
    instance_id = await mesh.start("bounded")

    await mesh.runtime.ExecuteExecutionAction(
        pb.ExecuteExecutionActionRequest(
            execution_id=await mesh.execution_at(instance_id, "e1"), action="messageEventReceived", message_name="paid"
        )
    )

    assert await mesh.task_names(instance_id) == ["Paid"]
