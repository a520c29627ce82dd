"""Lists and views: requests as filters and pages of the read side, its values as messages.

Filters, views and the contract use the same names, so one function each serves them all; `test_mapping_lists` holds
the names together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from flowloom.engine.v1 import execution_pb2, identity_link_pb2, process_instance_pb2, task_pb2, variable_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from engine.app.queries import (
    ActivityInstanceView,
    EventSubscriptionView,
    ExecutionView,
    IdentityLinkView,
    Listed,
    NamedVariable,
    Page,
    ProcessInstanceView,
    TaskView,
    VariableCondition,
    VariableInstanceView,
)
from engine.rpc.context import own_tenant
from engine.rpc.variables import GLOBAL, read_typed, write_variable
from mesh.paging import several

F = TypeVar("F", bound=msgspec.Struct)
M = TypeVar("M", bound=Message)
V = TypeVar("V")

RUNTIME: Final = "/process-api/runtime"
INSTANCES, EXECUTIONS, TASKS = f"{RUNTIME}/process-instances", f"{RUNTIME}/executions", f"{RUNTIME}/tasks"
VARIABLE_INSTANCES: Final = f"{RUNTIME}/variable-instances"
_VALUELESS: Final = ("exists", "notExists")
_WITH_COMMAS: Final = frozenset(("candidate_group_in",))
"""Filters whose values may have commas; elsewhere a comma separates values, as in Flowable's query parameters."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


# --- requests ---------------------------------------------------------------------------------------------------------


def filter_of(kind: type[F], request: Message) -> F:
    """Return what the request filters by.

    Raises InvalidArgument for a condition whose value does not fit its type, PermissionDenied for a foreign tenant.
    """
    known = kind.__struct_fields__
    wanted: dict[str, Any] = {}
    for field, value in request.ListFields():
        if field.name not in known:
            continue
        if isinstance(value, Timestamp):
            wanted[field.name] = value.ToDatetime(tzinfo=UTC)
        elif isinstance(value, str | bool | int):
            wanted[field.name] = value
        elif field.message_type is not None:
            wanted[field.name] = tuple(condition(found, f"{field.name}[{i}]") for i, found in enumerate(value))
        else:
            wanted[field.name] = tuple(value) if field.name in _WITH_COMMAS else several(value)
    own_tenant(wanted.get("tenant_id", ""))
    return kind(**wanted)


def condition(found: variable_pb2.QueryVariable, field: str) -> VariableCondition:
    """Return a condition on a variable. Raises InvalidArgument for a value that does not fit its type."""
    value = None
    if found.operation not in _VALUELESS:
        value = read_typed(found.type, found.value, found.name, f"{field}.value")
    return VariableCondition(name=found.name, operation=found.operation, value=value)


def page_of(request: Any) -> Page:
    """Return which part of a list the request asks for."""
    return Page(
        start=request.start,
        size=request.size if request.HasField("size") else None,
        sort=request.sort,
        order=request.order,
        page_token=request.page_token,
    )


# --- responses --------------------------------------------------------------------------------------------------------


def listed(kind: type[M], found: Listed[V], convert: Callable[[V], Message]) -> M:
    """Return a page in Flowable's envelope."""
    response: Any = kind(
        data=[convert(row) for row in found.rows],
        start=found.start,
        sort=found.sort,
        order=found.order,
        size=found.size,
    )
    if found.total is not None:
        response.total = found.total
    if found.next_page_token:
        response.next_page_token = found.next_page_token
    answer: M = response
    return answer


def message_of(kind: type[M], view: msgspec.Struct, **more: Any) -> M:
    """Return a view as a message: what a view does not have is absent."""
    key: Any = kind
    for name in _shared(key, view.__class__):
        value = getattr(view, name)
        if value:
            more[name] = timestamp(value) if value.__class__ is datetime else value
    return kind(**more)


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as a message; the library's own way leads through a calendar and takes ten times as long."""
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


@lru_cache(maxsize=64)
def _shared(message: Any, view: Any) -> tuple[str, ...]:
    """The fields that a message class and a view class share."""
    names = {field.name for field in message.DESCRIPTOR.fields} - {"variable", "variables"}
    return tuple(name for name in view.__struct_fields__ if name in names)


def process_instance(view: ProcessInstanceView) -> process_instance_pb2.ProcessInstance:
    """Return a running instance."""
    return message_of(
        process_instance_pb2.ProcessInstance,
        view,
        suspended=view.suspended,
        variables=variables(view.variables, f"{INSTANCES}/{view.id}"),
    )


def task(view: TaskView) -> task_pb2.Task:
    """Return an open task."""
    return message_of(task_pb2.Task, view, variables=variables(view.variables, f"{TASKS}/{view.id}"))


def execution(view: ExecutionView, *, ended: bool = False) -> execution_pb2.Execution:
    """Return an execution; `ended`: it is over by now."""
    return message_of(execution_pb2.Execution, view, ended=ended)


def activity_instance(view: ActivityInstanceView) -> execution_pb2.ActivityInstance:
    """Return the present stay of a token at an element."""
    return message_of(execution_pb2.ActivityInstance, view)


def event_subscription(view: EventSubscriptionView) -> execution_pb2.EventSubscription:
    """Return an event subscription."""
    return message_of(execution_pb2.EventSubscription, view)


def variable_instance(view: VariableInstanceView) -> variable_pb2.VariableInstance:
    """Return a variable together with where it hangs."""
    bytes_at = f"{VARIABLE_INSTANCES}/{quote(view.id, safe='')}/data"
    return message_of(
        variable_pb2.VariableInstance, view, variable=write_variable(view.name, view.variable, view.scope, bytes_at)
    )


def identity_link(view: IdentityLinkView) -> identity_link_pb2.IdentityLink:
    """Return a link."""
    return message_of(identity_link_pb2.IdentityLink, view)


def named_variable(found: NamedVariable, owner: str) -> variable_pb2.Variable:
    """Return a variable; `owner` is the path of the instance, execution or task that was asked."""
    bytes_at = variable_path(owner, found.name, found.scope) if found.variable.type == "binary" else ""
    return write_variable(found.name, found.variable, found.scope, bytes_at)


def variables(found: Iterable[NamedVariable], owner: str) -> Sequence[variable_pb2.Variable]:
    """Return variables of one owner."""
    return [named_variable(variable, owner) for variable in found]


def variable_path(owner: str, name: str, scope: str) -> str:
    """Return where the bytes of a binary variable are; a global one may be hidden by a local one of its name."""
    asked = "?scope=global" if scope == GLOBAL else ""
    return f"{owner}/variables/{quote(name, safe='')}/data{asked}"
