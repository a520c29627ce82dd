"""Between the messages of the contract and history's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
from flowloom.engine.v1 import variable_pb2
from flowloom.history.v1 import history_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from history.app.queries import Condition, Variables
from history.model.records import Activity, IdentityLink, ProcessInstance, Task, Variable, milliseconds
from history.rpc.variables import id_of, read_conditions, write_variable
from mesh.paging import Listed, Page, refuse, several

F = TypeVar("F", bound=msgspec.Struct)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NONE: Final[Variables] = {}


# --- requests ---------------------------------------------------------------------------------------------------------


def read_filter(kind: type[F], request: Any) -> F:
    """The filter of a list request: its fields have the names of the request's.

    Raises InvalidArgument for a condition or a moment that cannot be read.
    """
    values: dict[str, Any] = {}
    for name, reader in _readers_of(kind).items():
        values[name] = reader(request, name)
    return kind(**values)


def read_page(request: Any) -> Page:
    """The paging fields that all list requests have."""
    return Page(
        start=request.start,
        size=request.size if request.HasField("size") else None,
        sort=request.sort,
        order=request.order,
        page_token=request.page_token,
    )


def _plain(request: Any, name: str) -> Any:
    return getattr(request, name)


def _optional(request: Any, name: str) -> Any:
    return getattr(request, name) if request.HasField(name) else None


def _repeated(request: Any, name: str) -> tuple[str, ...]:
    return several(getattr(request, name))


def _conditions(request: Any, name: str) -> tuple[Condition, ...]:
    return read_conditions(getattr(request, name), name)


def read_moment(request: Any, name: str) -> datetime | None:
    """A moment of the request, if it is there. Raises InvalidArgument for one that cannot be read."""
    if not request.HasField(name):
        return None
    given: Timestamp = getattr(request, name)
    try:
        return _EPOCH + timedelta(seconds=given.seconds, microseconds=given.nanos // 1000)
    except OverflowError as error:
        raise refuse(name, "expected a moment of the years 1 to 9999, found another one") from error


_READERS: Final[Mapping[Any, Any]] = {
    str | None: _optional,
    int | None: _optional,
    bool | None: _optional,
    bool: _plain,
    datetime | None: read_moment,
    tuple[str, ...]: _repeated,
    tuple[Condition, ...]: _conditions,
}
_known: dict[type[Any], Mapping[str, Any]] = {}


def _readers_of(kind: type[Any]) -> Mapping[str, Any]:
    found = _known.get(kind)
    if found is None:
        found = _known[kind] = {name: _READERS[hint] for name, hint in get_type_hints(kind).items()}
    return found


# --- answers ----------------------------------------------------------------------------------------------------------


def instance(record: ProcessInstance, variables: Variables = NONE) -> pb.HistoricProcessInstance:
    """A process instance, with its variables if they were asked for."""
    return pb.HistoricProcessInstance(
        id=record.id,
        name=record.name or None,
        business_key=record.business_key or None,
        business_status=record.business_status or None,
        process_definition_id=record.definition_id,
        process_definition_key=record.definition_key,
        process_definition_version=record.definition_version,
        process_definition_name=record.definition_name or None,
        deployment_id=record.deployment_id or None,
        start_time=stamp(record.started_at),
        end_time=_maybe_stamp(record.ended_at),
        duration_in_millis=record.duration_ms,
        start_user_id=record.start_user_id or None,
        end_user_id=record.end_user_id or None,
        start_activity_id=record.start_activity_id or None,
        end_activity_id=record.end_activity_id or None,
        state=record.state,
        delete_reason=record.delete_reason or None,
        super_process_instance_id=record.super_instance_id or None,
        root_process_instance_id=record.root_id,
        variables=_written(variables.get(record.id, ())),
        callback_id=record.callback_id or None,
        callback_type=record.callback_type or None,
        reference_id=record.reference_id or None,
        reference_type=record.reference_type or None,
        tenant_id=record.tenant_id,
    )


def activity(record: Activity) -> pb.HistoricActivityInstance:
    """An activity."""
    return pb.HistoricActivityInstance(
        id=record.id,
        activity_id=record.element_id,
        activity_name=record.element_name or None,
        activity_type=record.element_type,
        process_definition_id=record.definition_id,
        process_instance_id=record.instance_id,
        execution_id=record.id,
        task_id=record.task_id or None,
        called_process_instance_id=record.called_instance_id or None,
        assignee=record.assignee or None,
        start_time=stamp(record.started_at),
        end_time=_maybe_stamp(record.ended_at),
        duration_in_millis=record.duration_ms,
        tenant_id=record.tenant_id,
        canceled=record.canceled,
        delete_reason=record.delete_reason or None,
    )


def task(record: Task, local: Variables = NONE, of_instance: Variables = NONE) -> pb.HistoricTaskInstance:
    """A task, with the variables that were asked for."""
    worked: float | None = None
    if record.claim_time is not None and record.ended_at is not None:
        worked = milliseconds(record.claim_time, record.ended_at)
    return pb.HistoricTaskInstance(
        id=record.id,
        process_definition_id=record.definition_id or None,
        process_instance_id=record.instance_id or None,
        execution_id=record.execution_id or None,
        name=record.name or None,
        description=record.description or None,
        delete_reason=record.delete_reason or None,
        owner=record.owner or None,
        assignee=record.assignee or None,
        start_time=stamp(record.created_at),
        end_time=_maybe_stamp(record.ended_at),
        duration_in_millis=record.duration_ms,
        work_time_in_millis=worked,
        claim_time=_maybe_stamp(record.claim_time),
        task_definition_key=record.task_definition_key or None,
        form_key=record.form_key or None,
        priority=record.priority,
        due_date=_maybe_stamp(record.due_date),
        parent_task_id=record.parent_task_id or None,
        variables=[*_written(local.get(record.id, ())), *_written(of_instance.get(record.instance_id, ()))],
        tenant_id=record.tenant_id,
        category=record.category or None,
        completed_by=record.completed_by or None,
    )


def variable(record: Variable) -> pb.HistoricVariableInstance:
    """A variable and where it hung."""
    return pb.HistoricVariableInstance(
        id=id_of(record),
        process_instance_id=record.instance_id or None,
        execution_id=record.execution_id or None,
        task_id=record.task_id or None,
        variable=write_variable(record),
        create_time=stamp(record.created_at),
        last_updated_time=stamp(record.updated_at),
    )


def identity_link(link: IdentityLink, *, instance_id: str = "", task_id: str = "") -> pb.HistoricIdentityLink:
    """Who has to do with an instance or a task."""
    return pb.HistoricIdentityLink(
        type=link.kind,
        user_id=link.user_id or None,
        group_id=link.group_id or None,
        task_id=task_id or None,
        process_instance_id=instance_id or None,
    )


def envelope(page: Listed[Any]) -> dict[str, Any]:
    """What every list says besides its data; `size` is that of the data, as in Flowable."""
    return {
        "total": page.total,
        "start": page.start,
        "sort": page.sort,
        "order": page.order,
        "size": len(page.rows),
        "next_page_token": page.next_page_token or None,
    }


def _written(variables: Sequence[Variable]) -> list[variable_pb2.Variable]:
    return [write_variable(found) for found in variables]


def stamp(moment: datetime) -> Timestamp:
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def _maybe_stamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else stamp(moment)
