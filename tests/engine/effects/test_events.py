"""The kernel's events as the bus carries them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from flowloom.events.v1 import events_pb2 as pb

from engine.effects.events import encode_events
from engine.kernel import events as ev
from engine.kernel.commands import CompleteTask
from engine.kernel.values import variables_of
from tests.engine.kernel.harness import MemoryEngine

AT = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
MODEL = """<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn"
  targetNamespace="t"><process id="p" isExecutable="true"><startEvent id="s"/><sequenceFlow id="f1" sourceRef="s"
  targetRef="t"/><userTask id="t" name="Work" flowable:assignee="kermit"/>
  <sequenceFlow id="f2" sourceRef="t" targetRef="e"/>
  <endEvent id="e"/></process></definitions>"""


def encoded(*events: ev.Event, **more: Any) -> pb.CommandEvents:
    return pb.CommandEvents.FromString(encode_events("root", "command", "acme", AT, events, **more))


def only(event: ev.Event) -> Any:
    found = encoded(event).events
    assert len(found) == 1
    return getattr(found[0], found[0].WhichOneof("kind"))


def test_the_envelope_tells_tree_command_tenant_and_time() -> None:
    envelope = encoded(sequence=7, user_id="kermit")

    assert (envelope.root_instance_id, envelope.command_id, envelope.tenant_id) == ("root", "command", "acme")
    assert envelope.occurred_at.ToDatetime(UTC) == AT
    assert (envelope.sequence, envelope.user_id) == (7, "kermit")


def test_the_engine_itself_is_nobody() -> None:
    assert not encoded().HasField("user_id")


def test_every_kind_of_event_is_taught() -> None:
    samples = {
        str: "x", int: 1, bool: True, datetime: AT, float: 1.0,
    }  # fmt: skip
    for kind in ev.Event.__subclasses__():
        given: dict[str, Any] = {}
        for field in msgspec.structs.fields(kind):
            if field.required:
                given[field.name] = samples.get(field.type, {})  # type: ignore[call-overload]
        if kind is ev.ProcessInstanceEnded:
            given["state"] = "completed"
        if kind is ev.JobScheduled:
            given["kind"] = "timer"

        assert encode_events("r", "c", "", AT, [kind(**given)])


def test_an_event_tells_its_own_time_only_if_it_differs() -> None:
    later = AT + timedelta(seconds=1)

    envelope = encoded(
        ev.ProcessInstanceSuspended(instance_id="i", at=AT), ev.ProcessInstanceActivated(instance_id="i", at=later)
    )

    assert not envelope.events[0].HasField("occurred_at")
    assert envelope.events[1].occurred_at.ToDatetime(UTC) == later


@pytest.mark.parametrize(
    ("kind", "value", "field", "expected"),
    [
        ("string", "ä", "string_value", "ä"),
        ("integer", -3, "long_value", -3),
        ("long", 2**62, "long_value", 2**62),
        ("long", 2**70, "json_value", str(2**70)),
        ("double", 2.5, "double_value", 2.5),
        ("boolean", False, "boolean_value", False),
        ("json", {"a": [1, None]}, "json_value", '{"a":[1,null]}'),
        ("binary", b"\x00\xff", "binary_value", b"\x00\xff"),
        ("null", None, None, None),
        ("string", None, None, None),
    ],
)
def test_a_variable_keeps_type_and_value(kind: str, value: Any, field: str | None, expected: Any) -> None:
    told = only(ev.VariableSet(instance_id="i", scope_id="i", name="v", type=kind, value=value, created=True, at=AT))

    assert (told.name, told.created, told.value.type) == ("v", True, kind)
    assert told.value.WhichOneof("value") == field
    assert field is None or getattr(told.value, field) == expected


def test_a_date_is_a_moment() -> None:
    told = only(ev.VariableSet(instance_id="i", scope_id="i", name="v", type="date", value=AT, created=True, at=AT))

    assert told.value.date_value.ToDatetime(UTC) == AT


def test_a_variable_tells_its_scope() -> None:
    told = only(ev.VariableRemoved(instance_id="i", scope_id="e", name="v", at=AT))

    assert (told.scope_kind, told.scope_id) == (pb.SCOPE_KIND_EXECUTION, "e")


def test_an_update_of_a_task_names_its_fields_in_the_words_of_the_contract() -> None:
    envelope = encoded(
        ev.TaskUpdated(
            instance_id="i",
            task_id="t",
            execution_id="e",
            at=AT,
            changes={"due_at": AT, "owner": "", "delegation": "pending", "claimed_at": None, "suspended": True},
        )
    )
    told = envelope.events[0].task_updated

    assert list(told.changed_fields) == ["due_date", "owner", "delegation_state", "claim_time"]
    assert told.due_date.ToDatetime(UTC) == AT
    assert (told.HasField("owner"), told.delegation_state, told.HasField("claim_time")) == (False, "pending", False)


def test_a_change_that_histories_do_not_show_is_not_told() -> None:
    change = ev.TaskUpdated(instance_id="i", task_id="t", execution_id="e", at=AT, changes={"suspended": True})

    assert len(encoded(change).events) == 0


def test_a_new_assignee_is_told_of_the_element_too() -> None:
    envelope = encoded(ev.TaskUpdated(instance_id="i", task_id="t", execution_id="e", at=AT, changes={"assignee": ""}))

    assert envelope.events[1].element_updated.execution_id == "e"
    assert envelope.events[1].element_updated.assignee == ""
    assert envelope.events[1].element_updated.HasField("assignee")


def test_a_failed_attempt_is_told_and_a_lease_is_not() -> None:
    failed = ev.JobChanged(
        instance_id="i", job_id="j", execution_id="e", at=AT, changes={"error": "no", "retries": 2, "due_at": AT}
    )
    parked = ev.JobChanged(instance_id="i", job_id="j", execution_id="e", at=AT, changes={"kind": "async"})

    envelope = encoded(parked, failed)

    assert [event.WhichOneof("kind") for event in envelope.events] == ["job_failed"]
    assert (envelope.events[0].job_failed.retries, envelope.events[0].job_failed.error_message) == (2, "no")


def test_frames_of_multi_instance_activities_are_left_out() -> None:
    body = ev.ElementStarted(
        instance_id="i", execution_id="b", parent_id="i", element_id="m", element_type="userTask", at=AT, body=True
    )
    turn = ev.ElementStarted(
        instance_id="i", execution_id="t", parent_id="b", element_id="m", element_type="userTask", at=AT, loop_counter=0
    )

    envelope = encoded(body, ev.LoopStarted(instance_id="i", execution_id="b", total=1), turn)

    assert [event.element_started.execution_id for event in envelope.events] == ["t"]
    assert envelope.events[0].element_started.HasField("loop_counter")


def test_passages_and_incidents_are_named_by_their_event() -> None:
    envelope = encoded(
        ev.FlowTaken(instance_id="i", flow_id="f", at=AT),
        ev.IncidentRaised(instance_id="i", execution_id="e", element_id="x", kind="job-dead", message="m", at=AT),
    )

    assert envelope.events[0].flow_taken.execution_id == "command/0"
    assert envelope.events[1].incident_raised.incident_id == "command/1"


def test_a_migration_tells_which_elements_have_another_id() -> None:
    told = only(
        ev.ProcessInstanceMigrated(
            instance_id="i", definition_id="d", definition_key="k", definition_name="", definition_version=2, at=AT,
            elements={"a": "b"},
        )
    )  # fmt: skip

    assert dict(told.element_ids) == {"a": "b"}


def test_a_real_run_from_start_to_end_is_told_in_order() -> None:
    engine = MemoryEngine()
    engine.deploy(MODEL)
    tree = engine.start("p", {"a": 1})
    task_id = engine.task(tree, "Work")
    started = list(engine.history[tree.root_id])
    completed = engine.run(
        tree.root_id, CompleteTask(task_id=task_id, user_id="kermit", variables=variables_of({"a": 2}))
    )

    first, second = encoded(*started), encoded(*completed)

    kinds = [event.WhichOneof("kind") for event in first.events]
    assert kinds[0] == "process_instance_started"
    assert kinds[-1] in ("task_created", "identity_link_added")
    element = next(e.element_started for e in first.events if e.element_started.element_id == "t")
    assert (element.task_id, element.assignee) == (task_id, "kermit")
    ended = second.events[-1].process_instance_ended
    assert (ended.state, ended.end_activity_id) == (pb.END_STATE_COMPLETED, "e")
    assert next(e.task_ended for e in second.events if e.HasField("task_ended")).completed_by == "kermit"
