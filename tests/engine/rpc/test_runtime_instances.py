"""Process instances over RuntimeService."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flowloom.engine.v1 import process_instance_pb2, variable_pb2
from flowloom.engine.v1 import runtime_service_pb2 as pb
from flowloom.engine.v1 import task_service_pb2 as ts
from google.protobuf import json_format

from tests.engine.rpc.world import (
    ONE_TASK,
    RECEIVE,
    START,
    STRAIGHT,
    TWO_TASKS,
    Mesh,
    bpmn,
    refusing,
    sequence,
    variable,
    variables,
)


async def test_a_start_answers_the_instance_that_waits(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    found = await mesh.runtime.StartProcessInstance(
        pb.StartProcessInstanceRequest(process_definition_key="one", business_key="b", name="n"),
        metadata=(("x-user", "kermit"),),
    )

    assert json_format.MessageToDict(found, preserving_proto_field_name=True) == {
        "id": found.id,
        "root_process_instance_id": found.id,
        "name": "n",
        "business_key": "b",
        "process_definition_id": found.process_definition_id,
        "process_definition_key": "one",
        "process_definition_version": 1,
        "process_definition_name": "The one",
        "activity_id": "e1",
        "start_user_id": "kermit",
        "start_time": "2026-05-04T12:00:00Z",
        "state": "active",
    }


async def test_the_answer_to_a_start_is_what_a_look_at_the_instance_finds(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    started = await mesh.runtime.StartProcessInstance(
        pb.StartProcessInstanceRequest(
            process_definition_key="one", variables=variables(a=1), return_variables=True, start_user_id="gonzo"
        )
    )

    request = pb.GetProcessInstanceRequest(process_instance_id=started.id, include_process_variables=True)
    assert await mesh.runtime.GetProcessInstance(request) == started


async def test_an_instance_that_ends_in_its_start_says_so(mesh: Mesh) -> None:
    await mesh.deploy(STRAIGHT)

    found = await mesh.runtime.StartProcessInstance(
        pb.StartProcessInstanceRequest(
            process_definition_key="straight", variables=variables(a=1), return_variables=True
        )
    )

    assert (found.ended, found.completed, found.state) == (True, True, "completed")
    assert [(v.name, v.value.number_value) for v in found.variables] == [("a", 1)]


async def test_a_repeated_start_gets_the_first_answer_and_starts_nothing(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    request = pb.StartProcessInstanceRequest(process_definition_key="one", request_id="r")

    first = await mesh.runtime.StartProcessInstance(request)
    second = await mesh.runtime.StartProcessInstance(request)

    assert second == first
    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest())).total == 1


async def test_a_repeated_start_of_an_instance_that_has_ended_says_so_again(mesh: Mesh) -> None:
    await mesh.deploy(STRAIGHT)
    request = pb.StartProcessInstanceRequest(process_definition_key="straight", request_id="r")

    first = await mesh.runtime.StartProcessInstance(request)
    second = await mesh.runtime.StartProcessInstance(request)

    assert (second.id, second.ended, second.completed) == (first.id, True, True)


async def test_a_start_may_name_a_version(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK, ONE_TASK.replace("Approve", "Decide"))

    instance_id = await mesh.start("one", version=1)

    assert await mesh.task_names(instance_id) == ["Approve"]


async def test_a_start_with_a_business_status_keeps_it(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    instance_id = await mesh.start("one", business_status="late")

    found = await mesh.runtime.GetProcessInstance(pb.GetProcessInstanceRequest(process_instance_id=instance_id))
    assert found.business_status == "late"


async def test_a_start_of_an_unknown_key_is_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND", "process-definition-not-found"):
        await mesh.start("nothing")


async def test_a_start_by_key_and_message_is_refused(mesh: Mesh) -> None:
    with refusing("INVALID_ARGUMENT", "start-target"):
        await mesh.start("one", message="m")


async def test_a_start_by_id_in_another_tenant_is_refused(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    asked = pb.GetProcessInstanceRequest(process_instance_id=await mesh.start("one"))
    definition_id = (await mesh.runtime.GetProcessInstance(asked)).process_definition_id

    with refusing("INVALID_ARGUMENT", "wrong-tenant"):
        await mesh.runtime.StartProcessInstance(
            pb.StartProcessInstanceRequest(process_definition_id=definition_id, tenant_id="acme")
        )
    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest())).total == 1


async def test_a_start_with_a_variable_of_the_wrong_type_is_refused(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    with refusing("INVALID_ARGUMENT", "invalid-variable"):
        await mesh.runtime.StartProcessInstance(
            pb.StartProcessInstanceRequest(
                process_definition_key="one", variables=[variable("amount", "much", "integer")]
            )
        )


async def test_a_start_whose_model_fails_is_refused_and_starts_nothing(mesh: Mesh) -> None:
    await mesh.deploy(bpmn("failing", sequence('<serviceTask id="e1" flowable:expression="${missing.value}"/>')))

    with refusing("FAILED_PRECONDITION"):
        await mesh.start("failing")

    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest())).total == 0


async def test_an_unknown_instance_is_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND"):
        await mesh.runtime.GetProcessInstance(pb.GetProcessInstanceRequest(process_instance_id="nothing"))


async def test_instances_are_listed_by_what_is_asked(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK, TWO_TASKS)
    await mesh.start("one")
    wanted = await mesh.start("two", business_key="b", variables={"a": 5})

    found = await mesh.runtime.ListProcessInstances(
        pb.ListProcessInstancesRequest(
            business_key="b",
            started_after={"seconds": int(START.timestamp()) - 1},  # type: ignore[arg-type]
            variables=[{"name": "a", "operation": "greaterThan", "value": {"number_value": 4}}],  # type: ignore[list-item]
        )
    )

    assert [row.id for row in found.data] == [wanted]
    assert (found.total, found.start, found.size, found.sort, found.order) == (1, 0, 1, "id", "asc")


async def test_a_list_goes_on_by_its_page_token(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    ids = [await mesh.start("one") for _ in range(3)]

    first = await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest(size=2))
    second = await mesh.runtime.ListProcessInstances(
        pb.ListProcessInstancesRequest(size=2, page_token=first.next_page_token)
    )

    assert [row.id for row in (*first.data, *second.data)] == ids
    assert not second.HasField("next_page_token")
    assert not second.HasField("total")


async def test_an_unknown_sort_is_refused(mesh: Mesh) -> None:
    with refusing("INVALID_ARGUMENT"):
        await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest(sort="colour"))


async def test_a_suspended_instance_cannot_be_suspended_again(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    request = pb.UpdateProcessInstanceRequest(process_instance_id=instance_id, action="suspend")

    found = await mesh.runtime.UpdateProcessInstance(request)

    assert (found.suspended, found.state) == (True, "suspended")
    with refusing("ALREADY_EXISTS", "already-suspended"):
        await mesh.runtime.UpdateProcessInstance(request)


async def test_an_instance_is_renamed(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one", business_key="b")

    found = await mesh.runtime.UpdateProcessInstance(
        pb.UpdateProcessInstanceRequest(process_instance_id=instance_id, name="new", clear=["businessKey"])
    )

    assert (found.name, found.HasField("business_key")) == ("new", False)


async def test_a_deleted_instance_is_gone(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    await mesh.runtime.DeleteProcessInstance(pb.DeleteProcessInstanceRequest(process_instance_id=instance_id))

    with refusing("NOT_FOUND"):
        await mesh.runtime.DeleteProcessInstance(pb.DeleteProcessInstanceRequest(process_instance_id=instance_id))


async def test_one_unknown_instance_keeps_the_others_from_being_deleted(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    with refusing("NOT_FOUND"):
        await mesh.runtime.BulkDeleteProcessInstances(
            pb.BulkDeleteProcessInstancesRequest(instance_ids=[instance_id, "nothing"])
        )

    assert await mesh.task_names(instance_id) == ["Approve"]


async def test_a_repeated_bulk_deletion_gets_the_first_answer(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    ids = [await mesh.start("one"), await mesh.start("one")]
    request = pb.BulkDeleteProcessInstancesRequest(action="delete", instance_ids=ids, request_id="r")

    await mesh.runtime.BulkDeleteProcessInstances(request)
    await mesh.runtime.BulkDeleteProcessInstances(request)

    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest())).total == 0


async def test_a_change_of_state_moves_the_token(mesh: Mesh) -> None:
    await mesh.deploy(TWO_TASKS)
    instance_id = await mesh.start("two")

    await mesh.runtime.ChangeProcessInstanceState(
        pb.ChangeProcessInstanceStateRequest(
            process_instance_id=instance_id,
            cancel_activity_ids=["e1"],
            start_activity_ids=["e2"],
            variables=variables(moved=True),
        )
    )

    assert await mesh.task_names(instance_id) == ["Second"]
    assert await mesh.values(instance_id) == {"moved": True}


async def test_a_change_of_state_to_an_unknown_element_is_not_found(mesh: Mesh) -> None:
    await mesh.deploy(TWO_TASKS)
    instance_id = await mesh.start("two")

    with refusing("NOT_FOUND", "element-not-found"):
        await mesh.runtime.ChangeProcessInstanceState(
            pb.ChangeProcessInstanceStateRequest(process_instance_id=instance_id, start_activity_ids=["e9"])
        )


async def test_an_execution_is_moved(mesh: Mesh) -> None:
    await mesh.deploy(TWO_TASKS)
    instance_id = await mesh.start("two")

    await mesh.runtime.ChangeExecutionState(
        pb.ChangeExecutionStateRequest(
            execution_id=await mesh.execution_at(instance_id, "e1"), start_activity_ids=["e2"]
        )
    )

    assert await mesh.task_names(instance_id) == ["Second"]


async def test_a_migrated_instance_goes_on_by_the_other_version(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    await mesh.deploy(bpmn("one", sequence('<userTask id="e1" name="Approve"/>', '<userTask id="e2" name="Sign"/>')))

    await mesh.runtime.MigrateProcessInstance(
        pb.MigrateProcessInstanceRequest(
            process_instance_id=instance_id,
            to_process_definition_key="one",
            process_instance_variables={"migrated": variable("x", True).value},
        )
    )
    task = await mesh.task(instance_id)
    await mesh.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=task.id))

    assert await mesh.task_names(instance_id) == ["Sign"]
    assert await mesh.values(instance_id) == {"migrated": True}


async def test_a_migration_to_an_unknown_definition_is_not_found(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    with refusing("NOT_FOUND", "process-definition-not-found"):
        await mesh.runtime.MigrateProcessInstance(
            pb.MigrateProcessInstanceRequest(process_instance_id=instance_id, to_process_definition_id="one:9:none")
        )


async def test_a_variable_of_an_instance_with_an_unknown_scope_is_refused(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    with refusing("INVALID_ARGUMENT", "unknown-scope"):
        request = pb.CreateProcessInstanceVariablesRequest(
            process_instance_id=instance_id,
            variables=[variable_pb2.Variable(name="x", value=variable("x", 1).value, scope="galaxy")],
        )
        _ = [found async for found in mesh.runtime.CreateProcessInstanceVariables(request)]
    assert await mesh.values(instance_id) == {}


async def test_a_migration_that_cannot_work_is_told_and_not_done(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")
    renamed = sequence('<userTask id="e1" name="Sign"/>').replace('"e1"', '"e2"')
    await mesh.deploy(bpmn("one", renamed))
    mapping = process_instance_pb2.ActivityMapping(from_activity_id="e1", to_activity_id="e2")

    without = await mesh.runtime.ValidateProcessInstanceMigration(
        pb.ValidateProcessInstanceMigrationRequest(process_instance_id=instance_id, to_process_definition_key="one")
    )
    mapped = await mesh.runtime.ValidateProcessInstanceMigration(
        pb.ValidateProcessInstanceMigrationRequest(
            process_instance_id=instance_id, to_process_definition_key="one", activity_mappings=[mapping]
        )
    )

    assert (without.migration_valid, len(without.validation_messages)) == (False, 1)
    assert (mapped.migration_valid, len(mapped.validation_messages)) == (True, 0)
    assert await mesh.task_names(instance_id) == ["Approve"]


async def test_a_migration_needs_a_target(mesh: Mesh) -> None:
    with refusing("INVALID_ARGUMENT", "no-migration-target"):
        await mesh.runtime.MigrateProcessInstance(pb.MigrateProcessInstanceRequest(process_instance_id="p"))


async def test_conditions_of_an_unknown_instance_are_not_found(mesh: Mesh) -> None:
    with refusing("NOT_FOUND"):
        await mesh.runtime.EvaluateConditions(pb.EvaluateConditionsRequest(process_instance_id="nothing"))


async def test_a_participant_is_linked_to_an_instance_and_taken_away(mesh: Mesh) -> None:
    await mesh.deploy(RECEIVE)
    instance_id = await mesh.start("receive")
    link = pb.CreateProcessInstanceIdentityLinkRequest(
        process_instance_id=instance_id, user="fozzie", type="participant"
    )

    await mesh.runtime.CreateProcessInstanceIdentityLink(link)

    listed = pb.ListProcessInstanceIdentityLinksRequest(process_instance_id=instance_id)
    found = [(row.user, row.type) async for row in mesh.runtime.ListProcessInstanceIdentityLinks(listed)]
    assert found == [("fozzie", "participant")]
    removal = pb.DeleteProcessInstanceIdentityLinkRequest(
        process_instance_id=instance_id, user="fozzie", type="participant"
    )
    await mesh.runtime.DeleteProcessInstanceIdentityLink(removal)
    with refusing("NOT_FOUND"):
        await mesh.runtime.DeleteProcessInstanceIdentityLink(removal)


async def test_an_instance_is_found_by_what_it_stands_for_elsewhere(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    await mesh.start("one")
    instance_id = await mesh.start("one", callback_id="c", callback_type="order", reference_id="r", reference_type="t")

    for asked in (pb.ListProcessInstancesRequest(callback_id="c"), pb.ListProcessInstancesRequest(reference_id="r")):
        (found,) = (await mesh.runtime.ListProcessInstances(asked)).data
        assert found.id == instance_id
        assert (found.callback_type, found.reference_type) == ("order", "t")
    assert (await mesh.runtime.ListProcessInstances(pb.ListProcessInstancesRequest(callback_id="x"))).total == 0


async def test_an_instance_has_an_owner_a_due_date_and_one_who_claims_it(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)
    instance_id = await mesh.start("one")

    async def update(**fields: Any) -> process_instance_pb2.ProcessInstance:
        request = pb.UpdateProcessInstanceRequest(process_instance_id=instance_id, **fields)
        return await mesh.runtime.UpdateProcessInstance(request)

    await update(owner="fozzie", due_date=datetime(2026, 12, 24, tzinfo=UTC))
    claimed = await update(action="claim", assignee="kermit")
    assert (claimed.owner, claimed.assignee, claimed.claimed_by) == ("fozzie", "kermit", "kermit")
    assert (claimed.due_date.ToJsonString(), claimed.claim_time.ToJsonString()) == (
        "2026-12-24T00:00:00Z",
        "2026-05-04T12:00:00Z",
    )
    with refusing("FAILED_PRECONDITION", "process-instance-claimed"):
        await update(action="claim", assignee="gonzo")

    free = await update(action="unclaim")
    assert not free.HasField("assignee") and not free.HasField("claim_time")
    empty = await update(clear=["owner", "dueDate"])
    assert not empty.HasField("owner") and not empty.HasField("due_date")
    await mesh.tasks.CompleteTask(ts.CompleteTaskRequest(task_id=(await mesh.task(instance_id)).id))


async def test_an_outcome_and_the_fields_of_a_start_form_become_variables(mesh: Mesh) -> None:
    await mesh.deploy(ONE_TASK)

    instance_id = await mesh.start("one", outcome="urgent", start_form_variables=variables(days=3))

    assert await mesh.values(instance_id) == {"outcome": "urgent", "days": 3}


async def test_a_transient_variable_is_seen_by_the_model_and_not_kept(mesh: Mesh) -> None:
    body = sequence(
        '<serviceTask id="e1" flowable:expression="${secret + 1}" flowable:resultVariableName="told"/>',
        '<userTask id="e2"/>',
    )
    await mesh.deploy(bpmn("hiding", body))

    instance_id = await mesh.start("hiding", transient_variables=variables(secret=1))

    assert await mesh.values(instance_id) == {"told": 2}
