"""Migration of an instance to another version of its process (Flowable's ProcessMigrationService, one to one mappings)."""

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import lifecycle
from engine.kernel.definition import Definition, Node
from engine.kernel.errors import FAILED_PRECONDITION, Refused
from engine.kernel.handling.targets import instance_of
from engine.kernel.here import Here
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import Value


def migrate(turn: Turn, command: cmd.MigrateInstance) -> dict[str, Value]:
    """Validate, then move every execution to its element of the other definition; waits are armed anew there."""
    instance = instance_of(turn, command.instance_id)
    former = turn.definition_of(instance)
    target = turn.env.definitions.by_id(command.definition_id)
    problems = _problems(instance, former, target, command.mappings)
    if command.validate_only:
        return {"messages": problems}
    if problems:
        raise Refused(
            FAILED_PRECONDITION,
            "migration-invalid",
            "; ".join(problems),
            process_instance_id=instance.id,
            process_definition_id=target.id,
        )
    elements = {
        element: command.mappings.get(element, element)
        for element in former.nodes
        if command.mappings.get(element, element) != element
    }
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
    _rearm(turn, instance, former, target, elements)
    return {}


def _problems(instance: Instance, former: Definition, target: Definition, mappings: dict[str, str]) -> list[str]:
    """Why the instance cannot go on by the other definition; empty if it can."""
    found = [f"expected mapped element '{e}' in {former.key} version {former.version}, found none" for e in mappings if e not in former.nodes]
    found += [f"expected mapped element '{e}' in {target.key} version {target.version}, found none" for e in mappings.values() if e not in target.nodes]
    if found:
        return found
    for execution in instance.executions.values():
        node = former.nodes[execution.element]
        new_id = mappings.get(execution.element, execution.element)
        new = target.nodes.get(new_id)
        if new is None:
            found.append(f"expected element '{new_id}' in {target.key} version {target.version}, found none: map it")
        elif (new.kind.tag, new.kind.variant) != (node.kind.tag, node.kind.variant):
            found.append(f"expected '{new_id}' to be a {node.kind.type}, found a {new.kind.type}")
        elif (new.loop is None) != (node.loop is None):
            found.append(f"expected '{new_id}' to be multi-instance as '{node.id}' is, or neither")
        elif not _same_scope(instance, execution, new, mappings, target):
            found.append(f"expected '{new_id}' to lie in the scope that '{node.id}' is in, found it elsewhere")
    return list(dict.fromkeys(found))


def _same_scope(
    instance: Instance, execution: Execution, new: Node, mappings: dict[str, str], target: Definition
) -> bool:
    """Whether the new element's container is where the old one's container goes."""
    parent = instance.executions.get(execution.parent)
    while parent is not None and parent.body:
        parent = instance.executions.get(parent.parent)
    container = new.parent if new.parent is not None else target.process
    if parent is None:
        return container is target.process
    return container.id == mappings.get(parent.element, parent.element)


def _rearm(
    turn: Turn, instance: Instance, former: Definition, target: Definition, elements: dict[str, str]
) -> None:
    """Bring waits in line with the new definition: gone ones close, new ones open, equal ones stay as they are."""
    root = lifecycle.root_execution(instance, target.process)
    _rearm_host(turn, instance, root, target.process.event_subprocesses_starts(), elements)
    for execution in list(instance.executions.values()):
        node = target.nodes[execution.element]
        events = [] if execution.turn is not None else list(node.boundary)
        events += node.event_subprocesses_starts() if execution.scope else []
        _rearm_host(turn, instance, execution, events, elements)
    del former


def _rearm_host(
    turn: Turn, instance: Instance, host: Execution, events: list[Node], elements: dict[str, str]
) -> None:
    wanted = {event.id: event for event in events if event.trigger is not None}
    node = turn.node_of(instance, host) if host.id != instance.id else turn.definition_of(instance).process
    kept: set[str] = set()
    for wait in list(host.waits):
        new_id = elements.get(wait.element_id, wait.element_id)
        if new_id == node.id:
            continue
        if new_id in wanted and new_id == wait.element_id:
            kept.add(new_id)
        else:
            lifecycle.close(turn, instance, host.id, [wait])
    if host.queued or host.leaving:
        return
    for event_id, event in wanted.items():
        if event_id not in kept and event.trigger is not None:
            event.trigger.arm(Here(turn, instance, host, node), event)
