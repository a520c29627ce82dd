"""Process instances: one, and lists of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, FromClause, Row, Select, select, union

from engine.app.queries.filters import ProcessInstanceFilter
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import LOCAL, IdentityLinkView, NamedVariable, ProcessInstanceView
from engine.kernel.state import ACTIVE, SUSPENDED
from engine.storage import tables
from engine.storage.queries.conditions import Conditions, limited
from engine.storage.queries.links import read_links
from engine.storage.queries.listing import Listing, Sorting, fetch
from engine.storage.queries.predicates import holds_at
from engine.storage.queries.seen import seen
from engine.storage.queries.tokens import facts_of, only_activity_id
from engine.storage.queries.variables import named, read_one, read_scopes
from mesh.errors import NotFound

_I: Final = tables.instance.c
_D: Final = tables.process_definition.c
_L: Final = tables.identity_link.c
_T: Final = tables.task.c

SORTS: Final = {
    "id": _I.id,
    "processDefinitionId": _I.definition_id,
    "processDefinitionKey": _I.definition_key,
    "startTime": _I.started_at,
    "businessKey": _I.business_key,
    "tenantId": _I.tenant_id,
}
_SORTING: Final = Sorting(list_name="process instances", sorts=SORTS, default="id", key=(_I.id,))


def base() -> Select[Any]:
    """Instances with their definition's description, which an instance does not keep."""
    return select(
        _I.id,
        _I.root_id,
        _I.super_instance_id,
        _I.definition_id,
        _I.definition_key,
        _I.definition_name,
        _I.definition_version,
        _I.business_key,
        _I.business_status,
        _I.name,
        _I.tenant_id,
        _I.start_user_id,
        _I.started_at,
        _I.state,
        _I.tokens,
        _D.description,
    ).select_from(tables.instance.outerjoin(tables.process_definition, _D.id == _I.definition_id))


def view_of(row: Row[Any], variables: tuple[NamedVariable, ...] = ()) -> ProcessInstanceView:
    """An instance out of a row of `base`."""
    facts = facts_of(row.tokens)
    return ProcessInstanceView(
        id=row.id,
        name=row.name,
        business_key=row.business_key,
        business_status=row.business_status,
        process_definition_id=row.definition_id,
        process_definition_key=row.definition_key,
        process_definition_version=row.definition_version,
        process_definition_name=row.definition_name,
        process_definition_description=row.description or "",
        activity_id=only_activity_id(row.tokens),
        start_user_id=row.start_user_id,
        start_time=row.started_at,
        super_process_instance_id=row.super_instance_id,
        root_process_instance_id=row.root_id,
        tenant_id=row.tenant_id,
        state=row.state,
        assignee=facts.assignee,
        owner=facts.owner,
        due_date=facts.due_date,
        claim_time=facts.claim_time,
        claimed_by=facts.claimed_by,
        callback_id=facts.callback_id,
        callback_type=facts.callback_type,
        reference_id=facts.reference_id,
        reference_type=facts.reference_type,
        variables=variables,
    )


def not_found(instance_id: str) -> NotFound:
    """Refuse an id that no running instance has."""
    return NotFound(
        "process-instance-not-found",
        f"expected a running process instance with id '{instance_id}', found none",
        process_instance_id=instance_id,
    )


def get_process_instance(connection: Connection, instance_id: str, *, with_variables: bool) -> ProcessInstanceView:
    """One instance. Raises NotFound."""
    rows = connection.execute(seen(connection, base().where(_I.id == instance_id), _I.tenant_id)).all()
    if not rows:
        raise not_found(instance_id)
    return _reader(with_variables=with_variables)(connection, rows)[0]


def require_instance(connection: Connection, instance_id: str) -> None:
    """Raises NotFound if there is no such instance."""
    wanted = seen(connection, select(_I.id).where(_I.id == instance_id), _I.tenant_id)
    if connection.execute(wanted).first() is None:
        raise not_found(instance_id)


def variables_of(connection: Connection, instance_id: str, name: str = "") -> dict[str, NamedVariable]:
    """The variables of an instance by name, or only the one of that name. Raises NotFound for the instance."""
    require_instance(connection, instance_id)
    if not name:
        return named(read_scopes(connection, [instance_id])[instance_id], LOCAL, instance_id, instance_id)
    variable = read_one(connection, instance_id, name)
    return named({name: variable} if variable is not None else {}, LOCAL, instance_id, instance_id)


def links_of(connection: Connection, instance_id: str) -> list[IdentityLinkView]:
    """Who has to do with an instance. Raises NotFound."""
    require_instance(connection, instance_id)
    return read_links(connection, instance_id)


def list_process_instances(
    connection: Connection, wanted: ProcessInstanceFilter, page: Page, *, sqlite: bool
) -> Listed[ProcessInstanceView]:
    """Running instances."""
    read = _reader(with_variables=wanted.include_process_variables)
    found = seen(connection, statement(wanted, sqlite=sqlite), _I.tenant_id)
    return fetch(connection, Listing(sorting=_SORTING, statement=found, read=read), wanted, page)


def _reader(*, with_variables: bool) -> Callable[[Connection, Sequence[Row[Any]]], list[ProcessInstanceView]]:
    def read(connection: Connection, rows: Sequence[Row[Any]]) -> list[ProcessInstanceView]:
        if not with_variables:
            return [view_of(row) for row in rows]
        scopes = read_scopes(connection, (row.id for row in rows))
        return [view_of(row, tuple(named(scopes[row.id], LOCAL, row.id, row.id).values())) for row in rows]

    return read


def statement(wanted: ProcessInstanceFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order. Raises InvalidArgument for conditions that cannot be read."""
    where = Conditions(sqlite=sqlite)
    _own(where, wanted)
    _definition(where, wanted)
    _tree(where, wanted)
    where.tenant(_I.tenant_id, wanted)
    if wanted.involved_user is not None:
        involved = select(_L.instance_id).where(_L.user_id == wanted.involved_user, _L.task_id == "")
        where.add(_I.id.in_(involved))
    for index, condition in enumerate(wanted.variables):
        where.add(holds_at(condition, _I.root_id, _I.id, f"variables[{index}]", sqlite=sqlite))
    found = where.on(base())
    elements = (wanted.active_activity_id,) if wanted.active_activity_id is not None else ()
    for one_of in (elements, limited(wanted.active_activity_ids, "active_activity_ids")):
        if one_of:
            at = at_element(*one_of)
            found = found.join(at, at.c.instance_id == _I.id)
    return found


def _own(where: Conditions, wanted: ProcessInstanceFilter) -> None:
    where.equal(_I.id, wanted.id)
    where.equal(_I.id, wanted.process_instance_id)
    where.one_of(_I.id, wanted.process_instance_ids, "process_instance_ids")
    for name in (wanted.name, wanted.process_instance_name):
        where.equal(_I.name, name)
    for pattern in (wanted.name_like, wanted.process_instance_name_like):
        where.like(_I.name, pattern)
    for pattern in (wanted.name_like_ignore_case, wanted.process_instance_name_like_ignore_case):
        where.like_ignore_case(_I.name, pattern)
    for key in (wanted.business_key, wanted.process_business_key):
        where.equal(_I.business_key, key)
    for pattern in (wanted.business_key_like, wanted.process_business_key_like):
        where.like(_I.business_key, pattern)
    where.like_ignore_case(_I.business_key, wanted.process_business_key_like_ignore_case)
    for status in (wanted.business_status, wanted.process_business_status):
        where.equal(_I.business_status, status)
    where.equal(_I.callback_id, wanted.callback_id)
    where.equal(_I.reference_id, wanted.reference_id)
    where.equal(_I.start_user_id, wanted.started_by)
    where.before(_I.started_at, wanted.started_before)
    where.after(_I.started_at, wanted.started_after)
    if wanted.suspended is not None:
        where.add(_I.state == (SUSPENDED if wanted.suspended else ACTIVE))


def _definition(where: Conditions, wanted: ProcessInstanceFilter) -> None:
    where.equal(_I.definition_id, wanted.process_definition_id)
    where.one_of(_I.definition_id, wanted.process_definition_ids, "process_definition_ids")
    where.equal(_I.definition_key, wanted.process_definition_key)
    where.like(_I.definition_key, wanted.process_definition_key_like)
    where.one_of(_I.definition_key, wanted.process_definition_keys, "process_definition_keys")
    where.none_of(_I.definition_key, wanted.exclude_process_definition_keys, "exclude_process_definition_keys")
    where.equal(_I.definition_name, wanted.process_definition_name)
    where.like(_I.definition_name, wanted.process_definition_name_like)
    where.equal(_I.definition_version, wanted.process_definition_version)
    other = tables.process_definition.alias()
    of_definition = Conditions(sqlite=where.sqlite)
    of_definition.equal(other.c.category, wanted.process_definition_category)
    of_definition.like(other.c.category, wanted.process_definition_category_like)
    of_definition.equal(other.c.deployment_id, wanted.deployment_id)
    of_definition.one_of(other.c.deployment_id, wanted.deployment_id_in, "deployment_id_in")
    if of_definition.all:
        where.add(_I.definition_id.in_(of_definition.on(select(other.c.id))))


def _tree(where: Conditions, wanted: ProcessInstanceFilter) -> None:
    where.equal(_I.root_id, wanted.root_process_instance_id)
    if wanted.super_process_instance_id is not None:
        where.add(_I.root_id.in_(_root_of(wanted.super_process_instance_id)))
        where.add(_I.super_instance_id == wanted.super_process_instance_id)
    if wanted.sub_process_instance_id is not None:
        sub = tables.instance.alias()
        where.add(_I.id.in_(select(sub.c.super_instance_id).where(sub.c.id == wanted.sub_process_instance_id)))
    if wanted.exclude_subprocesses:
        where.add(_I.super_instance_id == "")


def _root_of(instance_id: str) -> Select[Any]:
    # Who is called stays in the tree, and trees are what the index knows.
    other = tables.instance.alias()
    return select(other.c.root_id).where(other.c.id == instance_id)


def at_element(*element_ids: str) -> FromClause:
    """The ids of instances that have an execution at one of the elements or something that waits for it.

    Each living execution has a row that names its element: its task, a job, a subscription, or one of kind scope.
    """
    # Definitions are few; their jobs and subscriptions at an element are found by both ids.
    definition = tables.process_definition.alias()
    at_definition = [
        select(table.c.instance_id.label("instance_id")).where(
            table.c.definition_id.in_(select(definition.c.id)),
            table.c.element_id.in_(element_ids),
            table.c.instance_id != "",
        )
        for table in (tables.job, tables.subscription)
    ]
    of_tasks = select(_T.instance_id.label("instance_id")).where(_T.element_id.in_(element_ids), _T.instance_id != "")
    return union(of_tasks, *at_definition).subquery()


def of_execution(execution_id: str) -> FromClause:
    """The id of the instance that has an execution; the instance's own id is one too."""
    other = tables.instance.alias()
    parts = [
        select(table.c.instance_id.label("instance_id")).where(
            table.c.execution_id == execution_id, table.c.instance_id != ""
        )
        for table in (tables.task, tables.job, tables.subscription)
    ]
    return union(select(other.c.id.label("instance_id")).where(other.c.id == execution_id), *parts).subquery()
