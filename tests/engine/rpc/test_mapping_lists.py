"""Requests as filters and views as messages: the names that hold them together, and what travels."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from flowloom.engine.v1 import execution_pb2, process_instance_pb2, task_pb2
from flowloom.engine.v1 import runtime_service_pb2 as rt
from flowloom.engine.v1 import task_service_pb2 as ts
from google.protobuf.message import Message

from engine.app import queries as q
from engine.kernel.values import Variable
from engine.rpc import mapping_lists as lists
from mesh.errors import InvalidArgument

PAGING = {"start", "size", "sort", "order", "page_token"}
FILTERS: list[tuple[type[Message], type[msgspec.Struct]]] = [
    (rt.ListProcessInstancesRequest, q.ProcessInstanceFilter),
    (rt.ListExecutionsRequest, q.ExecutionFilter),
    (rt.ListActivityInstancesRequest, q.ActivityInstanceFilter),
    (rt.ListEventSubscriptionsRequest, q.EventSubscriptionFilter),
    (rt.ListVariableInstancesRequest, q.VariableInstanceFilter),
    (ts.ListTasksRequest, q.TaskFilter),
]
VIEWS: list[tuple[type[Message], type[msgspec.Struct], set[str]]] = [
    (process_instance_pb2.ProcessInstance, q.ProcessInstanceView, set()),
    (task_pb2.Task, q.TaskView, set()),
    (execution_pb2.Execution, q.ExecutionView, {"root_process_instance_id"}),
    (execution_pb2.ActivityInstance, q.ActivityInstanceView, set()),
    (execution_pb2.EventSubscription, q.EventSubscriptionView, set()),
]


def names(message: type[Message]) -> set[str]:
    return {field.name for field in message.DESCRIPTOR.fields}


@pytest.mark.parametrize(("request_", "wanted"), FILTERS)
def test_every_field_of_a_list_request_is_a_filter(request_: type[Message], wanted: type[msgspec.Struct]) -> None:
    assert names(request_) - PAGING <= set(wanted.__struct_fields__)


@pytest.mark.parametrize(("message", "view", "inside"), VIEWS)
def test_every_field_of_a_view_is_told(message: type[Message], view: type[msgspec.Struct], inside: set[str]) -> None:
    assert set(view.__struct_fields__) - names(message) == inside


def test_what_is_given_is_filtered_by_and_nothing_else() -> None:
    request = ts.ListTasksRequest(
        name="",
        unassigned=True,
        active=False,
        task_definition_keys=["a", "b"],
        task_variables=[{"name": "a", "operation": "equals", "value": {"number_value": 1}}],  # type: ignore[list-item]
        size=3,
    )
    request.due_before.FromJsonString("2026-01-02T00:00:00Z")

    assert lists.filter_of(q.TaskFilter, request) == q.TaskFilter(
        name="",
        unassigned=True,
        active=False,
        task_definition_keys=("a", "b"),
        due_before=datetime(2026, 1, 2, tzinfo=UTC),
        task_variables=(q.VariableCondition(name="a", operation="equals", value=Variable("integer", 1)),),
    )


def test_commas_separate_values_but_for_groups_whose_ids_may_have_some() -> None:
    request = ts.ListTasksRequest(
        task_definition_keys=["a,b", "c"], candidate_groups=["sales,clerks"], candidate_group_in=["cn=sales,ou=groups"]
    )

    assert lists.filter_of(q.TaskFilter, request) == q.TaskFilter(
        task_definition_keys=("a", "b", "c"),
        candidate_groups=("sales", "clerks"),
        candidate_group_in=("cn=sales,ou=groups",),
    )


def test_a_condition_on_existence_has_no_value() -> None:
    request = rt.ListExecutionsRequest(variables=[{"name": "a", "operation": "exists"}])  # type: ignore[list-item]

    found = lists.filter_of(q.ExecutionFilter, request)

    assert found.variables == (q.VariableCondition(name="a", operation="exists"),)


def test_a_condition_whose_value_does_not_fit_its_type_is_refused() -> None:
    wanted = {"name": "a", "operation": "equals", "type": "integer", "value": {"string_value": "x"}}
    request = rt.ListExecutionsRequest(variables=[wanted])  # type: ignore[list-item]

    with pytest.raises(InvalidArgument, match="variable 'a': expected a whole number"):
        lists.filter_of(q.ExecutionFilter, request)


def test_a_page_without_a_size_leaves_it_to_the_read_side() -> None:
    assert lists.page_of(ts.ListTasksRequest(start=5)) == q.Page(start=5, size=None)
    assert lists.page_of(ts.ListTasksRequest(size=0, sort="name", order="desc", page_token="t")) == q.Page(
        size=0, sort="name", order="desc", page_token="t"
    )


def test_the_path_of_a_binary_variable_is_fit_for_a_url() -> None:
    assert lists.variable_path("/tasks/t", "a b/c", "global") == "/tasks/t/variables/a%20b%2Fc/data?scope=global"
