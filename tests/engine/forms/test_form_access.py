"""What binds whoever asks binds them with forms too: their tenant, their tasks, what they may start."""

from flowloom.engine.v1 import form_data_service_pb2 as pb
from flowloom.engine.v1 import runtime_service_pb2

from mesh.errors import Status
from tests.engine.forms.worlds import World, process
from tests.forms.worlds import form, refused

KEYED = process(start="flowable:formKey='leave'", task="flowable:formKey='leave' flowable:assignee='ann'")
PEOPLE = "engine.task.read", "engine.task.complete", "engine.form-data.read"


async def test_the_form_of_a_task_is_for_those_whose_task_it_is(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    task_id, form_id = (await world.task((await world.run()).id)).id, await world.form_id()
    for user_id, tenant_id in (("eve", ""), ("ann", "acme")):
        world.be(user_id, *PEOPLE, tenant_id=tenant_id)
        assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}))).status is Status.NOT_FOUND
        shown = world.form_data.GetTaskForm(pb.GetTaskFormRequest(task_id=task_id))
        assert (await refused(shown)).status is Status.NOT_FOUND

    world.be("ann", *PEOPLE)
    await world.complete(task_id, form_id, {"reason": "sun"})

    historic = pb.GetHistoricTaskFormRequest(task_id=task_id)
    await world.form_data.GetHistoricTaskForm(historic)
    for user_id, tenant_id in (("eve", ""), ("ann", "acme")):
        world.be(user_id, *PEOPLE, tenant_id=tenant_id)
        assert (await refused(world.form_data.GetHistoricTaskForm(historic))).status is Status.NOT_FOUND


async def test_a_candidate_sees_the_form_and_only_who_has_the_task_submits_it(world: World) -> None:
    document = process(task="flowable:formKey='leave' flowable:candidateUsers='eve'")
    await world.deploy(leave__bpmn=document, leave__form=form())
    task_id, form_id = (await world.task((await world.run()).id)).id, await world.form_id()
    world.be("eve", *PEOPLE)

    assert (await world.form_of(task_id))["key"] == "leave"
    assert (await refused(world.complete(task_id, form_id, {"reason": "x"}))).reason == "task-of-others"

    world.be("root")
    assert (await world.task()).id == task_id
    await world.complete(task_id, form_id, {"reason": "x"})


async def test_a_start_form_is_bound_by_the_tenant_of_whoever_starts(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form(), tenant_id="acme")
    definition_id = (await world.run(form={"reason": "sun"}, tenant_id="acme")).process_definition_id
    world.be("eve", "engine.*", tenant_id="other")

    shown = pb.GetStartFormRequest(process_definition_id=definition_id)
    assert (await refused(world.form_data.GetStartForm(shown))).status is Status.NOT_FOUND
    asked = pb.GetFormDataRequest(process_definition_id=definition_id)
    assert (await refused(world.form_data.GetFormData(asked))).status is Status.NOT_FOUND
    start = runtime_service_pb2.StartProcessInstanceRequest(process_definition_id=definition_id, outcome="approve")
    assert (await refused(world.runtime.StartProcessInstance(start))).status is Status.NOT_FOUND


async def test_whoever_may_complete_a_task_needs_no_privilege_of_the_forms_service(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    task_id, form_id = (await world.task((await world.run()).id)).id, await world.form_id()
    world.be("ann", "engine.task.complete")

    await world.complete(task_id, form_id, {"reason": "sun"})

    world.be("root")
    assert [each["submittedBy"] for each in await world.submissions()] == ["ann"]
