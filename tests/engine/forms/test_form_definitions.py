"""Form definitions of tasks and start events: found by their keys, filled, and deployed together with a process."""

import zipfile
from io import BytesIO
from typing import Any

import pytest
from flowloom.engine.v1 import form_data_service_pb2 as pb
from flowloom.engine.v1 import repository_service_pb2
from flowloom.forms.v1 import form_repository_service_pb2
from google.protobuf.json_format import MessageToDict

from mesh.errors import Status, Unavailable
from tests.engine.forms.worlds import World, process
from tests.forms.worlds import form, refused, violations

FILLED: dict[str, Any] = form(
    fields=[
        {"id": "hello", "type": "headline", "name": "Hello ${who}"},
        {"id": "days", "type": "integer", "value": "${1 + 1}"},
        {"id": "day", "type": "date"},
        {"id": "sum", "type": "expression", "expression": "${days * 10}"},
        {
            "id": "why",
            "type": "text",
            "required": "${days > 5}",
            "visible": "${who == 'ann'}",
            "placeholder": "${none}",
        },
        {"id": "size", "type": "dropdown", "optionsExpression": "${sizes}"},
        {"id": "box", "type": "container", "fields": {"1": [{"id": "owner", "type": "people", "value": "${who}"}]}},
        {"id": "pin", "type": "password"},
    ]
)
KEYED = process(start="flowable:formKey='leave'", task="flowable:formKey='leave'")


async def test_the_form_of_a_task_is_filled_with_variables_and_its_expressions_are_evaluated(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=FILLED)
    instance = await world.run(variables={"who": "ann", "days": 7, "sizes": ["s", "m"], "pin": "1234"})
    task = await world.task(instance.id)

    found = await world.form_of(task.id)

    fields = {each["id"]: each for each in found["fields"]}
    assert (found["key"], found["version"], found["name"]) == ("leave", 1.0, "Leave")
    assert fields["hello"]["name"] == "Hello ann"
    assert (fields["days"]["value"], fields["sum"]["value"]) == (7.0, 70.0)
    assert (fields["why"]["required"], fields["why"]["visible"]) == (True, True)
    assert fields["why"]["placeholder"] == "${none}"
    assert [each["id"] for each in fields["size"]["options"]] == ["s", "m"]
    assert fields["box"]["fields"]["1"][0]["value"] == "ann"
    assert fields["pin"]["value"] is None
    assert [each["id"] for each in found["outcomes"]] == ["approve", "reject"]


async def test_the_start_form_is_shown_with_what_it_says_itself(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=FILLED)
    definition_id = (await world.run()).process_definition_id

    found = MessageToDict(
        await world.form_data.GetStartForm(pb.GetStartFormRequest(process_definition_id=definition_id))
    )

    fields = {each["id"]: each for each in found["fields"]}
    assert (fields["days"]["value"], fields["sum"]["value"]) == (2.0, None)


async def test_the_forms_of_a_process_are_listed_once_each(world: World) -> None:
    document = process(start="flowable:formKey='leave'", task="flowable:formKey='elsewhere'")
    await world.deploy(leave__bpmn=document, leave__form=FILLED)
    definition_id = (await world.run()).process_definition_id
    request = pb.ListProcessDefinitionFormsRequest(process_definition_id=definition_id)

    found = [each async for each in world.form_data.ListProcessDefinitionForms(request)]

    assert [(each.key, each.version, each.resource_name) for each in found] == [("leave", 1, "leave.form")]


async def test_a_process_uses_the_forms_that_it_was_deployed_with(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form(name="old"))
    old = await world.run()
    await world.deploy(leave__bpmn=KEYED, leave__form=form(name="new"))
    new = await world.run()

    assert (await world.form_of((await world.task(old.id)).id))["name"] == "old"
    assert (await world.form_of((await world.task(new.id)).id))["name"] == "new"


async def test_a_process_uses_forms_that_were_deployed_without_it(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED)
    task = await world.task((await world.run()).id)
    assert (await refused(world.form_data.GetTaskForm(pb.GetTaskFormRequest(task_id=task.id)))).reason == (
        "form-not-found"
    )
    request = form_repository_service_pb2.CreateFormDeploymentRequest()
    request.resources.add(name="leave.form", data=b'{"key": "leave", "name": "alone"}')

    await world.form_repository.CreateFormDeployment(request)

    assert (await world.form_of(task.id))["name"] == "alone"


async def test_forms_come_out_of_an_archive_too(world: World) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("leave.bpmn20.xml", KEYED)
        archive.writestr("forms/form-leave.form", '{"key": "leave", "name": "packed"}')
    resource = repository_service_pb2.ResourceUpload(name="leave.bar", bytes=packed.getvalue())
    await world.repository.CreateDeployment(repository_service_pb2.CreateDeploymentRequest(resources=[resource]))

    assert (await world.form_of((await world.task((await world.run()).id)).id))["name"] == "packed"


async def test_one_wrong_form_refuses_the_whole_deployment(world: World) -> None:
    bad = form(fields=[{"id": "x", "type": "hologram"}])

    refusal = await refused(world.deploy(leave__bpmn=KEYED, good__form=form("good"), bad__form=bad))

    assert (refusal.status, set(violations(refusal))) == (
        Status.INVALID_ARGUMENT,
        {"resources.bad.form.fields.x"},
    )
    assert (await refused(world.run())).status is Status.NOT_FOUND
    assert (await refused(world.form_id("good"))).reason == "form-not-found"


async def test_a_wrong_process_takes_its_forms_with_it(world: World) -> None:
    # Two processes that start by one message: found out in the transaction only.
    message = process().replace('<process id="leave"', '<message id="m" name="go"/><process id="{0}"')
    starting = message.replace(
        "<startEvent id='start' ></startEvent>",
        "<startEvent id='start'><messageEventDefinition messageRef='m'/></startEvent>",
    )
    await world.deploy(one__bpmn=starting.format("one"))

    refusal = await refused(world.deploy(two__bpmn=starting.format("two"), leave__form=form()))

    assert refusal.status is Status.INVALID_ARGUMENT
    assert (await refused(world.form_id())).reason == "form-not-found"
    assert world.between.asked == ["PrepareFormDeployment", "DiscardFormDeployment"]


async def test_a_repeated_deployment_deploys_its_forms_once(world: World) -> None:
    first = await world.deploy(leave__bpmn=KEYED, leave__form=form(), request_id="r1")

    assert await world.deploy(leave__bpmn=KEYED, leave__form=form(), request_id="r1") == first

    listed = await world.form_repository.ListFormDefinitions(form_repository_service_pb2.ListFormDefinitionsRequest())
    assert [(each.version, each.parent_deployment_id) for each in listed.data] == [(1, first.id)]


async def test_a_deleted_deployment_takes_its_forms_along(world: World) -> None:
    deployment = await world.deploy(leave__bpmn=KEYED, leave__form=form())

    await world.repository.DeleteDeployment(
        repository_service_pb2.DeleteDeploymentRequest(deployment_id=deployment.id, cascade=True)
    )

    assert (await refused(world.form_id())).reason == "form-not-found"


async def test_nothing_is_deployed_while_nobody_can_check_its_forms(world: World) -> None:
    world.between.before["PrepareFormDeployment"] = Unavailable("away", "away")

    assert (await refused(world.deploy(leave__bpmn=KEYED, leave__form=form()))).status is Status.UNAVAILABLE
    assert (await refused(world.run())).status is Status.NOT_FOUND


async def test_forms_that_were_not_confirmed_are_confirmed_later(world: World) -> None:
    world.between.before["ConfirmFormDeployment"] = Unavailable("away", "away")
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    assert (await refused(world.form_id())).reason == "form-not-found"
    settling = world.engine.settling
    assert settling is not None
    assert await settling.look() == 0
    world.between.before.clear()
    world.later(400)

    assert await settling.look() == 1

    assert await world.form_id()


async def test_forms_of_a_deployment_that_never_was_are_discarded_later(world: World) -> None:
    request = form_repository_service_pb2.PrepareFormDeploymentRequest(parent_deployment_id="never")
    request.resources.add(name="leave.form", data=b'{"key": "leave"}')
    await world.form_repository.PrepareFormDeployment(request)
    settling = world.engine.settling
    assert settling is not None
    world.later(400)

    assert await settling.look() == 1
    assert await settling.look() == 0


async def test_forms_of_a_deployment_that_is_gone_are_swept_away(world: World) -> None:
    kept = await world.deploy(leave__bpmn=KEYED, leave__form=form())
    gone = await world.deploy(other__bpmn=process("other"), other__form=form("other"))
    world.between.before["DiscardFormDeployment"] = Unavailable("away", "away")
    await world.repository.DeleteDeployment(
        repository_service_pb2.DeleteDeploymentRequest(deployment_id=gone.id, cascade=True)
    )
    assert await world.form_id("other")
    world.between.before.clear()
    settling = world.engine.settling
    assert settling is not None

    assert await settling.sweep() == 1

    assert (await refused(world.form_id("other"))).reason == "form-not-found"
    assert await world.form_id(parent_deployment_id=kept.id)


@pytest.mark.parametrize("of", ["task", "start"])
async def test_an_element_without_a_form_key_has_no_form(world: World, of: str) -> None:
    await world.deploy(leave__bpmn=process())
    instance = await world.run()
    if of == "task":
        call = world.form_data.GetTaskForm(pb.GetTaskFormRequest(task_id=(await world.task()).id))
    else:
        request = pb.GetStartFormRequest(process_definition_id=instance.process_definition_id)
        call = world.form_data.GetStartForm(request)

    assert (await refused(call)).reason == "form-key-not-found"


async def test_an_engine_without_a_forms_service_says_so(tmp_path: Any) -> None:
    world = World(tmp_path, with_forms=False)
    await world.start()
    try:
        await world.deploy(leave__bpmn=KEYED, leave__form=form())
        instance = await world.run(form={"reason": "sun"}, outcome="approve")
        task = await world.task(instance.id)

        assert (await world.values(instance.id))["reason"] == ("string", "sun")
        shown = world.form_data.GetTaskForm(pb.GetTaskFormRequest(task_id=task.id))
        assert (await refused(shown)).reason == "forms-not-configured"
        assert (await refused(world.complete(task.id, "f", {}))).reason == "forms-not-configured"
    finally:
        await world.stop()
