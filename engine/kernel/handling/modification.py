"""Change of activity state: tokens are taken from some elements and put on others (Flowable's ChangeActivityState)."""

from collections.abc import Collection

from engine.kernel import commands as cmd
from engine.kernel import lifecycle, scopes
from engine.kernel.cancelling import cancel
from engine.kernel.definition import Family, Node
from engine.kernel.errors import failed, invalid
from engine.kernel.handling.targets import instance_of, require_active
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.waits import close_event_subprocess_waits

REASON = "change activity state"


def change_state(turn: Turn, command: cmd.ChangeState) -> None:
    instance = require_active(instance_of(turn, command.instance_id))
    targets = [_node(turn, instance, element_id) for element_id in command.start]
    sources = _sources(turn, instance, command)
    for name, value in command.variables.items():
        scopes.set_variable(turn, instance, None, name, value)
    _check_ad_hoc(instance, targets, sources)
    # The new tokens are queued before the old ones go: a scope that both share must not find itself empty in between.
    for node in targets:
        for _ in range(_tokens(node, sources)):
            put_token(turn, instance, node, sources, command.local_variables)
    withdraw(turn, instance, sources, REASON)
    if not targets:
        lifecycle.path_ended(turn, instance, instance.id)


def _tokens(node: Node, sources: Collection[Execution]) -> int:
    """How many tokens arrive: one, but at a gateway each that moves, so that a join finds them (Flowable)."""
    return max(1, len(sources)) if node.kind.family is Family.GATEWAY else 1


def put_token(
    turn: Turn,
    instance: Instance,
    node: Node,
    leaving: Collection[Execution] = (),
    local_variables: cmd.Variables | None = None,
) -> None:
    """Queue a token for an element anywhere, opening the scopes around it; `leaving` ones do not count as open.

    `local_variables` are the token's own. A multi-instance activity keeps them at its body, where all turns see them.
    """
    scope_id = _open_scopes(turn, instance, node, leaving)
    lifecycle.enter_later(turn, instance, scope_id, node, local_variables=local_variables)


def withdraw(turn: Turn, instance: Instance, sources: Collection[Execution], reason: str) -> None:
    """Cancel tokens, and the scopes around them that they leave empty."""
    for execution in sources:
        if instance.executions.get(execution.id) is execution:
            _withdraw(turn, instance, execution, reason)


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
            e for e in instance.executions.values() if e.element == element_id and e.turn is None and not e.is_frame
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


def _check_ad_hoc(instance: Instance, targets: list[Node], sources: list[Execution]) -> None:
    """A sequential ad-hoc sub-process has one activity at a time."""
    for node in targets:
        around = node.parent
        if around is None or not getattr(around.props, "sequential", False):
            continue
        scope = next((e for e in instance.executions.values() if e.element == around.id and not e.body), None)
        busy = [e for e in instance.children_of(scope.id) if e not in sources] if scope is not None else []
        if busy:
            raise failed(
                "ad-hoc-busy",
                f"expected no activity to be active in the sequential ad-hoc sub-process '{around.id}', "
                f"found '{busy[0].element}'",
                element_id=node.id,
            )


def _open_scopes(turn: Turn, instance: Instance, node: Node, leaving: Collection[Execution]) -> str:
    """The living scope around a node, opened from outside in where it is not open yet."""
    path: list[Node] = []
    container = node.parent
    while container is not None and container.parent is not None:
        path.append(container)
        container = container.parent
    scope_id = instance.id
    for inner in reversed(path):
        living = next(
            (e for e in instance.children_of(scope_id) if e.element == inner.id and not e.body and e not in leaving),
            None,
        )
        scope_id = living.id if living is not None else _open(turn, instance, scope_id, inner)
    return scope_id


def _open(turn: Turn, instance: Instance, parent_id: str, node: Node) -> str:
    """Begin a sub-process without its start event. An interrupting event sub-process ends the listening around it."""
    if node.is_event_subprocess and node.start is not None and node.start.interrupting:
        close_event_subprocess_waits(turn, instance, parent_id)
    execution = lifecycle.begin(turn, instance, parent_id, node, turn.env.new_id())
    lifecycle.open_scope(turn, instance, execution, node)
    lifecycle.arm_boundary(turn, instance, execution, node)
    return execution.id


def _withdraw(turn: Turn, instance: Instance, execution: Execution, reason: str) -> None:
    scope_id = execution.parent
    cancel(turn, instance, execution, reason)
    close_empty(turn, instance, scope_id, reason)


def close_empty(turn: Turn, instance: Instance, scope_id: str, reason: str) -> None:
    """Cancel a scope in which nothing is left, and those around it that have held nothing else."""
    while scope_id in instance.executions and not instance.children.get(scope_id) and not turn.is_pending(scope_id):
        scope = instance.executions[scope_id]
        outer = scope.parent
        cancel(turn, instance, scope, reason)
        scope_id = outer
