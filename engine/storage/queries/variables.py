"""Variables: of scopes, as somebody sees them, and in a list of their own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, case, exists, not_, or_, select

from engine.app.queries.filters import VariableInstanceFilter
from engine.app.queries.paging import Listed, Page
from engine.app.queries.views import GLOBAL, LOCAL, SCOPES, NamedVariable, VariableInstanceView
from engine.kernel.values import Variable
from engine.storage import tables
from engine.storage.codec import decode_value
from engine.storage.queries.conditions import Conditions
from engine.storage.queries.listing import Listing, Sorting, fetch, invalid
from engine.storage.queries.predicates import NOT_EXISTS, matches
from engine.storage.queries.seen import seen_variables
from mesh.errors import NotFound

Scopes = dict[str, dict[str, Variable]]
"""Variables by scope id and name."""

_V: Final = tables.variable.c
_T: Final = tables.task.c
_I: Final = tables.instance.c


def read_scopes(connection: Connection, scope_ids: Iterable[str]) -> Scopes:
    """All variables of scopes, by scope and name: one statement, none for no scope."""
    wanted = [scope_id for scope_id in dict.fromkeys(scope_ids) if scope_id]
    found: Scopes = {scope_id: {} for scope_id in wanted}
    if not wanted:
        return found
    statement = select(_V.scope_id, _V.name, _V.type, _V.value).where(_V.scope_id.in_(wanted)).order_by(_V.name)
    for scope_id, name, kind, value in connection.execute(statement):
        found[scope_id][name] = Variable(kind, decode_value(kind, value))
    return found


def read_one(connection: Connection, scope_id: str, name: str) -> Variable | None:
    """One variable of a scope."""
    statement = select(_V.type, _V.value).where(_V.scope_id == scope_id, _V.name == name)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Variable(row[0], decode_value(row[0], row[1]))


def check_scope(scope: str) -> None:
    """Raises InvalidArgument for anything but local, global and empty."""
    if scope and scope not in SCOPES:
        raise invalid("scope", f"expected scope {' or '.join(SCOPES)}, found '{scope}'")


def named(variables: Mapping[str, Variable], scope: str, instance_id: str, scope_id: str) -> dict[str, NamedVariable]:
    """Variables of one scope by name, as they are seen with the word `scope`."""
    return {
        name: NamedVariable(
            name=name, variable=variable, scope=scope, process_instance_id=instance_id, scope_id=scope_id
        )
        for name, variable in variables.items()
    }


def seen_from(
    instance_id: str, scope_ids: Sequence[str], scopes: Mapping[str, Mapping[str, Variable]], scope: str
) -> dict[str, NamedVariable]:
    """What is visible from the first of `scope_ids` (innermost first), by name in alphabetical order.

    Its own variables are local, all others global; a local one hides a global one of its name, unless only the global
    ones are wanted.
    """
    own, outer = scope_ids[0], scope_ids[1:]
    found: dict[str, NamedVariable] = {}
    if scope != LOCAL:
        for scope_id in reversed(outer):
            found.update(named(scopes.get(scope_id, {}), GLOBAL, instance_id, scope_id))
    if scope != GLOBAL:
        found.update(named(scopes.get(own, {}), LOCAL, instance_id, own))
    return dict(sorted(found.items()))


def pick(found: Mapping[str, NamedVariable], name: str, owner: str) -> NamedVariable:
    """One of them. Raises NotFound."""
    variable = found.get(name)
    if variable is None:
        raise NotFound("variable-not-found", f"expected {owner} to have a variable '{name}', found none", name=name)
    return variable


# --- variable instances -----------------------------------------------------------------------------------------------

_SORTING: Final = Sorting(
    list_name="variable instances",
    sorts={"variableName": _V.name, "processInstanceId": _V.instance_id},
    default="variableName",
    key=(_V.name, _V.scope_id, _V.root_id),
)


def list_variable_instances(
    connection: Connection, wanted: VariableInstanceFilter, page: Page, *, sqlite: bool
) -> Listed[VariableInstanceView]:
    """Variables wherever they hang."""
    where = Conditions(sqlite=sqlite)
    if wanted.task_id is not None:
        owner = select(case((_T.execution_id == "", _T.id), else_=_T.execution_id)).where(_T.id == wanted.task_id)
        where.add(_V.scope_id.in_(owner))
    where.equal(_V.scope_id, wanted.execution_id)
    if wanted.process_instance_id is not None:
        root = select(_I.root_id).where(_I.id == wanted.process_instance_id)
        where.add(and_(_V.root_id.in_(root), _V.instance_id == wanted.process_instance_id))
    where.equal(_V.name, wanted.variable_name)
    where.like(_V.name, wanted.variable_name_like)
    if wanted.exclude_task_variables:
        where.add(not_(or_(_V.root_id == "", exists().where(_T.execution_id == _V.scope_id))))
    if wanted.exclude_local_variables:
        where.add(_V.scope_id == _V.instance_id)
    for index, condition in enumerate(wanted.variables):
        field = f"variables[{index}]"
        if condition.operation == NOT_EXISTS:
            raise invalid(
                f"{field}.operation", f"expected a condition on a variable that is there, found '{NOT_EXISTS}'"
            )
        where.add(matches(condition, tables.variable, field, sqlite=sqlite))
    found = seen_variables(connection, where.on(_base()))
    return fetch(connection, Listing(sorting=_SORTING, statement=found, read=_views), wanted, page)


def get_variable_instance(connection: Connection, variable_instance_id: str) -> VariableInstanceView:
    """One of them by its own id. Raises NotFound."""
    scope_id, name = _parse_id(variable_instance_id)
    wanted = seen_variables(connection, _base().where(_V.scope_id == scope_id, _V.name == name))
    rows = connection.execute(wanted).all()
    if not rows:
        raise _unknown(variable_instance_id)
    return _views(connection, rows)[0]


def _base() -> Select[Any]:
    return select(_V.root_id, _V.scope_id, _V.name, _V.instance_id, _V.type, _V.value)


def _views(connection: Connection, rows: Sequence[Row[Any]]) -> list[VariableInstanceView]:
    # Most variables hang at instances, so whose tasks' they are is asked for the page, not for each row in the list.
    scopes = list({row.scope_id for row in rows})
    tasks = select(_T.id, _T.execution_id, _T.tenant_id).where(or_(_T.execution_id.in_(scopes), _T.id.in_(scopes)))
    owners: dict[str, Any] = {row.execution_id or row.id: row for row in connection.execute(tasks)}
    instances = select(_I.id, _I.tenant_id).where(_I.id.in_({row.instance_id for row in rows}))
    tenants = {row.id: row.tenant_id for row in connection.execute(instances)}
    return [_view(row, owners.get(row.scope_id), tenants.get(row.instance_id)) for row in rows]


def _view(row: Row[Any], task: Row[Any] | None, tenant_id: str | None) -> VariableInstanceView:
    return VariableInstanceView(
        id=_id_of(row.scope_id, row.name),
        process_instance_id=row.instance_id,
        execution_id=row.scope_id if row.instance_id else "",
        task_id=task.id if task is not None else "",
        name=row.name,
        variable=Variable(row.type, decode_value(row.type, row.value)),
        scope=GLOBAL if row.scope_id == row.instance_id else LOCAL,
        tenant_id=tenant_id if tenant_id is not None else (task.tenant_id if task is not None else ""),
    )


def _id_of(scope_id: str, name: str) -> str:
    # A name may have any character, and an id must fit into a path.
    return base64.urlsafe_b64encode(f"{scope_id}\n{name}".encode()).decode().rstrip("=")


def _parse_id(variable_instance_id: str) -> tuple[str, str]:
    try:
        padded = variable_instance_id + "=" * (-len(variable_instance_id) % 4)
        scope_id, separator, name = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition("\n")
    except (binascii.Error, ValueError) as error:
        raise _unknown(variable_instance_id) from error
    if not separator:
        raise _unknown(variable_instance_id)
    return scope_id, name


def _unknown(variable_instance_id: str) -> NotFound:
    return NotFound(
        "variable-not-found",
        f"expected a variable with id '{variable_instance_id}', found none",
        variable_instance_id=variable_instance_id,
    )
