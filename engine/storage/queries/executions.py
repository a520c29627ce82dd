"""Executions and activity instances, read out of token JSON, and the variables that an execution sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, FromClause, Row, Select, select

from engine.app.queries.filters import ActivityInstanceFilter, ExecutionFilter, VariableCondition
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import LOCAL, ActivityInstanceView, ExecutionView, NamedVariable
from engine.kernel.state import MESSAGE, SIGNAL, Execution
from engine.storage import tables
from engine.storage.queries import variables as var
from engine.storage.queries.conditions import Conditions
from engine.storage.queries.instances import at_element, of_execution
from engine.storage.queries.listing import invalid
from engine.storage.queries.predicates import NOT_EXISTS, holds_at, matches
from engine.storage.queries.scanning import Scan, scan
from engine.storage.queries.seen import seen
from engine.storage.queries.tokens import INSTANCE_FACTS, DefinitionOf, InstanceTokens, moment_of_id
from mesh.errors import NotFound

_I: Final = tables.instance.c
_S: Final = tables.subscription.c
_T: Final = tables.task.c
_V: Final = tables.variable.c

_EXECUTION_SORTS: Final = {
    "processInstanceId": _I.id,
    "processDefinitionId": _I.definition_id,
    "processDefinitionKey": _I.definition_key,
    "tenantId": _I.tenant_id,
}
_BASE: Final = select(*INSTANCE_FACTS, _I.definition_key)


def find_instance(connection: Connection, execution_id: str) -> InstanceTokens:
    """The instance that has an execution, or that is the one named. Raises NotFound."""
    owner = of_execution(execution_id)
    wanted = _BASE.join(owner, owner.c.instance_id == _I.id)
    rows = connection.execute(seen(connection, wanted, _I.tenant_id)).all()
    for row in rows:
        tokens = InstanceTokens(row)
        if execution_id == tokens.id or execution_id in tokens.executions:
            return tokens
    raise NotFound(
        "execution-not-found",
        f"expected an execution with id '{execution_id}', found none",
        execution_id=execution_id,
    )


def get_execution(connection: Connection, execution_id: str, definition_of: DefinitionOf) -> ExecutionView:
    """One execution. Raises NotFound."""
    tokens = find_instance(connection, execution_id)
    views = tokens.views(definition_of(tokens.definition_id))
    return next(view for view in views if view.id == execution_id)


def list_active_activities(connection: Connection, execution_id: str) -> list[str]:
    """Where an execution and those below it are, each element once, oldest first. Raises NotFound."""
    tokens = find_instance(connection, execution_id)
    return list(dict.fromkeys(execution.element for execution in tokens.below(execution_id)))


# --- variables of an execution ----------------------------------------------------------------------------------------


def list_execution_variables(
    connection: Connection, execution_id: str, scope: str, definition_of: DefinitionOf
) -> list[NamedVariable]:
    """What an execution sees, loop counters included, by name. Raises NotFound, InvalidArgument for the scope."""
    return list(_seen(connection, execution_id, scope, definition_of).values())


def get_execution_variable(
    connection: Connection, execution_id: str, name: str, scope: str, definition_of: DefinitionOf
) -> NamedVariable:
    """One of them. Raises NotFound, InvalidArgument for the scope."""
    return var.pick(_seen(connection, execution_id, scope, definition_of), name, f"execution {execution_id}")


def _seen(
    connection: Connection, execution_id: str, scope: str, definition_of: DefinitionOf
) -> dict[str, NamedVariable]:
    var.check_scope(scope)
    tokens = find_instance(connection, execution_id)
    return seen_in(connection, tokens, execution_id, scope, definition_of)


def seen_in(
    connection: Connection, tokens: InstanceTokens, execution_id: str, scope: str, definition_of: DefinitionOf
) -> dict[str, NamedVariable]:
    """The variables seen from an execution of an instance, by name."""
    scope_ids = tokens.scope_ids(execution_id)
    stored = var.read_scopes(connection, scope_ids)
    scopes = {}
    for scope_id in scope_ids:
        execution = tokens.executions.get(scope_id)
        looping = execution is not None and (execution.body or execution.turn is not None)
        counters = (
            tokens.loop_variables(execution, definition_of(tokens.definition_id)) if execution and looping else {}
        )
        scopes[scope_id] = {**counters, **stored.get(scope_id, {})}
    if execution_id == tokens.id:
        # Of the instance all variables are its own, and Flowable calls them both local and global.
        return dict(sorted(var.named(scopes[tokens.id], scope or LOCAL, tokens.id, tokens.id).items()))
    return var.seen_from(tokens.id, scope_ids, scopes, scope)


# --- executions -------------------------------------------------------------------------------------------------------


def list_executions(
    connection: Connection, wanted: ExecutionFilter, page: Page, definition_of: DefinitionOf, *, sqlite: bool
) -> Listed[ExecutionView]:
    """Executions of the instances that the filter leaves."""
    keys: dict[str, str] = {}

    def items(connection: Connection, rows: Sequence[Row[Any]]) -> list[ExecutionView]:
        having = [
            _scopes_with(connection, rows, condition, f"variables[{index}]", sqlite=sqlite)
            for index, condition in enumerate(wanted.variables)
        ]
        found: list[ExecutionView] = []
        for row in rows:
            keys[row.definition_id] = row.definition_key
            tokens = InstanceTokens(row)
            passing = _passing(tokens, wanted)
            found.extend(
                view
                for view in tokens.views(definition_of(tokens.definition_id))
                if passing(view) and all(holds(view.id) for holds in having)
            )
        return found

    listing = Scan(
        list_name="executions",
        instances=seen(connection, _instances(wanted, sqlite=sqlite), _I.tenant_id),
        items=items,
        streamed=_EXECUTION_SORTS,
        sorted_by={"id": lambda view: view.id},
        default="processInstanceId",
        key=lambda view: (view.process_instance_id, view.id),
        streamed_value=lambda view, sort: {
            "processInstanceId": view.process_instance_id,
            "processDefinitionId": view.process_definition_id,
            "processDefinitionKey": keys.get(view.process_definition_id, ""),
            "tenantId": view.tenant_id,
        }[sort],
    )
    return scan(connection, listing, wanted, page)


def _instances(wanted: ExecutionFilter, *, sqlite: bool) -> Select[Any]:
    """The instances that can have such executions; what only their tokens know is looked at afterwards."""
    where = Conditions(sqlite=sqlite)
    where.equal(_I.id, wanted.process_instance_id)
    where.equal(_I.root_id, wanted.root_process_instance_id)
    where.equal(_I.business_key, wanted.process_business_key)
    where.equal(_I.business_key, wanted.process_instance_business_key)
    where.equal(_I.definition_id, wanted.process_definition_id)
    where.equal(_I.definition_key, wanted.process_definition_key)
    where.tenant(_I.tenant_id, wanted)
    for index, condition in enumerate(wanted.process_instance_variables):
        where.add(holds_at(condition, _I.root_id, _I.id, f"process_instance_variables[{index}]", sqlite=sqlite))
    found = where.on(_BASE)
    for owner in _owners(wanted):
        found = found.join(owner, owner.c.instance_id == _I.id)
    return found


def _owners(wanted: ExecutionFilter) -> list[FromClause]:
    """Ids of instances by what rows say of executions."""
    found: list[FromClause] = [of_execution(key) for key in (wanted.id, wanted.parent_id) if key is not None]
    if (
        wanted.process_instance_id is None
        and wanted.root_process_instance_id is None
        and wanted.activity_id is not None
    ):
        found.append(at_element(wanted.activity_id))
    for kind, name in (
        (MESSAGE, wanted.message_event_subscription_name),
        (SIGNAL, wanted.signal_event_subscription_name),
    ):
        if name is not None:
            waits = select(_S.instance_id).where(_S.name == name, _S.kind == kind, _S.instance_id != "")
            found.append(waits.distinct().subquery())
    return found


def _passing(tokens: InstanceTokens, wanted: ExecutionFilter) -> Callable[[ExecutionView], bool]:
    def passes(view: ExecutionView) -> bool:
        return (
            wanted.id in (None, view.id)
            and wanted.activity_id in (None, view.activity_id)
            and wanted.parent_id in (None, view.parent_id)
            and wanted.waiting in (None, view.waiting)
            and not (wanted.only_child_executions and not view.parent_id)
            and _waits_for(tokens, view.id, MESSAGE, wanted.message_event_subscription_name)
            and _waits_for(tokens, view.id, SIGNAL, wanted.signal_event_subscription_name)
        )

    return passes


def _waits_for(tokens: InstanceTokens, execution_id: str, kind: str, name: str | None) -> bool:
    if name is None:
        return True
    execution = tokens.executions.get(execution_id)
    waits = execution.waits if execution is not None else tokens.tokens.waits
    return any(wait.kind == kind and wait.name == name for wait in waits)


def _scopes_with(
    connection: Connection, rows: Sequence[Row[Any]], condition: VariableCondition, field: str, *, sqlite: bool
) -> Callable[[str], bool]:
    """Which scopes of these instances have a variable: one statement for the batch."""
    missing = condition.operation == NOT_EXISTS
    if missing and not condition.name:
        raise invalid(f"{field}.name", f"expected a name of a variable with '{NOT_EXISTS}', found none")
    asked = _V.name == condition.name if missing else matches(condition, tables.variable, field, sqlite=sqlite)
    statement = select(_V.scope_id).where(_V.root_id.in_({row.root_id for row in rows}), asked)
    having = set(connection.execute(statement).scalars())
    return lambda scope_id: (scope_id in having) is not missing


# --- activity instances -----------------------------------------------------------------------------------------------


def list_activity_instances(
    connection: Connection, wanted: ActivityInstanceFilter, page: Page, definition_of: DefinitionOf, *, sqlite: bool
) -> Listed[ActivityInstanceView]:
    """Where tokens are."""

    def items(connection: Connection, rows: Sequence[Row[Any]]) -> list[ActivityInstanceView]:
        instances = [InstanceTokens(row) for row in rows]
        assignees = _assignees(connection, instances)
        return [
            view
            for tokens in instances
            for execution in tokens.by_id()
            if is_stay(execution)
            for view in [_stay(tokens, execution, definition_of, assignees)]
            if _is_wanted(view, wanted)
        ]

    listing = Scan(
        list_name="activity instances",
        instances=seen(connection, _activity_owners(wanted, sqlite=sqlite), _I.tenant_id),
        items=items,
        streamed={"processInstanceId": _I.id, "tenantId": _I.tenant_id},
        sorted_by={
            "startTime": lambda view: view.start_time.isoformat(timespec="microseconds") if view.start_time else "",
            "id": lambda view: view.id,
            "activityId": lambda view: view.activity_id,
            "activityName": lambda view: view.activity_name,
            "activityType": lambda view: view.activity_type,
            "endTime": _no_end,
            "executionId": lambda view: view.execution_id,
        },
        default="processInstanceId",
        key=lambda view: (view.process_instance_id, view.id),
        streamed_value=lambda view, sort: view.tenant_id if sort == "tenantId" else view.process_instance_id,
    )
    return scan(connection, listing, wanted, page)


def _no_end(_: ActivityInstanceView) -> str:
    """None of them has ended."""
    return ""


def is_stay(execution: Execution) -> bool:
    """Whether an execution has begun its element; a multi-instance body has not, its turns have."""
    return not execution.body and not execution.queued


def _activity_owners(wanted: ActivityInstanceFilter, *, sqlite: bool) -> Select[Any]:
    where = Conditions(sqlite=sqlite)
    where.equal(_I.id, wanted.process_instance_id)
    where.equal(_I.definition_id, wanted.process_definition_id)
    where.tenant(_I.tenant_id, wanted)
    if wanted.finished:
        where.never()
    found = where.on(_BASE)
    owners: list[FromClause] = [
        of_execution(key) for key in (wanted.activity_instance_id, wanted.execution_id) if key is not None
    ]
    if wanted.process_instance_id is None and wanted.activity_id is not None:
        owners.append(at_element(wanted.activity_id))
    if wanted.task_assignee is not None:
        assigned = select(_T.instance_id).where(_T.assignee == wanted.task_assignee, _T.instance_id != "")
        owners.append(assigned.distinct().subquery())
    for owner in owners:
        found = found.join(owner, owner.c.instance_id == _I.id)
    return found


def _assignees(connection: Connection, instances: Sequence[InstanceTokens]) -> dict[str, str]:
    task_ids = [execution.task for tokens in instances for execution in tokens.executions.values() if execution.task]
    if not task_ids:
        return {}
    rows = connection.execute(select(_T.id, _T.assignee).where(_T.id.in_(task_ids)))
    return {row.id: row.assignee for row in rows}


def _stay(
    tokens: InstanceTokens, execution: Execution, definition_of: DefinitionOf, assignees: dict[str, str]
) -> ActivityInstanceView:
    node = definition_of(tokens.definition_id).nodes.get(execution.element)
    return ActivityInstanceView(
        id=execution.id,
        activity_id=execution.element,
        activity_name=node.name if node is not None else "",
        activity_type=node.type if node is not None else "",
        process_definition_id=tokens.definition_id,
        process_instance_id=tokens.id,
        execution_id=execution.id,
        task_id=execution.task,
        called_process_instance_id=execution.called,
        assignee=assignees.get(execution.task, ""),
        start_time=moment_of_id(execution.id),
        tenant_id=tokens.tenant_id,
    )


def _is_wanted(view: ActivityInstanceView, wanted: ActivityInstanceFilter) -> bool:
    return (
        wanted.activity_instance_id in (None, view.id)
        and wanted.execution_id in (None, view.execution_id)
        and wanted.activity_id in (None, view.activity_id)
        and wanted.activity_name in (None, view.activity_name)
        and wanted.activity_type in (None, view.activity_type)
        and wanted.task_assignee in (None, view.assignee)
    )
