"""Form properties of the BPMN model: shown with present values, submitted as text, all faults at once."""

from typing import Any

import pytest
from flowloom.engine.v1 import form_data_service_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict

from mesh.errors import Status
from tests.engine.forms.worlds import World, process
from tests.forms.worlds import refused, violations

PROPERTIES = """|
<flowable:formProperty id="room" name="Room" type="string" required="true"/>
<flowable:formProperty id="guests" type="long" variable="count" default="${2 + 1}"/>
<flowable:formProperty id="arrival" type="date" datePattern="dd-MM-yyyy"/>
<flowable:formProperty id="paid" type="boolean"/>
<flowable:formProperty id="size" type="enum"><flowable:value id="s" name="Small"/><flowable:value id="l" name="Large"/>
</flowable:formProperty>
<flowable:formProperty id="street" expression="${address.street}"/>
<flowable:formProperty id="fixed" writable="false" expression="${'always'}"/>
<flowable:formProperty id="hidden" readable="false"/>"""


def submission(values: dict[str, Any], **more: Any) -> pb.SubmitFormDataRequest:
    properties = [{"id": name, "value": value} for name, value in values.items()]
    return ParseDict({"properties": properties, **more}, pb.SubmitFormDataRequest())


async def start(world: World) -> tuple[str, str]:
    await world.deploy(leave__bpmn=process(task=PROPERTIES))
    instance = await world.run(variables={"room": "7b", "address": {"street": "Main", "city": "X"}})
    return instance.id, (await world.task(instance.id)).id


async def test_the_properties_of_a_task_are_shown_with_present_values(world: World) -> None:
    _, task_id = await start(world)

    found = MessageToDict(await world.form_data.GetFormData(pb.GetFormDataRequest(task_id=task_id)))

    shown = {each["id"]: each for each in found["formProperties"]}
    assert [*shown] == ["room", "guests", "arrival", "paid", "size", "street", "fixed"]
    assert {name: each.get("value") for name, each in shown.items()} == {
        "room": "7b",
        "guests": "3",
        "arrival": None,
        "paid": None,
        "size": None,
        "street": "Main",
        "fixed": "always",
    }
    assert shown["size"]["enumValues"] == [{"id": "s", "name": "Small"}, {"id": "l", "name": "Large"}]
    assert (shown["arrival"]["datePattern"], shown["room"]["required"]) == ("dd-MM-yyyy", True)
    assert found["taskId"] == task_id


async def test_submitted_text_becomes_variables_of_the_types_of_the_properties(world: World) -> None:
    instance_id, task_id = await start(world)
    values = {
        "room": "9",
        "guests": "12",
        "arrival": "28-02-2026",
        "paid": "true",
        "size": "l",
        "street": "Side",
        "note": "x",
    }

    await world.form_data.SubmitFormData(submission(values, taskId=task_id))

    found = await world.values(instance_id)
    assert found["room"] == ("string", "9")
    assert found["count"] == ("long", 12.0)
    assert found["arrival"] == ("date", "2026-02-28T00:00:00.000Z")
    assert found["paid"] == ("boolean", True)
    assert found["size"] == ("string", "l")
    assert found["address"] == ("json", {"street": "Side", "city": "X"})
    assert found["note"] == ("string", "x")
    assert (await world.task(instance_id)).task_definition_key == "after"
    again = MessageToDict(await world.form_data.GetFormData(pb.GetFormDataRequest(task_id=(await world.task()).id)))
    assert "formProperties" not in again


async def test_every_fault_of_the_properties_is_told_at_once(world: World) -> None:
    instance_id, task_id = await start(world)
    values = {
        "guests": "many",
        "arrival": "2026-02-28",
        "paid": "perhaps",
        "size": "xl",
        "fixed": "never",
    }

    refusal = await refused(world.form_data.SubmitFormData(submission(values, taskId=task_id)))

    assert (refusal.status, refusal.reason) == (Status.INVALID_ARGUMENT, "form-invalid")
    assert [*violations(refusal)] == [
        f"properties.{name}" for name in ("room", "guests", "arrival", "paid", "size", "fixed")
    ]
    assert (await world.task(instance_id)).id == task_id


async def test_a_default_is_submitted_where_nothing_is(world: World) -> None:
    instance_id, task_id = await start(world)

    await world.form_data.SubmitFormData(submission({"room": "1"}, taskId=task_id))

    assert (await world.values(instance_id))["count"] == ("long", 3.0)


async def test_a_repeated_submission_changes_nothing(world: World) -> None:
    _, task_id = await start(world)
    request = submission({"room": "1"}, taskId=task_id, requestId="r1")

    await world.form_data.SubmitFormData(request)
    await world.form_data.SubmitFormData(request)

    assert (await world.task()).task_definition_key == "after"


async def test_an_instance_is_started_with_the_properties_of_its_start_event(world: World) -> None:
    await world.deploy(leave__bpmn=process(start=PROPERTIES))
    definition_id = (await world.run()).process_definition_id

    shown = await world.form_data.GetFormData(pb.GetFormDataRequest(process_definition_id=definition_id))
    request = submission({"room": "1", "guests": 4}, processDefinitionId=definition_id, businessKey="b1", requestId="r")
    started = await world.form_data.SubmitFormData(request)

    assert [each.id for each in shown.form_properties][:2] == ["room", "guests"]
    assert (started.business_key, started.process_definition_id) == ("b1", definition_id)
    assert (await world.values(started.id))["count"] == ("long", 4.0)
    assert (await world.form_data.SubmitFormData(request)).id == started.id
    refusal = await refused(world.form_data.SubmitFormData(submission({}, processDefinitionId=definition_id)))
    assert set(violations(refusal)) == {"properties.room"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({}, Status.INVALID_ARGUMENT),
        ({"task_id": "t", "process_definition_id": "d"}, Status.INVALID_ARGUMENT),
        ({"task_id": "nowhere"}, Status.NOT_FOUND),
        ({"process_definition_id": "nowhere"}, Status.NOT_FOUND),
    ],
)
async def test_bad_questions_are_refused(world: World, request_: dict[str, str], status: Status) -> None:
    assert (await refused(world.form_data.GetFormData(pb.GetFormDataRequest(**request_)))).status is status
    assert (await refused(world.form_data.SubmitFormData(pb.SubmitFormDataRequest(**request_)))).status is status


@pytest.mark.parametrize(
    "inside",
    [
        "|<flowable:formProperty id='x' expression='${'/>",
        "|<flowable:formProperty name='x'/>",
        "|<flowable:formProperty id='x'/><flowable:formProperty id='x'/>",
    ],
)
async def test_a_model_with_wrong_properties_is_not_deployed(world: World, inside: str) -> None:
    for where in ({"task": inside}, {"start": inside}):
        assert (await refused(world.deploy(leave__bpmn=process(**where)))).reason == "invalid-model"
