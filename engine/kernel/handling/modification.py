"""Change of activity state: tokens are taken from some elements and put on others (Flowable's ChangeActivityState)."""

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import lifecycle, scopes
from engine.kernel.definition import Node
from engine.kernel.errors import failed, invalid
from engine.kernel.handling.targets import instance_of, require_active
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn

REASON = "change activity state"


def change_state(turn: Turn, command: cmd.ChangeState) -> None:
    instance = require_active(instance_of(turn, command.instance_id))
    root = lifecycle.root_execution(instance, turn.definition_of(instance).process)
    targets = [_node(turn, instance, element_id) for element_id in command.start]
    sources = _sources(turn, instance, command)
    for name, value in command.variables.items():
        scopes.set_variable(turn, instance, root, name, value)
    # The new tokens are queued before the old ones go: a scope that both share must not find itself empty in between.
    for node in targets:
        lifecycle.enter_later(turn, instance, _open_scopes(turn, instance, node, sources), node)
    for execution in sources:
        if execution.id in instance.executions:
            _withdraw(turn, instance, execution)
    if not targets:
        lifecycle.path_ended(turn, instance, instance.id)


def _node(turn: Turn, instance: Instance, element_id: str) -> Node:
    node = turn.definition_of(instance).nodes.get(element_id)
    if node is None or node.parent is None:
        raise invalid(
            "element-not-found",
            f"expected an element of process '{instance.definition_key}', found none with id '{element_id}'",
            element_id=element_id,
        )
    return node


def _sources(turn: Turn, instance: Instance, command: cmd.ChangeState) -> list[Execution]:
    found: list[Execution] = []
    for element_id in command.cancel:
        _node(turn, instance, element_id)
        standing = [
            e
            for e in instance.executions.values()
            if e.element == element_id and e.turn is None
        ]
        if not standing:
            raise failed(
                "not-active", f"expected an active execution at '{element_id}', found none", element_id=element_id
            )
        found.extend(standing)
    for execution_id in command.cancel_executions:
        execution = instance.executions.get(execution_id)
        if execution is None:
            raise failed("not-active", f"expected an active execution {execution_id}, found none")
        found.append(execution)
    return found


def _open_scopes(turn: Turn, instance: Instance, node: Node, sources: list[Execution]) -> str:
    """The living scope around a node, opened from outside in where it is not open yet."""
    path: list[Node] = []
    container = node.parent
    while container is not None and container.parent is not None:
        path.append(container)
        container = container.parent
    scope_id = instance.id
    for inner in reversed(path):
        living = next(
            (e for e in instance.children_of(scope_id) if e.element == inner.id and not e.body and e not in sources), None
        )
        scope_id = living.id if living is not None else _open(turn, instance, scope_id, inner)
    return scope_id


def _open(turn: Turn, instance: Instance, parent_id: str, node: Node) -> str:
    """Begin a sub-process without its start event."""
    execution_id = turn.env.new_id()
    turn.emit(
        ev.ElementStarted(
            instance_id=instance.id,
            execution_id=execution_id,
            parent_id=parent_id,
            element_id=node.id,
            element_type=node.kind.type,
            at=turn.at,
            element_name=node.name,
            scope=True,
        )
    )
    execution = instance.executions[execution_id]
    lifecycle.open_scope(turn, instance, execution, node)
    lifecycle.arm_boundary(turn, instance, execution, node)
    return execution_id


def _withdraw(turn: Turn, instance: Instance, execution: Execution) -> None:
    """Cancel a token, and the scopes around it that it leaves empty."""
    scope_id = execution.parent
    lifecycle.cancel(turn, instance, execution, REASON)
    while scope_id != instance.id and not instance.children_of(scope_id) and not turn.is_pending(scope_id):
        scope = instance.executions[scope_id]
        outer = scope.parent
        lifecycle.cancel(turn, instance, scope, REASON)
        scope_id = outer
