"""Whose rows a query sees: the rights of whoever asks, carried by the connection that it is given for its time.

What a query may not see is not there for it: the condition stands in the statement that looks for the row.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, exists, not_, or_, select, union

from engine.app.queries.filters import TaskFilter
from engine.kernel.rights import CANDIDATE, Rights
from engine.storage import tables

Column: TypeAlias = ColumnElement[Any]

_OPTION: Final = "rights"
_T: Final = tables.task.c
_L: Final = tables.identity_link.c
_I: Final = tables.instance.c
_V: Final = tables.variable.c


def look_for(connection: Connection, rights: Rights | None) -> None:
    """Let what is asked on this connection be asked by somebody; None: by the engine itself."""
    connection.execution_options(**{_OPTION: rights})


def rights_of(connection: Connection) -> Rights | None:
    """Return the rights of whoever asks."""
    found: Rights | None = connection.get_execution_options().get(_OPTION)
    return found


def seen(connection: Connection, statement: Select[Any], tenant: Column) -> Select[Any]:
    """Return a statement that leaves out the rows of tenants that are not seen; `tenant` is the column."""
    rights = rights_of(connection)
    if rights is None or rights.tenant_id is None:
        return statement
    return statement.where(tenant == rights.tenant_id)


def seen_variables(connection: Connection, statement: Select[Any]) -> Select[Any]:
    """Return a statement on variables without those of tenants that are not seen: the instance or task knows whose."""
    rights = rights_of(connection)
    if rights is None or rights.tenant_id is None:
        return statement
    of_instance = exists().where(_I.id == _V.instance_id, _I.tenant_id == rights.tenant_id)
    of_task = exists().where(_T.id == _V.scope_id, _T.instance_id == "", _T.tenant_id == rights.tenant_id)
    return statement.where(or_(of_instance, and_(_V.root_id == "", of_task)))


def seen_task(connection: Connection, statement: Select[Any]) -> Select[Any]:
    """Return a statement on tasks that are named by id, without those that are not seen."""
    statement = seen(connection, statement, _T.tenant_id)
    rights = rights_of(connection)
    return statement if rights is None or not rights.own_tasks else statement.where(_is_theirs(rights))


def seen_tasks(connection: Connection, statement: Select[Any], wanted: TaskFilter) -> Select[Any]:
    """Return a list of tasks without those that are not seen."""
    statement = seen(connection, statement, _T.tenant_id)
    rights = rights_of(connection)
    if rights is None or not rights.own_tasks or _asks_for_own(wanted, rights):
        return statement
    if _names_few(wanted):
        return statement.where(_is_theirs(rights))
    theirs = _theirs(rights)
    return statement.join(theirs, theirs.c.task_id == _T.id)


def _asks_for_own(wanted: TaskFilter, rights: Rights) -> bool:
    """Tell whether a list holds by itself nothing but tasks of whoever asks, as that of an inbox does."""
    people = (wanted.assignee, wanted.owner, wanted.candidate_user, wanted.candidate_or_assigned)
    # Candidates of a user and of groups are listed together, so the groups have to be theirs as well.
    groups = {group for group in wanted.groups_asked_for if group}
    known = {*wanted.user_groups, *groups} <= set(rights.groups)
    return bool(rights.user_id) and rights.user_id in people and known


def _names_few(wanted: TaskFilter) -> bool:
    """Tell whether a list is about few tasks anyway: each is then looked at, rather than all that are theirs found."""
    return any(
        (
            wanted.task_id,
            wanted.name,
            wanted.execution_id,
            wanted.process_instance_id,
            wanted.process_instance_id_in,
            wanted.process_instance_id_with_children,
            wanted.process_instance_business_key,
            wanted.assignee,
            wanted.owner,
        )
    )


def _is_theirs(rights: Rights) -> Column:
    """Whether one task is somebody's to see (`Rights.may_claim` in SQL)."""
    candidates = exists().where(_L.owner_id == _T.id, _L.kind == CANDIDATE)
    found = [and_(_T.assignee == "", not_(candidates))]
    if rights.user_id:
        found += [_T.assignee == rights.user_id, _T.owner == rights.user_id]
        found.append(candidates.where(_L.user_id == rights.user_id))
    if rights.groups:
        found.append(candidates.where(_L.group_id.in_(rights.groups)))
    return or_(*found)


def _theirs(rights: Rights) -> FromClause:
    """The ids of all tasks that are somebody's to see, found by indexes: what they have, what they could have."""
    task, link = tables.task.alias(), tables.identity_link.alias()
    ids = select(task.c.id.label("task_id"))
    links = select(link.c.task_id.label("task_id")).where(link.c.kind == CANDIDATE, link.c.task_id != "")
    candidates = exists().where(link.c.owner_id == task.c.id, link.c.kind == CANDIDATE)
    parts = [ids.where(task.c.assignee == "", not_(candidates))]
    if rights.user_id:
        parts += [ids.where(task.c.assignee == rights.user_id), ids.where(task.c.owner == rights.user_id)]
        parts.append(links.where(link.c.user_id == rights.user_id))
    if rights.groups:
        parts.append(links.where(link.c.group_id.in_(rights.groups)))
    return union(*parts).subquery()
