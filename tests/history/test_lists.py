"""Lists: filters, order, pages, envelope and refusals, over the contract."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from flowloom.engine.v1 import variable_pb2
from flowloom.history.v1 import history_service_pb2 as pb
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from engine.kernel import commands as cmd
from mesh.rpc_errors import refusal_in
from tests.engine.kernel import models as bpmn
from tests.engine.kernel.harness import BEGINNING
from tests.history.worlds import Running, World

REVIEW = bpmn.model(bpmn.start(), bpmn.user_task("review"), bpmn.end(), bpmn.flows("s>review>e"))
OTHER = bpmn.document(
    bpmn.process(bpmn.start(), bpmn.user_task("Work"), bpmn.end(), bpmn.flows("s>Work>e"), key="other")
)


@pytest.fixture
async def history(world: World) -> AsyncIterator[Running]:
    """Six instances, a minute apart: order-0 to order-5; the even ones are over; the last one is of another process."""
    engine = world.engine
    engine.deploy(REVIEW)
    engine.deploy(OTHER)
    for n in range(6):
        variables = {"n": n, "who": "Kermit" if n % 2 else "piggy", "half": n / 2, "on": n > 2}
        if n == 3:
            variables["when"] = datetime(2026, 5, 1, tzinfo=UTC)
            variables["nothing"] = None
        tree = engine.start("other" if n == 5 else "p", variables, business_key=f"order-{n}", name=f"Name_{n}")
        engine.later(seconds=30)
        if n % 2 == 0:
            engine.complete(tree, "review")
        engine.later(seconds=30)
    running = await world.start()
    await running.caught_up()
    yield running


async def _keys(history: Running, **filters: Any) -> list[str]:
    return [row.business_key.removeprefix("order-") for row in await history.instances(**filters)]


def _stamp(**later: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(BEGINNING + timedelta(**later))
    return stamp


INSTANCE_FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"process_instance_name": "Name_2"}, "2"),
    "name_like": ({"process_instance_name_like": "Name_%"}, "012345"),
    "name_like_counts_case": ({"process_instance_name_like": "name_%"}, ""),
    "name_like_has_no_other_wildcard": ({"process_instance_name_like": "Name[_]*"}, ""),
    "one_character": ({"process_business_key_like": "order_3"}, "3"),
    "business_key": ({"process_business_key": "order-4"}, "4"),
    "business_key_of_the_list": ({"business_key": "order-4"}, "4"),
    "business_key_like_of_the_list": ({"business_key_like": "order-_"}, "012345"),
    "both_names_must_hold": ({"business_key": "order-4", "process_business_key": "order-3"}, ""),
    "name_like_ignore_case": ({"process_instance_name_like_ignore_case": "name_2"}, "2"),
    "deployments": ({"deployment_id_in": ["none", "neither"]}, ""),
    "active_activities": ({"active_activity_ids": ["review", "Work"]}, "135"),
    "several_with_commas": ({"active_activity_ids": ["review,Work"]}, "135"),
    "callback_type": ({"callback_type": "other"}, ""),
    "without_callback": ({"without_callback_id": True}, "012345"),
    "definition_key": ({"process_definition_key": "other"}, "5"),
    "definition_key_in": ({"process_definition_key_in": ["other", "none"]}, "5"),
    "definition_key_not_in": ({"process_definition_key_not_in": ["other"]}, "01234"),
    "definition_version": ({"process_definition_version": 2}, ""),
    "finished": ({"finished": True}, "024"),
    "unfinished": ({"finished": False}, "135"),
    "state": ({"state": "completed"}, "024"),
    "active_activity": ({"active_activity_id": "review"}, "13"),
    "started_before": ({"started_before": _stamp(minutes=2)}, "01"),
    "started_after": ({"started_after": _stamp(minutes=2)}, "345"),
    "finished_after": ({"finished_after": _stamp(minutes=1)}, "24"),
    "tenant": ({"tenant_id": "acme"}, ""),
    "without_tenant": ({"without_tenant_id": True}, "012345"),
    "both_must_hold": ({"finished": True, "process_business_key_like": "%-2"}, "2"),
}


async def test_every_filter_of_instances_lets_pass_what_it_says(history: Running) -> None:
    found = {name: "".join(await _keys(history, **filters)) for name, (filters, _) in INSTANCE_FILTERS.items()}

    assert found == {name: expected for name, (_, expected) in INSTANCE_FILTERS.items()}


CONDITIONS: dict[str, tuple[tuple[str, str, Any, str], str]] = {
    "equals": (("n", "equals", 3, ""), "3"),
    "equals_across_number_types": (("half", "equals", 1, "integer"), "2"),
    "equals_a_fraction": (("half", "equals", 2.5, ""), "5"),
    "equals_text": (("who", "equals", "piggy", ""), "024"),
    "not_equals": (("who", "notEquals", "piggy", ""), "135"),
    "equals_any_variable": (("", "equals", "Kermit", ""), "135"),
    "equals_ignore_case": (("who", "equalsIgnoreCase", "kermit", ""), "135"),
    "not_equals_ignore_case": (("who", "notEqualsIgnoreCase", "KERMIT", ""), "024"),
    "like": (("who", "like", "K%t", ""), "135"),
    "like_counts_case": (("who", "like", "k%", ""), ""),
    "like_ignore_case": (("who", "likeIgnoreCase", "k%", ""), "135"),
    "greater": (("n", "greaterThan", 3, ""), "45"),
    "greater_or_equals": (("half", "greaterThanOrEquals", 2, ""), "45"),
    "less": (("n", "lessThan", 1, ""), "0"),
    "less_or_equals": (("n", "lessThanOrEquals", 1, ""), "01"),
    "boolean": (("on", "equals", True, ""), "345"),
    "a_text_is_no_number": (("n", "equals", "3", ""), ""),
    "date": (("when", "equals", "2026-05-01T00:00:00Z", "date"), "3"),
    "later_date": (("when", "greaterThan", "2026-04-30", "date"), "3"),
    "null": (("nothing", "equals", None, ""), "3"),
    "exists": (("when", "exists", None, ""), "3"),
    "not_exists": (("when", "notExists", None, ""), "01245"),
}


def _condition(name: str, operation: str, value: Any, kind: str) -> variable_pb2.QueryVariable:
    message = variable_pb2.QueryVariable(operation=operation, name=name or None, type=kind or None)
    ParseDict(value, message.value)
    return message


async def test_every_condition_on_a_variable_finds_its_instances(history: Running) -> None:
    found = {
        name: "".join(await _keys(history, variables=[_condition(*condition)]))
        for name, (condition, _) in CONDITIONS.items()
    }

    assert found == {name: expected for name, (_, expected) in CONDITIONS.items()}


async def test_conditions_find_tasks_by_the_variables_of_their_instance(history: Running) -> None:
    found = await history.tasks(process_variables=[_condition("n", "equals", 3, "")], include_process_variables=True)

    assert [task.name for task in found] == ["review"]
    assert {variable.name for variable in found[0].variables} == {"n", "who", "half", "on", "when", "nothing"}


async def test_variables_of_instances_come_along_if_asked_for(history: Running) -> None:
    (plain,) = await history.instances(process_business_key="order-1")
    (full,) = await history.instances(process_business_key="order-1", include_process_variables=True)
    got = await history.stub.GetHistoricProcessInstance(
        pb.GetHistoricProcessInstanceRequest(process_instance_id=full.id, include_process_variables=True)
    )

    assert list(plain.variables) == []
    assert [(v.name, v.scope) for v in full.variables] == [(n, "global") for n in ("half", "n", "on", "who")]
    assert got == full


TASK_FILTERS: dict[str, tuple[dict[str, Any], int]] = {
    "name": ({"task_name": "Work"}, 1),
    "name_like_ignore_case": ({"task_name_like_ignore_case": "wo%"}, 1),
    "definition_key": ({"task_definition_key": "review"}, 5),
    "finished": ({"finished": True}, 3),
    "process_finished": ({"process_finished": False}, 3),
    "business_key": ({"process_business_key": "order-2"}, 1),
    "process_definition_key": ({"process_definition_key": "other"}, 1),
    "created_after": ({"task_created_after": _stamp(minutes=4)}, 1),
    "completed_before": ({"task_completed_before": _stamp(minutes=1)}, 1),
    "without_due_date": ({"without_due_date": True}, 6),
    "assignee": ({"task_assignee": "nobody"}, 0),
    "priority": ({"task_priority": 50}, 6),
    "min_priority": ({"task_min_priority": 51}, 0),
    "max_priority": ({"task_max_priority": 50}, 6),
    "without_instance": ({"without_process_instance_id": True}, 0),
    "process_definition_key_like": ({"process_definition_key_like": "oth%"}, 1),
    "process_definition_name_like": ({"process_definition_name_like": "none%"}, 0),
    "definition_key_like": ({"task_definition_key_like": "rev%"}, 5),
    "definition_keys": ({"task_definition_keys": ["review,Work"]}, 6),
    "delete_reason_like": ({"task_delete_reason_like": "gone%"}, 0),
    "without_delete_reason": ({"without_delete_reason": True}, 6),
    "created_on": ({"task_created_on": _stamp(minutes=4)}, 1),
    "completed_on": ({"task_completed_on": _stamp(minutes=2, seconds=30)}, 1),
}


async def test_every_filter_of_tasks_lets_pass_what_it_says(history: Running) -> None:
    found = {name: len(await history.tasks(**filters)) for name, (filters, _) in TASK_FILTERS.items()}

    assert found == {name: expected for name, (_, expected) in TASK_FILTERS.items()}


async def test_tasks_are_sorted_by_all_of_flowable_s_names(history: Running) -> None:
    plain = ("start", "startTime", "endTime", "deleteReason", "executionId", "taskDefinitionKey", "duration", "owner")
    for sort in plain:
        assert len(await history.tasks(sort=sort)) == 6, sort

    keys = [task.task_definition_key for task in await history.tasks(sort="taskDefinitionKey", order="desc")]
    assert keys == ["review"] * 5 + ["Work"]


async def test_activities_are_filtered_by_element_type_and_end(history: Running) -> None:
    assert len(await history.activities(activity_type="userTask")) == 6
    assert len(await history.activities(activity_id="review", finished=True)) == 3
    assert len(await history.activities(activity_type="endEvent")) == 3
    assert await history.activities(canceled=True) == []
    ids = [instance.id for instance in await history.instances(process_business_key_like="order-_", size=2)]
    assert len(await history.activities(process_instance_ids=[*ids, "x"], activity_type="userTask")) == 2


async def test_variables_are_filtered_by_name_and_value(history: Running) -> None:
    assert len(await history.variables(variable_name="who")) == 6
    assert len(await history.variables(variable_name_like="w%", size=100)) == 7
    assert len(await history.variables(variables=[_condition("who", "equals", "piggy", "")])) == 3
    (one,) = await history.variables(variable_name="when")
    got = await history.stub.GetHistoricVariableInstance(
        pb.GetHistoricVariableInstanceRequest(variable_instance_id=one.id)
    )
    assert got == one
    assert await history.variables(id=one.id) == [one]


async def test_the_envelope_is_that_of_flowable(history: Running) -> None:
    request = pb.ListHistoricProcessInstancesRequest(start=1, size=2, sort="businessKey", order="desc")

    found = await history.stub.ListHistoricProcessInstances(request)

    assert [row.business_key for row in found.data] == ["order-4", "order-3"]
    assert (found.total, found.start, found.size, found.sort, found.order) == (6, 1, 2, "businessKey", "desc")
    assert found.next_page_token


SORTS = ("processInstanceId", "processDefinitionId", "businessKey", "startTime", "endTime", "duration", "tenantId")


async def test_page_tokens_walk_through_every_instance_once_in_every_order(history: Running) -> None:
    for sort, order in itertools.product(SORTS, ("asc", "desc")):
        whole = [row.id for row in await history.instances(sort=sort, order=order)]

        walked = await _walk(history, sort, order)

        assert (sort, order, walked) == (sort, order, whole)
        assert len(set(walked)) == 6


async def _walk(history: Running, sort: str, order: str) -> list[str]:
    walked: list[str] = []
    token = ""
    while token or not walked:
        page = await history.stub.ListHistoricProcessInstances(
            pb.ListHistoricProcessInstancesRequest(size=1, sort=sort, order=order, page_token=token)
        )
        walked += [row.id for row in page.data]
        token = page.next_page_token
        assert page.HasField("total") is (len(walked) == 1)
    return walked


async def test_a_page_token_of_other_filters_is_refused(history: Running) -> None:
    first = await history.stub.ListHistoricProcessInstances(pb.ListHistoricProcessInstancesRequest(size=1))

    await _refused(history, "page_token", size=1, page_token=first.next_page_token, finished=True)


REFUSED: dict[str, dict[str, Any]] = {
    "sort": {"sort": "colour"},
    "order": {"order": "sideways"},
    "size": {"size": 10_001},
    "start": {"start": -1},
    "page_token": {"page_token": "AAAA"},
    "variables[0].operation": {
        "variables": [variable_pb2.QueryVariable(name="n", operation="near", value=Value(number_value=1))]
    },
    "variables[0].value": {"variables": [variable_pb2.QueryVariable(name="n", operation="equals")]},
    "variables[0].name": {"variables": [variable_pb2.QueryVariable(operation="like", value=Value(string_value="a"))]},
    "variables[0].type": {
        "variables": [variable_pb2.QueryVariable(name="n", operation="like", value=Value(number_value=1))]
    },
}


async def test_what_cannot_be_read_is_refused_with_the_name_of_its_field(history: Running) -> None:
    for field, request in REFUSED.items():
        await _refused(history, field, **request)


async def test_unknown_ids_are_not_found(history: Running) -> None:
    stub = history.stub
    for call in (
        stub.GetHistoricProcessInstance(pb.GetHistoricProcessInstanceRequest(process_instance_id="x")),
        stub.GetHistoricActivityInstance(pb.GetHistoricActivityInstanceRequest(activity_instance_id="x")),
        stub.GetHistoricTaskInstance(pb.GetHistoricTaskInstanceRequest(task_id="x")),
        stub.GetHistoricVariableInstance(pb.GetHistoricVariableInstanceRequest(variable_instance_id="x")),
        stub.GetHistoricVariableInstanceData(pb.GetHistoricVariableInstanceDataRequest(variable_instance_id="x")),
        stub.DeleteHistoricProcessInstance(pb.DeleteHistoricProcessInstanceRequest(process_instance_id="x")),
        stub.DeleteHistoricTaskInstance(pb.DeleteHistoricTaskInstanceRequest(task_id="x")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND


async def test_deleting_an_instance_takes_all_that_belongs_to_it_and_leaves_the_others(history: Running) -> None:
    (over,) = await history.instances(process_business_key="order-2")

    await history.stub.DeleteHistoricProcessInstance(
        pb.DeleteHistoricProcessInstanceRequest(process_instance_id=over.id)
    )

    assert await _keys(history) == ["0", "1", "3", "4", "5"]
    assert await history.activities(over.id) == []
    assert await history.tasks(process_instance_id=over.id) == []
    assert await history.variables(process_instance_id=over.id) == []
    assert len(await history.tasks()) == 5


async def test_deleting_with_a_request_id_can_be_repeated(history: Running) -> None:
    (over,) = await history.instances(process_business_key="order-2")
    request = pb.DeleteHistoricProcessInstanceRequest(process_instance_id=over.id, request_id="once")

    await history.stub.DeleteHistoricProcessInstance(request)
    await history.stub.DeleteHistoricProcessInstance(request)

    assert len(await history.instances()) == 5


async def test_what_still_runs_cannot_be_deleted(history: Running) -> None:
    (running,) = await history.instances(process_business_key="order-1")
    (task,) = await history.tasks(process_instance_id=running.id)

    for call in (
        history.stub.DeleteHistoricProcessInstance(
            pb.DeleteHistoricProcessInstanceRequest(process_instance_id=running.id)
        ),
        history.stub.DeleteHistoricTaskInstance(pb.DeleteHistoricTaskInstanceRequest(task_id=task.id)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION

    assert len(await history.instances()) == 6


async def test_a_task_that_is_over_can_be_deleted_by_itself(world: World, history: Running) -> None:
    (over,) = await history.tasks(process_business_key="order-0")

    await history.stub.DeleteHistoricTaskInstance(pb.DeleteHistoricTaskInstanceRequest(task_id=over.id))

    assert len(await history.tasks()) == 5
    assert len(await history.instances()) == 6


async def test_a_deleted_instance_does_not_come_back_when_its_events_come_again(world: World, history: Running) -> None:
    (over,) = await history.instances(process_business_key="order-2")
    await history.stub.DeleteHistoricProcessInstance(
        pb.DeleteHistoricProcessInstanceRequest(process_instance_id=over.id)
    )
    await history.stop()
    world.offsets.sequences.clear()

    again = await world.start()
    await again.caught_up()

    assert await _keys(again) == ["0", "1", "3", "4", "5"]


async def test_local_variables_are_told_from_those_of_the_instance(world: World, history: Running) -> None:
    engine = world.engine
    tree = engine.start("p", {"outer": 1})
    execution = engine.waiting(tree, "review")
    from engine.kernel.values import variables_of

    engine.run(
        tree.root_id, cmd.SetVariables(execution_id=execution.id, variables=variables_of({"inner": 2}), local=True)
    )
    history.bus.wake()
    await history.caught_up()

    found = {row.variable.name: row for row in await history.variables(process_instance_id=tree.root_id)}
    assert {name: row.variable.scope for name, row in found.items()} == {"outer": "global", "inner": "local"}
    assert found["inner"].execution_id == execution.id
    only = await history.variables(process_instance_id=tree.root_id, exclude_local_variables=True)
    assert [row.variable.name for row in only] == ["outer"]


async def _refused(history: Running, field: str, **request: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await history.instances(**request)
    refusal = refusal_in(failed.value)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal is not None
    assert [violation.field for violation in refusal.violations] == [field]
