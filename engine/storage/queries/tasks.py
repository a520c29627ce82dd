"""Open tasks: one, lists of them, and what hangs at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, case, func, select, union

from engine.app.queries.filters import TaskFilter
from engine.app.queries.paging import MAX_PAGE_SIZE, Listed, Page
from engine.app.queries.views import GLOBAL, LOCAL, IdentityLinkView, NamedVariable, TaskView
from engine.kernel.handling.tasks import PENDING, RESOLVED
from engine.storage import tables
from engine.storage.queries import links
from engine.storage.queries import variables as var
from engine.storage.queries.conditions import Conditions, limited
from engine.storage.queries.executions import find_instance, seen_in
from engine.storage.queries.listing import Listing, Sorting, fetch, invalid
from engine.storage.queries.predicates import holds_at
from engine.storage.queries.seen import seen_task, seen_tasks
from engine.storage.queries.tokens import DefinitionOf
from mesh.errors import NotFound

_T: Final = tables.task.c
_I: Final = tables.instance.c
_L: Final = tables.identity_link.c

DELEGATION_STATES: Final = (PENDING, RESOLVED)
SORTED_DESCRIPTION: Final = 255
"""So many characters of a description count for its place."""

_SORTING: Final = Sorting(
    list_name="tasks",
    sorts={
        "id": _T.id,
        "name": _T.name,
        "description": func.substr(_T.description, 1, SORTED_DESCRIPTION),
        "priority": _T.priority,
        "assignee": _T.assignee,
        "createTime": _T.created_at,
        "dueDate": _T.due_at,
        "category": _T.category,
        "executionId": _T.execution_id,
        "processInstanceId": _T.instance_id,
        "tenantId": _T.tenant_id,
    },
    default="id",
    key=(_T.id,),
)
_BASE: Final = select(*(column for column in tables.task.c))
_LOCAL_SCOPE: Final = case((_T.execution_id == "", _T.id), else_=_T.execution_id)
"""Where a task's own variables hang: at its execution, or at itself if it is standalone."""


def view_of(row: Row[Any], variables: Sequence[NamedVariable] = ()) -> TaskView:
    """A task out of its row."""
    return TaskView(
        id=row.id,
        owner=row.owner,
        assignee=row.assignee,
        delegation_state=row.delegation,
        name=row.name,
        description=row.description,
        create_time=row.created_at,
        due_date=row.due_at,
        priority=row.priority,
        suspended=row.suspended,
        claim_time=row.claimed_at,
        task_definition_key=row.element_id,
        tenant_id=row.tenant_id,
        category=row.category,
        form_key=row.form_key,
        parent_task_id=row.parent_task_id,
        execution_id=row.execution_id,
        process_instance_id=row.instance_id,
        process_definition_id=row.definition_id,
        variables=tuple(variables),
    )


def _row(connection: Connection, task_id: str) -> Row[Any]:
    row = connection.execute(seen_task(connection, _BASE.where(_T.id == task_id))).one_or_none()
    if row is None:
        raise not_found(task_id)
    return row


def not_found(task_id: str) -> NotFound:
    """Refuse an id that no open task has."""
    return NotFound("task-not-found", f"expected an open task with id '{task_id}', found none", task_id=task_id)


def get_task(connection: Connection, task_id: str, *, local_variables: bool, process_variables: bool) -> TaskView:
    """One task. Raises NotFound."""
    rows = [_row(connection, task_id)]
    return _reader(local_variables=local_variables, process_variables=process_variables)(connection, rows)[0]


def get_tasks(connection: Connection, task_ids: Sequence[str]) -> list[TaskView]:
    """Several, in the order of the ids. Raises NotFound for any that is not there, InvalidArgument for too many."""
    if len(task_ids) > MAX_PAGE_SIZE:
        raise invalid("task_ids", f"expected at most {MAX_PAGE_SIZE} ids (limit: MAX_PAGE_SIZE), found {len(task_ids)}")
    named = seen_task(connection, _BASE.where(_T.id.in_(limited(task_ids, "task_ids"))))
    rows = connection.execute(named).all()
    by_id = {row.id: row for row in rows}
    missing = next((task_id for task_id in task_ids if task_id not in by_id), None)
    if missing is not None:
        raise not_found(missing)
    return [view_of(by_id[task_id]) for task_id in task_ids]


def list_subtasks(connection: Connection, task_id: str) -> list[TaskView]:
    """The tasks below a task, by id. Raises NotFound."""
    _row(connection, task_id)
    below = seen_task(connection, _BASE.where(_T.parent_task_id == task_id).order_by(_T.id))
    return [view_of(row) for row in connection.execute(below)]


# --- lists ------------------------------------------------------------------------------------------------------------


def list_tasks(connection: Connection, wanted: TaskFilter, page: Page, *, sqlite: bool) -> Listed[TaskView]:
    """Open tasks."""
    read = _reader(
        local_variables=wanted.include_task_local_variables, process_variables=wanted.include_process_variables
    )
    found = seen_tasks(connection, statement(wanted, sqlite=sqlite), wanted)
    return fetch(connection, Listing(sorting=_SORTING, statement=found, read=read), wanted, page)


def _reader(
    *, local_variables: bool, process_variables: bool
) -> Callable[[Connection, Sequence[Row[Any]]], list[TaskView]]:
    """Tasks with the variables that are asked for; local ones first, and both of a name if both are asked for."""

    def read(connection: Connection, rows: Sequence[Row[Any]]) -> list[TaskView]:
        own = [row.execution_id or row.id for row in rows] if local_variables else []
        outer = [row.instance_id for row in rows if row.instance_id] if process_variables else []
        scopes = var.read_scopes(connection, [*own, *outer])
        return [view_of(row, _shown(row, scopes, local=local_variables, outer=process_variables)) for row in rows]

    return read


def _shown(row: Row[Any], scopes: var.Scopes, *, local: bool, outer: bool) -> list[NamedVariable]:
    scope_id, instance_id = row.execution_id or row.id, row.instance_id
    found: list[NamedVariable] = []
    if local:
        found.extend(var.named(scopes[scope_id], LOCAL, instance_id, scope_id).values())
    if outer and instance_id:
        found.extend(var.named(scopes[instance_id], GLOBAL, instance_id, instance_id).values())
    return found


def statement(wanted: TaskFilter, *, sqlite: bool) -> Select[Any]:
    """The filtered list without order. Raises InvalidArgument for conditions that cannot be read."""
    where = Conditions(sqlite=sqlite)
    _texts(where, wanted)
    _people(where, wanted)
    _times(where, wanted)
    _place(where, wanted)
    _instance(where, wanted)
    where.tenant(_T.tenant_id, wanted)
    for index, condition in enumerate(wanted.task_variables):
        where.add(holds_at(condition, _T.root_id, _LOCAL_SCOPE, f"task_variables[{index}]", sqlite=sqlite))
    for index, condition in enumerate(wanted.process_instance_variables):
        field = f"process_instance_variables[{index}]"
        where.add(holds_at(condition, _T.root_id, _T.instance_id, field, sqlite=sqlite))
    found = where.on(_BASE)
    for tasks in _of_people(wanted):
        found = found.join(tasks, tasks.c.task_id == _T.id)
    return found


def _texts(where: Conditions, wanted: TaskFilter) -> None:
    where.equal(_T.id, wanted.task_id)
    where.equal(_T.name, wanted.name)
    where.like(_T.name, wanted.name_like)
    where.like_ignore_case(_T.name, wanted.name_like_ignore_case)
    where.equal(_T.description, wanted.description)
    where.like(_T.description, wanted.description_like)
    where.equal(_T.priority, wanted.priority)
    if wanted.minimum_priority is not None:
        where.add(_T.priority >= wanted.minimum_priority)
    if wanted.maximum_priority is not None:
        where.add(_T.priority <= wanted.maximum_priority)
    where.equal(_T.category, wanted.category)
    where.one_of(_T.category, wanted.category_in, "category_in")
    where.none_of(_T.category, wanted.category_not_in, "category_not_in")
    if wanted.category_not_in:
        # As in Flowable: a task without any category is not among those of other categories.
        where.add(_T.category != "")
    if wanted.without_category:
        where.add(_T.category == "")
    where.equal(_T.form_key, wanted.form_key)


def _people(where: Conditions, wanted: TaskFilter) -> None:
    where.equal(_T.assignee, wanted.assignee)
    where.like(_T.assignee, wanted.assignee_like)
    where.equal(_T.owner, wanted.owner)
    where.like(_T.owner, wanted.owner_like)
    if wanted.unassigned:
        where.add(_T.assignee == "")
    if wanted.assigned:
        where.add(_T.assignee != "")
    if wanted.delegation_state is not None and wanted.delegation_state not in DELEGATION_STATES:
        found = f"expected a delegation state of {' or '.join(DELEGATION_STATES)}, found '{wanted.delegation_state}'"
        raise invalid("delegation_state", found)
    where.equal(_T.delegation, wanted.delegation_state)
    by_candidates = wanted.candidate_user is not None or wanted.groups_asked_for
    if by_candidates and not wanted.ignore_assignee:
        where.add(_T.assignee == "")


def _times(where: Conditions, wanted: TaskFilter) -> None:
    where.equal(_T.created_at, wanted.created_on)
    where.before(_T.created_at, wanted.created_before)
    where.after(_T.created_at, wanted.created_after)
    where.equal(_T.due_at, wanted.due_date)
    where.before(_T.due_at, wanted.due_before)
    where.after(_T.due_at, wanted.due_after)
    if wanted.without_due_date:
        where.add(_T.due_at.is_(None))
    if wanted.active is not None:
        where.add(_T.suspended.is_(not wanted.active))


def _place(where: Conditions, wanted: TaskFilter) -> None:
    where.equal(_T.element_id, wanted.task_definition_key)
    where.like(_T.element_id, wanted.task_definition_key_like)
    where.one_of(_T.element_id, wanted.task_definition_keys, "task_definition_keys")
    where.equal(_T.instance_id, wanted.process_instance_id)
    where.one_of(_T.instance_id, wanted.process_instance_id_in, "process_instance_id_in")
    where.equal(_T.definition_id, wanted.process_definition_id)
    where.equal(_T.execution_id, wanted.execution_id)
    if wanted.without_process_instance_id:
        where.add(_T.instance_id == "")
    if wanted.exclude_sub_tasks:
        where.add(_T.parent_task_id == "")
    if wanted.process_instance_id_with_children is not None:
        where.add(_T.instance_id.in_(_with_children(wanted.process_instance_id_with_children)))


def _with_children(instance_id: str) -> Select[Any]:
    """The ids of an instance and of all that it called, at all levels."""
    child = tables.instance.alias()
    family = select(_I.id, _I.root_id).where(_I.id == instance_id).cte("family", recursive=True)
    # Children stay within the root, which is what the index knows.
    below = select(child.c.id, child.c.root_id).join(
        family, (child.c.root_id == family.c.root_id) & (child.c.super_instance_id == family.c.id)
    )
    return select(family.union_all(below).c.id)


def _instance(where: Conditions, wanted: TaskFilter) -> None:
    """What only the task's instance knows."""
    of_instance = Conditions(sqlite=where.sqlite)
    of_instance.equal(_I.business_key, wanted.process_instance_business_key)
    of_instance.like(_I.business_key, wanted.process_instance_business_key_like)
    of_instance.equal(_I.definition_key, wanted.process_definition_key)
    of_instance.like(_I.definition_key, wanted.process_definition_key_like)
    of_instance.equal(_I.definition_name, wanted.process_definition_name)
    of_instance.like(_I.definition_name, wanted.process_definition_name_like)
    if of_instance.all:
        where.add(_T.instance_id.in_(of_instance.on(select(_I.id))))


def _of_people(wanted: TaskFilter) -> list[FromClause]:
    """The ids of tasks that somebody has to do with; their links and assignments are found by index, once."""
    found: list[FromClause] = []
    candidates: list[Select[Any]] = []
    if wanted.candidate_user is not None:
        candidates += [_linked(_L.user_id == wanted.candidate_user), *_by_groups(wanted.user_groups)]
    # A user and groups together: candidates of either (Flowable does so).
    candidates += _by_groups(wanted.groups_asked_for)
    if candidates:
        found.append(union(*candidates).subquery())
    if wanted.candidate_or_assigned is not None:
        user = wanted.candidate_or_assigned
        own = select(_T.id.label("task_id")).where(_T.assignee == user)
        open_tasks = tables.task.alias()
        # Somebody else's task is not for them to claim, whoever the candidates were.
        free = [
            linked.join(open_tasks, open_tasks.c.id == _L.task_id).where(open_tasks.c.assignee == "")
            for linked in (_linked(_L.user_id == user), *_by_groups(wanted.user_groups))
        ]
        found.append(union(own, *free).subquery())
    if wanted.involved_user is not None:
        user = wanted.involved_user
        linked = select(_L.task_id.label("task_id")).where(_L.user_id == user, _L.task_id != "")
        own = select(_T.id.label("task_id")).where(_T.assignee == user)
        owned = select(_T.id.label("task_id")).where(_T.owner == user)
        found.append(union(linked, own, owned).subquery())
    return found


def _linked(condition: ColumnElement[bool]) -> Select[Any]:
    return select(_L.task_id.label("task_id")).where(condition, _L.kind == links.CANDIDATE, _L.task_id != "")


def _by_groups(groups: Sequence[str]) -> list[Select[Any]]:
    return [_linked(_L.group_id.in_(limited(groups, "groups")))] if groups else []


# --- what hangs at a task ---------------------------------------------------------------------------------------------


def list_task_variables(
    connection: Connection, task_id: str, scope: str, definition_of: DefinitionOf
) -> list[NamedVariable]:
    """What a task sees, by name. Raises NotFound, InvalidArgument for the scope."""
    return list(_seen(connection, task_id, scope, definition_of).values())


def get_task_variable(
    connection: Connection, task_id: str, name: str, scope: str, definition_of: DefinitionOf
) -> NamedVariable:
    """One of them. Raises NotFound, InvalidArgument for the scope."""
    return var.pick(_seen(connection, task_id, scope, definition_of), name, f"task {task_id}")


def _seen(connection: Connection, task_id: str, scope: str, definition_of: DefinitionOf) -> dict[str, NamedVariable]:
    var.check_scope(scope)
    row = _row(connection, task_id)
    if row.instance_id:
        tokens = find_instance(connection, row.execution_id)
        return seen_in(connection, tokens, row.execution_id, scope, definition_of)
    scopes = var.read_scopes(connection, [] if scope == GLOBAL else [task_id])
    return var.seen_from("", [task_id], scopes, scope)


def list_task_identity_links(connection: Connection, task_id: str, family: str) -> list[IdentityLinkView]:
    """The links of a task with its assignee and owner. Raises NotFound, InvalidArgument for the family."""
    if family:
        links.check_family(family)
    row = _row(connection, task_id)
    found = links.read_links(connection, task_id)
    for kind, user in ((links.ASSIGNEE, row.assignee), (links.OWNER, row.owner)):
        if user:
            found.append(IdentityLinkView(user=user, type=kind))
    return links.of_family(found, family) if family else found


def get_task_identity_link(
    connection: Connection, task_id: str, family: str, identity_id: str, kind: str
) -> IdentityLinkView:
    """One of them. Raises NotFound, InvalidArgument for the family."""
    links.check_family(family)
    return links.pick(list_task_identity_links(connection, task_id, family), identity_id, kind, f"task {task_id}")
