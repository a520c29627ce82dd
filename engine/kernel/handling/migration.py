"""Migration of an instance to another version of its process (Flowable's ProcessMigrationService, one to one mappings).

What has a counterpart of its kind in the corresponding scope stays where it is, with its task, its variables and its
waits; what is mapped to an element of another kind or in another scope is cancelled and begins anew there.
"""

from dataclasses import dataclass, field
from typing import Any

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import lifecycle, scopes
from engine.kernel.cancelling import cancel
from engine.kernel.definition import Definition, Node
from engine.kernel.errors import failed, invalid
from engine.kernel.handling.modification import close_empty, put_token
from engine.kernel.handling.targets import instance_of
from engine.kernel.here import Here
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import Value
from engine.kernel.waits import close

REASON = "migration"


@dataclass(slots=True)
class _Plan:
    """Which executions stay (by id), which move (with the element that they move to), and what is in the way."""

    former: Definition
    target: Definition
    mappings: dict[str, str]
    stays: set[str] = field(default_factory=set)
    moves: list[tuple[Execution, Node]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def new_id(self, element_id: str) -> str:
        return self.mappings.get(element_id, element_id)


def migrate(turn: Turn, command: cmd.MigrateInstance) -> dict[str, Value]:
    """Validate, then move every execution to its element of the other definition; waits are armed anew there."""
    instance = instance_of(turn, command.instance_id)
    former = turn.definition_of(instance)
    target = turn.env.definitions.by_id(command.definition_id)
    unknown = _unknown(former, target, command.mappings)
    plan = _Plan(former, target, command.mappings)
    if not unknown:
        _plan(instance, plan, instance.id)
    if command.validate_only:
        return {"messages": [*unknown, *plan.problems]}
    facts = {"process_instance_id": instance.id, "process_definition_id": target.id}
    if unknown:
        raise invalid("migration-mapping-unknown", "; ".join(unknown), **facts)
    if plan.problems:
        raise failed("migration-invalid", "; ".join(plan.problems), **facts)
    _carry_out(turn, instance, plan, command.variables)
    return {}


def _unknown(former: Definition, target: Definition, mappings: dict[str, str]) -> list[str]:
    """Mapped elements that a definition does not have."""
    sides = ((former, mappings.keys()), (target, mappings.values()))
    return [
        f"expected mapped element '{element}' in {definition.key} version {definition.version}, found none"
        for definition, elements in sides
        for element in elements
        if element not in definition.nodes
    ]


def _plan(instance: Instance, plan: _Plan, scope_id: str) -> None:
    for execution in instance.children_of(scope_id):
        _plan_one(instance, plan, execution)


def _plan_one(instance: Instance, plan: _Plan, execution: Execution) -> None:
    new_id = plan.new_id(execution.element)
    new = plan.target.nodes.get(new_id)
    if new is not None and _fits(instance, plan, execution, new):
        plan.stays.add(execution.id)
        _plan(instance, plan, execution.id)
    elif execution.scope and execution.element not in plan.mappings:
        # The scope itself goes; what goes on inside must find its place elsewhere.
        _plan(instance, plan, execution.id)
    elif new is None or new.parent is None:
        target = plan.target
        plan.problems.append(
            f"expected element '{new_id}' in {target.key} version {target.version}, found none: map it"
        )
    elif new.is_event_subprocess or new.kind.tag in ("startEvent", "boundaryEvent"):
        plan.problems.append(
            f"expected '{new_id}' to be an element that a token can be put on, found a {new.kind.type}"
        )
    else:
        plan.moves.append((execution, new))


def _fits(instance: Instance, plan: _Plan, execution: Execution, new: Node) -> bool:
    """Whether an execution can simply go on as the new element: same kind, same repetition, corresponding scope."""
    node = plan.former.nodes[execution.element]
    if (new.kind.tag, new.kind.variant, new.loop is None) != (node.kind.tag, node.kind.variant, node.loop is None):
        return False
    if node.trigger is not None and new.kind.tag == "intermediateCatchEvent" and not execution.race:
        # What it waits for may be another name or time now, so it waits anew (Flowable).
        return False
    if execution.turn is not None:
        return execution.parent in plan.stays
    container = new.parent
    if execution.parent == instance.id:
        return container is plan.target.process
    around = instance.executions[execution.parent]
    return around.id in plan.stays and container is not None and container.id == plan.new_id(around.element)


def _carry_out(turn: Turn, instance: Instance, plan: _Plan, variables: cmd.Variables) -> None:
    former_nodes = plan.former.nodes
    elements = {e: plan.new_id(e) for e in former_nodes if plan.new_id(e) != e}
    leaving = [e for e in instance.executions.values() if e.id not in plan.stays]
    gone = [e for e in leaving if e.parent == instance.id or e.parent in plan.stays]
    # Tokens that begin anew are taken away first, while the former definition can still say what they are.
    for execution in gone:
        cancel(turn, instance, execution, REASON)
    target = plan.target
    turn.emit(
        ev.ProcessInstanceMigrated(
            instance_id=instance.id,
            definition_id=target.id,
            definition_key=target.key,
            definition_name=target.name,
            definition_version=target.version,
            at=turn.at,
            elements=elements,
        )
    )
    for name, value in variables.items():
        scopes.put(turn, instance, instance.id, name, value)
    _rearm(turn, instance, plan)
    for _, node in plan.moves:
        put_token(turn, instance, node)
    for execution in gone:
        close_empty(turn, instance, execution.parent, REASON)


def _rearm(turn: Turn, instance: Instance, plan: _Plan) -> None:
    """Bring waits in line with the new definition: gone ones close, new ones open, equal ones stay as they are."""
    target = plan.target
    root = lifecycle.root_execution(instance, target.process)
    _rearm_host(turn, instance, root, target.process, target.process.event_subprocesses_starts(), plan)
    for execution in list(instance.executions.values()):
        node = target.nodes[execution.element]
        if execution.is_frame:
            continue
        events = [] if execution.turn is not None else list(node.boundary)
        events += node.event_subprocesses_starts() if execution.scope else []
        _rearm_host(turn, instance, execution, node, events, plan)
        if execution.task:
            _rewrite_task(turn, instance, execution, node)


def _rearm_host(turn: Turn, instance: Instance, host: Execution, node: Node, events: list[Node], plan: _Plan) -> None:
    wanted = {event.id: event for event in events if event.trigger is not None}
    kept: set[str] = set()
    for wait in list(host.waits):
        new_id = plan.new_id(wait.element_id)
        if new_id == node.id:
            continue
        if new_id == wait.element_id and new_id in wanted and _alike(plan.former.nodes[new_id], wanted[new_id]):
            kept.add(new_id)
        else:
            close(turn, instance, host.id, [wait])
    if host.queued or host.leaving:
        return
    for event_id, event in wanted.items():
        if event_id not in kept and event.trigger is not None:
            event.trigger.arm(Here(turn, instance, host, node), event)


def _alike(former: Node, new: Node) -> bool:
    """Whether an event waits for the same as before: same definition, same name, same time as written."""
    return former.trigger is new.trigger and bool(former.event == new.event)


def _rewrite_task(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """A task takes over the texts of the new version; who works on it stays (Flowable)."""
    changes: dict[str, Any] = node.props.texts(Here(turn, instance, execution, node))
    turn.emit(
        ev.TaskUpdated(
            instance_id=instance.id, task_id=execution.task, execution_id=execution.id, at=turn.at, changes=changes
        )
    )
