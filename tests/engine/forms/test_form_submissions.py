"""A submission and the completion of its task are one, whatever fails between them."""

import asyncio
import contextlib
from typing import Any

import pytest
from flowloom.engine.v1 import form_data_service_pb2 as pb
from flowloom.engine.v1 import saga_service_pb2, task_service_pb2
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
    world.between.before["PrepareSubmission"] = AWAY

    assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}))).status is Status.UNAVAILABLE

    assert (await world.task(instance_id)).id == task_id


async def test_a_completion_counts_though_its_confirmation_is_lost_and_is_settled_later(world: World) -> None:
    _, task_id, form_id = await ready(world)
    world.between.before["ConfirmSubmission"] = AWAY

    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")

    assert (await world.task()).task_definition_key == "after"
    assert await world.submissions() == []
    world.between.before.clear()
    assert await settle(world) == 1
    assert [each["taskId"] for each in await world.submissions()] == [task_id]
    assert await settle(world) == 0


async def test_a_lost_discard_is_settled_later(world: World) -> None:
    _, task_id, form_id = await ready(world)
    await world.tasks.DelegateTask(task_service_pb2.DelegateTaskRequest(task_id=task_id, assignee="bob"))
    world.between.before["DiscardSubmission"] = AWAY

    assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}))).reason == "task-delegated"

    world.between.before.clear()
    assert len(await world.submissions(state="prepared")) == 1
    assert await settle(world) == 1
    assert await world.submissions(state="prepared") == []
    assert len(await world.submissions(state="discarded")) == 1


async def test_an_answer_that_was_lost_is_given_to_the_next_try(world: World) -> None:
    _, task_id, form_id = await ready(world)
    world.between.after["PrepareSubmission"] = AWAY
    assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1"))).status is (
        Status.UNAVAILABLE
    )
    world.between.after.clear()

    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")

    assert [each["values"] for each in await world.submissions()] == [{"reason": "sun"}]
    assert await world.submissions(state="prepared") == []


@pytest.mark.parametrize("method", ["PrepareSubmission", "ConfirmSubmission"])
async def test_an_engine_that_dies_between_the_steps_leaves_nothing_unsettled(world: World, method: str) -> None:
    """A call that is cancelled does what a process that dies does: nothing more."""
    _, task_id, form_id = await ready(world)
    world.between.after[method] = asyncio.CancelledError()

    # Behind the commit only the saga is left, and the caller has its answer.
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await world.complete(task_id, form_id, {"reason": "sun"})

    world.between.after.clear()
    await settle(world)
    completed = (await world.task()).task_definition_key == "after"
    assert completed == (method == "ConfirmSubmission")
    assert len(await world.submissions()) == completed
    assert await world.submissions(state="prepared") == []


async def test_a_submission_that_was_settled_too_early_counts_in_the_end(world: World) -> None:
    """The reconciling job found no completion yet, and discarded; then the completion was committed."""
    _, task_id, form_id = await ready(world)
    world.between.before["ConfirmSubmission"] = AWAY
    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")
    world.between.before.clear()
    (waiting,) = await world.submissions(state="prepared")
    step = Step(waiting["sagaId"], waiting["stepId"])
    assert world.engine.forms is not None
    await world.engine.forms.discard(step)

    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")

    assert [each["taskId"] for each in await world.submissions()] == [task_id]


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


async def test_a_start_whose_confirmation_is_lost_is_settled_with_its_instance(world: World) -> None:
    await world.deploy(leave__bpmn=KEYED, leave__form=form())
    world.between.before["ConfirmSubmission"] = AWAY
    started = await world.run(form={"reason": "sun"})
    world.between.before.clear()

    assert await settle(world) == 1

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


# --- the log ----------------------------------------------------------------------------------------------------------


async def logged(world: World, saga_id: str) -> list[tuple[str, str]]:
    request = saga_service_pb2.ListSagaLogRequest(saga_id=saga_id, size=100)
    return [(line.step_id, line.state) for line in (await world.sagas.ListSagaLog(request)).data]


async def test_every_step_of_a_submission_is_in_the_log_of_its_saga(world: World) -> None:
    _, task_id, form_id = await ready(world)

    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")
    await world.complete(task_id, form_id, {"reason": "sun"}, request_id="r1")

    (kept,) = await world.submissions()
    (saga,) = (await world.sagas.ListSagas(saga_service_pb2.ListSagasRequest(task_id=task_id))).data
    assert (saga.id, saga.name, saga.state) == (kept["sagaId"], "form-submission", "COMPLETED")
    assert await logged(world, saga.id) == [
        ("prepare", "STARTED"),
        ("prepare", "COMPLETED"),
        ("submit", "STARTED"),
        ("submit", "COMPLETED"),
        ("confirm", "STARTED"),
        ("confirm", "COMPLETED"),
        ("", "COMPLETED"),
    ]


async def test_a_submission_that_the_engine_refuses_is_compensated(world: World) -> None:
    _, task_id, form_id = await ready(world)
    await world.tasks.DelegateTask(task_service_pb2.DelegateTaskRequest(task_id=task_id, assignee="bob"))

    assert (await refused(world.complete(task_id, form_id, {"reason": "sun"}))).reason == "task-delegated"

    (saga,) = (await world.sagas.ListSagas(saga_service_pb2.ListSagasRequest(task_id=task_id))).data
    assert (await logged(world, saga.id))[2:] == [
        ("submit", "STARTED"),
        ("submit", "FAILED"),
        ("prepare", "COMPENSATING"),
        ("prepare", "COMPENSATED"),
        ("", "COMPENSATED"),
    ]
    assert len(await world.submissions(state="discarded")) == 1
