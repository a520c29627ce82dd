"""Submissions: the barrier of a saga's step, what is kept, and who sees it."""

import asyncio
from datetime import timedelta

import pytest
from flowloom.forms.v1 import form_pb2
from flowloom.forms.v1 import form_service_pb2 as pb

from forms.model.limits import FormLimits
from mesh.errors import DomainError, Status
from tests.forms.worlds import World, form, plain, refused, struct, variables, violations


def confirm(saga: str = "saga", **more: str) -> pb.ConfirmSubmissionRequest:
    return pb.ConfirmSubmissionRequest(saga_id=saga, step_id="submission", **more)


def discard(saga: str = "saga") -> pb.DiscardSubmissionRequest:
    return pb.DiscardSubmissionRequest(saga_id=saga, step_id="submission")


async def test_a_submission_is_checked_converted_and_kept_once_it_is_confirmed(world: World) -> None:
    await world.deploy(form())

    prepared = await world.prepare({"reason": "sun", "days": "5"}, outcome="approve", task_id="t1", user_id="ann")

    assert variables(prepared) == {
        "reason": ("string", "sun"),
        "days": ("integer", 5.0),
        "form_leave_outcome": ("string", "approve"),
    }
    assert prepared.form_instance.state == "prepared"
    assert await world.instances(task_id="t1") == []
    world.clock.advance(timedelta(seconds=5))

    await world.forms.ConfirmSubmission(confirm(process_instance_id="p1"))

    (kept,) = await world.instances(task_id="t1")
    assert plain(kept.values) == {"reason": "sun", "days": 5.0}
    assert (kept.outcome, kept.submitted_by, kept.process_instance_id) == ("approve", "ann", "p1")
    assert kept.submitted_date.ToDatetime() > prepared.form_instance.submitted_date.ToDatetime()
    got = await world.forms.GetFormInstance(pb.GetFormInstanceRequest(form_instance_id=kept.id))
    assert got == kept


async def test_every_fault_of_a_submission_is_told_by_the_id_of_its_field(world: World) -> None:
    await world.deploy(form())

    refusal = await refused(world.prepare({"days": 31, "color": "red"}, outcome="perhaps"))

    assert (refusal.status, refusal.reason) == (Status.INVALID_ARGUMENT, "form-invalid")
    assert set(violations(refusal)) == {"fields.reason", "fields.days", "fields.color", "outcome"}
    assert "fields.days: expected at most 30, found 31" in refusal.message
    assert await world.instances(state="prepared") == []


async def test_repeating_each_step_changes_nothing(world: World) -> None:
    await world.deploy(form())
    first = await world.prepare({"reason": "sun"})

    assert await world.prepare({"reason": "rain"}) == first
    confirmed = await world.forms.ConfirmSubmission(confirm())
    assert await world.forms.ConfirmSubmission(confirm()) == confirmed
    late = await world.prepare({"reason": "rain"})
    assert variables(late) == variables(first)
    assert len(await world.instances()) == 1


async def test_the_same_step_prepared_at_once_is_kept_once(world: World) -> None:
    await world.deploy(form())

    found = await asyncio.gather(*(world.prepare({"reason": f"r{n}"}) for n in range(6)))

    assert len({each.form_instance.id for each in found}) == 1
    assert len({str(variables(each)) for each in found}) == 1


async def test_a_discard_that_comes_first_refuses_the_prepare_behind_it(world: World) -> None:
    await world.deploy(form())
    await world.forms.DiscardSubmission(discard())
    await world.forms.DiscardSubmission(discard())

    assert (await refused(world.prepare({"reason": "sun"}))).reason == "submission-discarded"
    assert (await refused(world.forms.ConfirmSubmission(confirm()))).status is Status.NOT_FOUND
    assert await world.instances() == []


async def test_a_discarded_submission_is_none_and_a_confirmed_one_stays(world: World) -> None:
    await world.deploy(form())
    await world.prepare({"reason": "sun"})
    await world.forms.DiscardSubmission(discard())
    assert await world.instances() == []
    assert (await refused(world.prepare({"reason": "sun"}))).reason == "submission-discarded"

    # The engine had committed after all.
    await world.forms.ConfirmSubmission(confirm())

    assert [plain(each.values) for each in await world.instances()] == [{"reason": "sun"}]
    assert (await refused(world.forms.DiscardSubmission(discard()))).reason == "submission-confirmed"


async def test_nothing_is_confirmed_that_was_not_prepared(world: World) -> None:
    assert (await refused(world.forms.ConfirmSubmission(confirm()))).reason == "submission-not-found"


async def test_expressions_are_what_the_engine_says_of_them(world: World) -> None:
    await world.deploy(form(fields=[{"id": "why", "type": "text", "required": "${days > 5}"}]))
    states = [form_pb2.FieldState(id="why", required=True)]

    assert set(violations(await refused(world.prepare({}, field_states=states)))) == {"fields.why"}
    await world.prepare({})


async def test_a_password_is_given_to_the_process_and_never_kept(world: World) -> None:
    await world.deploy(form(fields=[{"id": "pin", "type": "password"}]))

    prepared = await world.prepare({"pin": "1234"})
    await world.forms.ConfirmSubmission(confirm())

    assert variables(prepared) == {"pin": ("string", "1234")}
    (kept,) = await world.instances()
    assert plain(kept.values) == {}
    assert variables(await world.prepare({})) == {}


async def test_a_submission_of_its_own_belongs_to_nothing(world: World) -> None:
    await world.deploy(form())
    request = pb.CreateFormInstanceRequest(form_key="leave", values=struct({"reason": "x"}), request_id="r1")

    made = await world.forms.CreateFormInstance(request)

    assert await world.forms.CreateFormInstance(request) == made
    assert [each.id for each in await world.instances()] == [made.id]
    bad = pb.CreateFormInstanceRequest(form_key="leave", values=struct({}))
    assert set(violations(await refused(world.forms.CreateFormInstance(bad)))) == {"fields.reason"}


async def test_validation_keeps_nothing(world: World) -> None:
    await world.deploy(form())
    request = pb.ValidateSubmissionRequest(form_key="leave", values=struct({"reason": "x", "days": 2}))

    assert variables(await world.forms.ValidateSubmission(request))["days"] == ("integer", 2.0)
    assert await world.instances(state="prepared") == []


async def test_submissions_are_listed_by_what_they_belong_to(world: World) -> None:
    await world.deploy(form())
    for number in range(3):
        more = {"task_id": f"t{number}", "process_instance_id": "p1", "process_definition_id": "d1"}
        await world.prepare({"reason": f"r{number}"}, saga=f"s{number}", user_id=f"u{number}", **more)
        await world.forms.ConfirmSubmission(confirm(f"s{number}"))
        world.clock.advance(timedelta(minutes=1))

    async def reasons(**filters: object) -> list[str]:
        return [plain(each.values)["reason"] for each in await world.instances(sort="submittedDate", **filters)]

    assert await reasons(process_instance_id="p1") == ["r0", "r1", "r2"]
    assert await reasons(process_definition_id="d1", order="desc") == ["r2", "r1", "r0"]
    assert await reasons(task_id="t1") == ["r1"]
    assert await reasons(submitted_by="u2") == ["r2"]
    assert await reasons(form_key="leave", size=1, start=1) == ["r1"]
    first = await world.forms.ListFormInstances(pb.ListFormInstancesRequest(form_key="leave", size=2))
    token = first.next_page_token
    rest = await world.forms.ListFormInstances(pb.ListFormInstancesRequest(form_key="leave", size=2, page_token=token))
    assert (first.total, len(rest.data), rest.HasField("total")) == (3, 1, False)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"saga": ""}, "no-saga-step"),
        ({"saga": "s" * 129}, "no-saga-step"),
        ({"form_definition_id": "x"}, "no-form"),
        ({"form_key": "", "form_definition_id": "nowhere"}, "form-definition-not-found"),
        ({"form_key": "nowhere"}, "form-not-found"),
        ({"task_id": "t" * 65}, "text-too-long"),
        ({"values": {"reason": "x" * 5000}}, "submission-too-large"),
    ],
)
async def test_bad_submissions_are_refused(tmp_path: object, more: dict[str, object], reason: str) -> None:
    world = World(f"sqlite:///{tmp_path}/forms.db", limits=FormLimits(submitted_bytes=4000))
    await world.start()
    try:
        await world.deploy(form())
        given: dict[str, object] = {"values": {"reason": "x"}, **more}
        assert (await refused(world.prepare(**given))).reason == reason  # type: ignore[arg-type]
    finally:
        await world.stop()


async def test_what_nobody_can_repeat_any_more_is_taken_away(world: World) -> None:
    await world.deploy(form(), request_id="r1")
    await world.prepare({"reason": "a"}, saga="kept")
    await world.forms.ConfirmSubmission(confirm("kept"))
    await world.prepare({"reason": "b"}, saga="gone")
    await world.forms.DiscardSubmission(discard("gone"))
    assert await world.service.pruning.look() == 0
    world.clock.advance(timedelta(days=2))

    taken = await world.service.pruning.look()

    assert taken == 2
    assert await world.instances(state="discarded") == []
    assert len(await world.instances()) == 1


def test_a_refusal_names_only_so_many_faults() -> None:
    from forms.model.faults import Fault, refuse

    refusal: DomainError = refuse("form-invalid", "expected", [Fault(f"fields.{n}", "x") for n in range(500)])

    assert len(refusal.violations) == 100
    assert "500 faults" in refusal.message
    assert len(refusal.message) < 2000
