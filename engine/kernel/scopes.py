"""Where variables live and how a name is found: the execution, its scopes outwards, the process instance.

A leaf execution's own variables hide those of its scope; setting a name changes it where it already lives, and creates
it at the process instance otherwise (Flowable's `setVariable`). Loop counters are not stored: they are read off the
multi-instance executions themselves.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from engine.kernel import events as ev
from engine.kernel.errors import MissingVariables, Refused
from engine.kernel.expression import Exposed
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import NULL, Variable, type_of

_ABSENT = object()
MAX_NAME_CHARACTERS = 255
LOOP_NAMES = ("nrOfInstances", "nrOfActiveInstances", "nrOfCompletedInstances")


def scope_ids(instance: Instance, execution: Execution | None) -> Iterator[str]:
    """The ids of the scopes that are visible from an execution, innermost first, the instance last."""
    while execution is not None:
        yield execution.id
        execution = instance.executions.get(execution.parent)
    yield instance.id


def find(turn: Turn, instance: Instance, execution: Execution | None, name: str) -> Any:
    """The value of a name as seen from an execution. Raises KeyError if there is none."""
    transient = turn.transient.get(instance.id)
    if transient is not None and name in transient:
        return transient[name]
    tree = turn.tree
    variables = tree.variables
    current = execution
    while current is not None:
        scope = variables.get(current.id)
        if scope is not None:
            variable = scope.get(name)
            if variable is not None:
                return variable.value
        elif current.locals and not tree.all_loaded and not current.scope and not current.body:
            raise MissingVariables(current.id)
        if current.turn is not None or (current.body and not current.scope):
            value = _loop_variable(turn, instance, current, name)
            if value is not _ABSENT:
                return value
        current = instance.executions.get(current.parent)
    scope = variables.get(instance.id)
    if scope is not None:
        variable = scope.get(name)
        if variable is not None:
            return variable.value
    raise KeyError(name)


def _loop_variable(turn: Turn, instance: Instance, execution: Execution, name: str) -> Any:
    if execution.body:
        if name == "nrOfInstances" and execution.total is not None:
            return execution.total
        if name == "nrOfCompletedInstances":
            return execution.done
        if name == "nrOfActiveInstances":
            return _active_turns(turn, instance, execution)
        return _ABSENT
    loop = turn.node_of(instance, execution).loop
    if loop is not None and name == loop.index_variable:
        return execution.turn
    return _ABSENT


def _active_turns(turn: Turn, instance: Instance, body: Execution) -> int:
    """A parallel loop's turns count as active from the beginning, a sequential one has one at a time."""
    loop = turn.node_of(instance, body).loop
    if loop is not None and loop.sequential:
        return body.started - body.done
    return (body.total or 0) - body.done


def has(turn: Turn, instance: Instance, execution: Execution | None, name: str) -> bool:
    try:
        find(turn, instance, execution, name)
    except KeyError:
        return False
    return True


def visible(turn: Turn, instance: Instance, execution: Execution | None) -> dict[str, Any]:
    """All variables seen from an execution by name; inner ones hide outer ones."""
    found: dict[str, Any] = {}
    for scope_id in reversed(list(scope_ids(instance, execution))):
        current = instance.executions.get(scope_id)
        if current is not None:
            if scope_id not in turn.tree.variables and current.locals and not turn.tree.all_loaded:
                raise MissingVariables(scope_id)
            if current.turn is not None or (current.body and not current.scope):
                found.update(loop_variables(turn, instance, current))
        found.update({name: variable.value for name, variable in turn.tree.variables.get(scope_id, {}).items()})
    found.update(turn.transient.get(instance.id, {}))
    return found


def loop_variables(turn: Turn, instance: Instance, execution: Execution) -> dict[str, int]:
    """The counters that a multi-instance body or one of its turns shows as variables."""
    if execution.body:
        if execution.total is None:
            return {}
        return {
            "nrOfInstances": execution.total,
            "nrOfCompletedInstances": execution.done,
            "nrOfActiveInstances": _active_turns(turn, instance, execution),
        }
    loop = turn.node_of(instance, execution).loop
    return {loop.index_variable: execution.turn} if loop is not None and execution.turn is not None else {}


def set_variable(turn: Turn, instance: Instance, execution: Execution | None, name: str, value: Any) -> None:
    """Change the name where it lives as seen from the execution, or create it at the process instance."""
    for scope_id in scope_ids(instance, execution):
        scope = turn.tree.variables.get(scope_id)
        if scope is not None and name in scope:
            put(turn, instance, scope_id, name, value)
            return
        current = instance.executions.get(scope_id)
        leaf = current is not None and not current.scope and not current.body
        if scope is None and current is not None and leaf and current.locals and not turn.tree.all_loaded:
            raise MissingVariables(scope_id)
    put(turn, instance, _home(turn, instance, execution), name, value)


def _home(turn: Turn, instance: Instance, execution: Execution | None) -> str:
    """Where a new variable goes: to the instance, or to the turn of a loop that gathers its turns' variables."""
    if turn.definition_of(instance).has_aggregations:
        while execution is not None:
            loop = turn.node_of(instance, execution).loop if execution.turn is not None else None
            if loop is not None and loop.aggregations:
                return execution.id
            execution = instance.executions.get(execution.parent)
    return instance.id


def put(turn: Turn, instance: Instance, scope_id: str, name: str, value: Any) -> None:
    """Set a variable exactly in that scope. `value` may be a `Variable` with a declared type.

    Raises Refused for what is not a value or is larger than the limit.
    """
    check_name(name)
    variable = value if type(value) is Variable else typed(name, value)
    former = turn.tree.variables.get(scope_id, {}).get(name)
    if former is not None and former == variable and type(former.value) is type(variable.value):
        return
    _check_size(turn, name, variable)
    execution = instance.executions.get(scope_id)
    turn.emit(
        ev.VariableSet(
            instance_id=instance.id,
            scope_id=scope_id,
            name=name,
            type=variable.type,
            value=variable.value,
            created=former is None,
            at=turn.at,
            leaf=execution is not None and not execution.scope and not execution.body,
        )
    )


def check_name(name: Any) -> None:
    """Refuse what cannot be the name of a variable."""
    # Expressions call with whatever they have.
    if type(name) is not str or not 0 < len(name) <= MAX_NAME_CHARACTERS:
        expected = f"expected a variable name of 1 to {MAX_NAME_CHARACTERS} characters"
        found = f"{len(name)}" if type(name) is str else repr(name)
        raise Refused("FAILED_PRECONDITION", "bad-variable-name", f"{expected}, found {found}")


def typed(name: str, value: Any) -> Variable:
    if isinstance(value, Exposed):
        raise Refused(
            "FAILED_PRECONDITION", "not-a-value", f"variable '{name}': expected a value, found the object {value!r}"
        )
    try:
        return Variable(type_of(value), value)
    except TypeError as error:
        raise Refused("FAILED_PRECONDITION", "not-a-value", f"variable '{name}': {error}") from error


_SMALL = 1024


def _check_size(turn: Turn, name: str, variable: Variable) -> None:
    value = variable.value
    if (
        value is None
        or isinstance(value, bool | int | float | datetime)
        or (isinstance(value, str) and len(value) < _SMALL)
    ):
        return
    limit = turn.env.limits.variable_bytes
    size = len(value) if isinstance(value, bytes) else len(msgspec.json.encode(value))
    if size > limit:
        raise Refused(
            "INVALID_ARGUMENT",
            "variable-too-large",
            f"variable '{name}': expected at most {limit} bytes as JSON (limit: variable_bytes), found {size}",
            name=name,
        )


def remove(turn: Turn, instance: Instance, scope_id: str, name: str) -> bool:
    """Remove a variable from exactly that scope; says whether it was there."""
    if name not in turn.tree.variables.get(scope_id, {}):
        return False
    turn.emit(ev.VariableRemoved(instance_id=instance.id, scope_id=scope_id, name=name, at=turn.at))
    return True


def remove_visible(turn: Turn, instance: Instance, execution: Execution | None, name: str) -> bool:
    """Remove a name from the innermost scope that holds it."""
    return any(remove(turn, instance, scope_id, name) for scope_id in scope_ids(instance, execution))


__all__ = ["NULL", "find", "put", "remove", "set_variable", "visible"]
