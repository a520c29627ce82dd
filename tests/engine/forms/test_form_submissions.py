"""A submission and the completion of its task are one, whatever fails between them."""

import asyncio
from typing import Any

import pytest
from flowloom.engine.v1 import form_data_service_pb2 as pb
from flowloom.engine.v1 import runtime_service_pb2, task_service_pb2
from google.protobuf.json_format import MessageToDict

from engine.app.forms import Step
from mesh.errors import Status, Unavailable
from tests.engine.forms.worlds import World, process
from tests.forms.worlds import form, refused, violations

KEYED = process(start="flowable:formKey='leave'", task="flowable:formKey='leave' flowable:assignee='ann'")
AWAY = Unavailable("away", "expected forms to answer, found it does not")


async def ready(world: World, model: Any = None, **more: Any) -> tuple[str, str, str]:
    """An instance at its task: the instance's id, the task's and the form's."""
    await world.deploy(leave__bpmn=KEYED, leave__form=form() if model is None else model)
    instance = await world.run(**more)
    return instance.id, (await world.task(instance.id)).id, await world.form_id()


async def settle(world: World) -> int:
    settling = world.engine.settling
    assert settling is not None
    world.later(400)
    return await settling.look()


async def test_a_task_is_completed_with_a_form(world: World) -> None:
    instance_id, task_id, form_id = await ready(world)

    await world.complete(task_id, form_id, {"reason": "sun", "days": "5"}, outcome="approve")

    assert await world.values(instance_id) == {
        "reason": ("string", "sun"),
        "days": ("integer", 5.0),
        "form_leave_outcome": ("string", "approve"),
    }
    assert (await world.task(instance_id)).task_definition_key == "after"
    (kept,) = await world.submissions(task_id=task_id)
    assert kept["values"] == {"reason": "sun", "days": 5.0}
    assert (kept["processInstanceId"], kept["submittedBy"], kept["outcome"]) == (instance_id, "ann", "approve")
    found = MessageToDict(await world.form_data.GetHistoricTaskForm(pb.GetHistoricTaskFormRequest(task_id=task_id)))
    assert [each.get("value") for each in found["fields"]] == ["sun", 5.0]
    assert (found["selectedOutcome"], found["submittedBy"]) == ("approve", "ann")


async def test_a_wrong_submission_completes_nothing_and_tells_every_fault(world: World) -> None:
    instance_id, task_id, form_id = await ready(world)

    refusal = await refused(world.complete(task_id, form_id, {"days": 90, "color": "red"}, outcome="maybe"))

    assert (refusal.status, refusal.reason) == (Status.INVALID_ARGUMENT, "form-invalid")
    assert set(violations(refusal)) == {"fields.reason", "fields.days", "fields.color", "outcome"}
    assert (await world.task(instance_id)).id == task_id
    assert await world.submissions(state="prepared") == []


async def test_conditions_see_what_is_submitted(world: World) -> None:
    model = form(
        fields=[
            {"id": "days", "type": "integer"},
            {"id": "why", "type": "text", "required": "${days > limit}"},
        ]
    )
    instance_id, task_id, form_id = await ready(world, model, variables={"limit": 5})

    assert set(violations(await refused(world.complete(task_id, form_id, {"days": 6})))) == {"fields.why"}
    await world.complete(task_id, form_id, {"days": 5})

    assert (await world.values(instance_id))["days"] == ("integer", 5.0)


async def test_a_whole_form_may_be_sent_back_and_nothing_read_only_changed(world: World) -> None:
    model = form(
        fields=[
            {"id": "amount", "type": "integer", "readOnly": True},
            {"id": "twice", "type": "expression", "expression": "${amount * 2}"},
            {"id": "note", "type": "text"},
        ]
    )
    instance_id, task_id, form_id = await ready(world, model, variables={"amount": 4})
    shown = {each["id"]: each["value"] for each in (await world.form_of(task_id))["fields"]}

    assert set(violations(await refused(world.complete(task_id, form_id, {**shown, "amount": 5})))) == {"fields.amount"}
    await world.complete(task_id, form_id, {**shown, "note": "x"})

    assert (await world.values(instance_id))["amount"] == ("integer", 4.0)


async def test_a_repeated_request_submits_once(world: World) -> None:
    instance_id, task_id, form_id = await ready(world)

    for _ in range(2):
        await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")

    assert (await world.task(instance_id)).task_definition_key == "after"
    assert len(await world.submissions(task_id=task_id)) == 1


async def test_the_same_request_at_once_submits_once(world: World) -> None:
    _, task_id, form_id = await ready(world)

    await asyncio.gather(*(world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1") for _ in range(4)))

    assert len(await world.submissions(task_id=task_id)) == 1


async def test_of_two_who_submit_one_task_one_is_refused_and_leaves_nothing(world: World) -> None:
    _, task_id, form_id = await ready(world)

    outcomes = await asyncio.gather(
        *(world.complete(task_id, form_id, {"reason": f"r{n}"}) for n in range(4)), return_exceptions=True
    )

    assert sum(outcome is None for outcome in outcomes) == 1
    assert len(await world.submissions(task_id=task_id)) == 1
    assert await world.submissions(state="prepared") == []


async def test_a_refused_completion_discards_its_submission_and_can_be_tried_again(world: World) -> None:
    instance_id, task_id, form_id = await ready(world)
    await world.tasks.DelegateTask(task_service_pb2.DelegateTaskRequest(task_id=task_id, assignee="bob"))

    refusal = await refused(world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1"))

    assert refusal.reason == "task-delegated"
    assert (await world.submissions(), await world.submissions(state="prepared")) == ([], [])
    await world.tasks.ResolveTask(task_service_pb2.ResolveTaskRequest(task_id=task_id))
    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")
    assert len(await world.submissions(task_id=task_id)) == 1
    # And once more, now that the task is gone.
    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")
    assert len(await world.submissions(task_id=task_id)) == 1
    assert (await world.task(instance_id)).task_definition_key == "after"


async def test_nothing_is_completed_while_forms_is_away(world: World) -> None:
    instance_id, task_id, form_id = await ready(world)
    world.between.away = AWAY

    assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}))).status is Status.UNAVAILABLE

    assert (await world.task(instance_id)).id == task_id
    assert await world.sagas() == []


async def test_a_submission_that_is_wrong_begins_no_saga(world: World) -> None:
    _, task_id, form_id = await ready(world)

    assert (await refused(world.complete(task_id, form_id, {}))).reason == "form-invalid"

    assert await world.sagas() == []


async def test_a_completion_counts_though_its_confirmation_is_lost_and_is_confirmed_later(world: World) -> None:
    _, task_id, form_id = await ready(world)
    world.between.before["ConfirmSubmission"] = AWAY

    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")

    assert (await world.task()).task_definition_key == "after"
    assert await world.submissions() == []
    world.between.before.clear()
    await world.until(world.submissions)
    assert [each["taskId"] for each in await world.submissions()] == [task_id]

    async def are_over() -> bool:
        return await world.sagas() == ["COMPLETED"]

    await world.until(are_over)


async def test_a_lost_discard_is_tried_again(world: World) -> None:
    _, task_id, form_id = await ready(world)
    await world.tasks.DelegateTask(task_service_pb2.DelegateTaskRequest(task_id=task_id, assignee="bob"))
    world.between.after["DiscardSubmission"] = AWAY

    completing = asyncio.ensure_future(refused(world.complete(task_id, form_id, {"reason": "sun"})))

    async def is_told() -> bool:
        return completing.done()

    await world.until(is_told)
    assert completing.result().reason == "task-delegated"
    assert await world.submissions(state="prepared") == []
    assert await world.sagas() == ["COMPENSATED"]


async def test_a_discard_that_forms_never_took_is_settled_later(world: World) -> None:
    _, task_id, form_id = await ready(world)
    await world.tasks.DelegateTask(task_service_pb2.DelegateTaskRequest(task_id=task_id, assignee="bob"))
    world.between.before["DiscardSubmission"] = AWAY
    completing = asyncio.ensure_future(refused(world.complete(task_id, form_id, {"reason": "sun"})))

    async def is_told() -> bool:
        return completing.done()

    await world.until(is_told)
    assert await world.sagas() == ["FAILED"]
    world.between.before.clear()
    assert len(await world.submissions(state="prepared")) == 1
    assert await settle(world) == 1
    assert len(await world.submissions(state="discarded")) == 1


async def test_an_answer_that_was_lost_is_asked_for_again(world: World) -> None:
    _, task_id, form_id = await ready(world)
    world.between.after["PrepareSubmission"] = AWAY
    completing = asyncio.ensure_future(world.complete(task_id, form_id, {"reason": "sun"}))

    async def is_done() -> bool:
        return completing.done()

    await world.until(is_done)
    await completing

    assert world.between.asked.count("PrepareSubmission") == 2
    assert [each["values"] for each in await world.submissions()] == [{"reason": "sun"}]
    assert await world.submissions(state="prepared") == []


@pytest.mark.parametrize("method", ["PrepareSubmission", "ConfirmSubmission"])
async def test_a_saga_that_is_left_in_the_midst_of_a_step_goes_on_from_its_log(world: World, method: str) -> None:
    """A step that is cancelled does what a process that dies does: nothing more, until the lease ends."""
    _, task_id, form_id = await ready(world)
    world.between.after[method] = asyncio.CancelledError()
    completing = asyncio.ensure_future(world.complete(task_id, form_id, {"reason": "sun"}))

    async def is_over() -> bool:
        return await world.sagas() == ["COMPLETED"]

    await world.until(is_over)
    await asyncio.wait((completing,))
    assert (await world.task()).task_definition_key == "after"
    assert [each["values"] for each in await world.submissions()] == [{"reason": "sun"}]
    assert await world.submissions(state="prepared") == []


async def test_a_saga_that_is_under_way_is_not_settled_by_anybody_else(world: World) -> None:
    _, task_id, form_id = await ready(world)
    world.between.before["ConfirmSubmission"] = AWAY
    await world.complete(task_id, form_id, {"reason": "sun"})
    settling = world.engine.settling
    assert settling is not None
    (waiting,) = await world.submissions(state="prepared")
    world.between.before.clear()

    await world.engine.submissions.settle(Step("unknown", "prepare"), "")
    await world.engine.submissions.settle(Step(waiting["sagaId"], waiting["stepId"]), task_id)

    assert len(await world.submissions(state="prepared")) == 1
    await world.until(world.submissions)


async def test_rights_bind_a_submission_as_they_bind_a_completion(world: World) -> None:
    _, task_id, form_id = await ready(world)
    everything = "engine.task.read", "engine.task.complete", "engine.form-data.read"
    for user_id, tenant_id in (("eve", ""), ("ann", "acme")):
        world.be(user_id, *everything, tenant_id=tenant_id)
        assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}))).status is Status.NOT_FOUND
        assert (await refused(world.form_data.GetTaskForm(pb.GetTaskFormRequest(task_id=task_id)))).status is (
            Status.NOT_FOUND
        )

    world.be("ann", *everything)
    await world.complete(task_id, form_id, {"reason": "sun"})

    historic = pb.GetHistoricTaskFormRequest(task_id=task_id)
    await world.form_data.GetHistoricTaskForm(historic)
    for user_id, tenant_id in (("eve", ""), ("ann", "acme")):
        world.be(user_id, *everything, tenant_id=tenant_id)
        assert (await refused(world.form_data.GetHistoricTaskForm(historic))).status is Status.NOT_FOUND


async def test_a_candidate_sees_the_form_and_only_who_has_the_task_submits_it(world: World) -> None:
    document = process(task="flowable:formKey='leave' flowable:candidateUsers='eve'")
    await world.deploy(leave__bpmn=document, leave__form=form())
    task_id, form_id = (await world.task((await world.run()).id)).id, await world.form_id()
    world.be("eve", "engine.task.read", "engine.task.complete")

    assert (await world.form_of(task_id))["key"] == "leave"
    assert (await refused(world.complete(task_id, form_id, {"reason": "x"}))).reason == "task-of-others"

    world.be("root")
    assert await world.submissions(state="prepared") == []
    assert (await world.task()).id == task_id


async def test_a_start_form_is_bound_by_the_tenant_of_whoever_starts(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form(), tenant_id="acme")
    started = await world.run(form={"reason": "sun"}, tenant_id="acme")
    definition_id = started.process_definition_id
    world.be("eve", "engine.*", tenant_id="other")

    request = pb.GetStartFormRequest(process_definition_id=definition_id)
    assert (await refused(world.form_data.GetStartForm(request))).status is Status.NOT_FOUND
    asked = pb.GetFormDataRequest(process_definition_id=definition_id)
    assert (await refused(world.form_data.GetFormData(asked))).status is Status.NOT_FOUND
    starting = world.runtime.StartProcessInstance(
        runtime_service_pb2.StartProcessInstanceRequest(process_definition_id=definition_id, outcome="approve")
    )
    assert (await refused(starting)).status is Status.NOT_FOUND


async def test_a_standalone_tasks_submission_that_was_not_confirmed_is_settled_later(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    made = await world.tasks.CreateTask(task_service_pb2.CreateTaskRequest(name="alone", form_key="leave"))
    form_id = await world.form_id()
    world.between.before["ConfirmSubmission"] = AWAY
    await world.complete(made.id, form_id, {"reason": "sun"}, request_id="r1")
    assert await world.submissions() == []
    world.between.before.clear()

    assert await settle(world) == 1

    assert [each["taskId"] for each in await world.submissions()] == [made.id]
    assert await settle(world) == 0


async def test_a_standalone_task_is_completed_with_a_form_too(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    made = await world.tasks.CreateTask(task_service_pb2.CreateTaskRequest(name="alone", form_key="leave"))
    form_id = await world.form_id()

    assert (await world.form_of(made.id))["key"] == "leave"
    await world.complete(made.id, form_id, {"reason": "sun"}, request_id="r1")
    await world.complete(made.id, form_id, {"reason": "sun"}, request_id="r1")

    assert [each["taskId"] for each in await world.submissions()] == [made.id]
    assert await world.open_tasks() == 0


# --- start forms ------------------------------------------------------------------------------------------------------


async def test_an_instance_is_started_with_its_start_form(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())

    started = await world.run(form={"reason": "sun", "days": "3"}, outcome="approve", variables={"extra": 1})

    assert await world.values(started.id) == {
        "reason": ("string", "sun"),
        "days": ("integer", 3.0),
        "extra": ("integer", 1.0),
        "form_leave_outcome": ("string", "approve"),
    }
    (kept,) = await world.submissions(process_instance_id=started.id)
    assert (kept["values"], kept["processDefinitionId"]) == (
        {"reason": "sun", "days": 3.0},
        started.process_definition_id,
    )


async def test_a_wrong_start_form_starts_nothing(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())

    refusal = await refused(world.run(form={"days": 99}))

    assert set(violations(refusal)) == {"fields.reason", "fields.days"}
    assert await world.open_tasks() == 0


async def test_a_repeated_start_starts_once(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())

    first = await world.run(form={"reason": "sun"}, request_id="r1")
    again = await world.run(form={"reason": "sun"}, request_id="r1")

    assert again.id == first.id
    assert await world.open_tasks() == 1
    assert len(await world.submissions()) == 1


async def test_a_start_whose_confirmation_is_lost_is_confirmed_with_its_instance(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    world.between.before["ConfirmSubmission"] = AWAY
    started = await world.run(form={"reason": "sun"})
    world.between.before.clear()

    await world.until(world.submissions)

    assert [each["processInstanceId"] for each in await world.submissions()] == [started.id]


async def test_a_start_form_that_nobody_knows_is_variables(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED)

    started = await world.run(form={"anything": "goes"}, outcome="ok")

    assert await world.values(started.id) == {"anything": ("string", "goes"), "outcome": ("string", "ok")}


async def test_an_unknown_form_or_task_is_not_found(world: World) -> None:
    _, task_id, form_id = await ready(world)

    assert (await refused(world.complete(task_id, "nowhere", {}))).reason == "form-definition-not-found"
    assert (await refused(world.complete("nowhere", form_id, {}, request_id="r"))).status is Status.NOT_FOUND
    unknown = pb.GetHistoricTaskFormRequest(task_id=task_id)
    assert (await refused(world.form_data.GetHistoricTaskForm(unknown))).reason == "submission-not-found"
