"""Setting and removing variables from outside."""

from engine.kernel import commands as cmd
from engine.kernel import conditions, scopes
from engine.kernel.errors import ALREADY_EXISTS, MissingVariables, Refused, not_found
from engine.kernel.handling.targets import execution_of, require_active
from engine.kernel.state import Execution
from engine.kernel.turn import Turn


def _require_loaded(turn: Turn, execution: Execution) -> None:
    if execution.locals and execution.id not in turn.tree.variables and not turn.tree.all_loaded:
        raise MissingVariables(execution.id)


def set_variables(turn: Turn, command: cmd.SetVariables) -> None:
    instance, execution = execution_of(turn, command.execution_id)
    require_active(instance)
    _require_loaded(turn, execution)
    target = None if execution.id == instance.id else execution
    own = turn.tree.variables.get(execution.id, {})
    for name, value in command.variables.items():
        exists = name in own if command.local else scopes.has(turn, instance, target, name)
        if command.create_only and exists:
            raise Refused(
                ALREADY_EXISTS,
                "variable-exists",
                f"expected no variable '{name}' on execution {execution.id}, found one",
                name=name,
            )
        if command.update_only and not exists:
            raise not_found(
                "variable-not-found", f"expected a variable '{name}' on execution {execution.id}, found none", name=name
            )
        if command.local:
            scopes.put(turn, instance, execution.id, name, value)
        else:
            scopes.set_variable(turn, instance, target, name, value)
    conditions.test_all(turn, instance)


def remove_variables(turn: Turn, command: cmd.RemoveVariables) -> None:
    instance, execution = execution_of(turn, command.execution_id)
    require_active(instance)
    _require_loaded(turn, execution)
    names = command.names or list(turn.tree.variables.get(execution.id, {}))
    for name in names:
        if not scopes.remove(turn, instance, execution.id, name) and command.strict:
            raise not_found(
                "variable-not-found", f"expected a variable '{name}' on execution {execution.id}, found none", name=name
            )
