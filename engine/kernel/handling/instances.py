"""Starting, naming, suspending and deleting process instances."""

from engine.kernel import commands as cmd
from engine.kernel import events as ev
from engine.kernel import instances, scopes
from engine.kernel.cancelling import cancel_instance
from engine.kernel.definition import Definition, Node
from engine.kernel.errors import failed, invalid
from engine.kernel.handling.targets import instance_of
from engine.kernel.state import SUSPENDED, TERMINATED, Facts, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import Value, Variable


def start(turn: Turn, command: cmd.StartProcess) -> dict[str, Value]:
    """Start an instance: variables first, so that the start event sees them."""
    definition = turn.env.definitions.by_id(command.definition_id)
    node = definition.nodes.get(command.start_element_id) if command.start_element_id else _default_start(definition)
    if node is None or node.kind.tag != "startEvent":
        raise invalid(
            "no-start-event",
            f"expected process '{definition.key}' to have a plain start event, found none",
            process_definition_id=definition.id,
        )
    instance_id = command.instance_id or turn.tree.root_id
    instance = instances.begin(
        turn,
        definition,
        instance_id,
        business_key=command.business_key,
        business_status=command.business_status,
        name=command.name,
        tenant_id=command.tenant_id or definition.tenant_id,
        start_user_id=command.user_id,
        start_element_id=node.id,
        facts=Facts(
            callback_id=command.callback_id,
            callback_type=command.callback_type,
            reference_id=command.reference_id,
            reference_type=command.reference_type,
        ),
    )
    if command.user_id:
        _link_starter(turn, instance, command.user_id)
    given: dict[str, Value | Variable] = dict(command.variables)
    if node.trigger is not None and node.trigger.receive is not None:
        given = node.trigger.receive(node, given, turn.at)
    for name, value in given.items():
        scopes.put(turn, instance, instance.id, name, value)
    if command.transient_variables:
        turn.transient[instance.id] = {name: v.value for name, v in command.transient_variables.items()}
    instances.set_off(turn, instance, definition, node)
    return {"process_instance_id": instance_id, "process_definition_id": definition.id}


def _default_start(definition: Definition) -> Node | None:
    """The plain start event, else the first one (Flowable)."""
    return definition.process.start or next(iter(definition.starts), None)


def _link_starter(turn: Turn, instance: Instance, user_id: str) -> None:
    turn.emit(
        ev.IdentityLinkAdded(
            instance_id=instance.id, link_id=turn.env.new_id(), kind="starter", at=turn.at, user_id=user_id
        )
    )


def update(turn: Turn, command: cmd.UpdateInstance) -> None:
    instance = instance_of(turn, command.instance_id)
    turn.emit(ev.ProcessInstanceUpdated(instance_id=instance.id, at=turn.at, changes=dict(command.changes)))


def claim(turn: Turn, command: cmd.ClaimInstance) -> None:
    """Make a user responsible for an instance that nobody else is responsible for, or nobody again (Flowable 7)."""
    instance = instance_of(turn, command.instance_id)
    holder = instance.facts.assignee
    if command.assignee and holder and holder != command.assignee:
        raise failed(
            "process-instance-claimed",
            f"expected process instance {instance.id} to be unclaimed, found it claimed by '{holder}'",
            process_instance_id=instance.id,
            assignee=holder,
        )
    if command.assignee == holder:
        return
    changes: dict[str, Value] = {
        "assignee": command.assignee,
        "claimed_by": command.assignee,
        "claim_time": turn.at if command.assignee else None,
    }
    turn.emit(ev.ProcessInstanceUpdated(instance_id=instance.id, at=turn.at, changes=changes))


def suspend(turn: Turn, command: cmd.SuspendInstance) -> None:
    instance = instance_of(turn, command.instance_id)
    if instance.state == SUSPENDED:
        raise failed(
            "already-suspended",
            f"expected process instance {instance.id} to be active, found it suspended",
            process_instance_id=instance.id,
        )
    turn.emit(ev.ProcessInstanceSuspended(instance_id=instance.id, at=turn.at))


def activate(turn: Turn, command: cmd.ActivateInstance) -> None:
    instance = instance_of(turn, command.instance_id)
    if instance.state != SUSPENDED:
        raise failed(
            "already-active",
            f"expected process instance {instance.id} to be suspended, found it active",
            process_instance_id=instance.id,
        )
    turn.emit(ev.ProcessInstanceActivated(instance_id=instance.id, at=turn.at))


def delete(turn: Turn, command: cmd.DeleteInstance) -> None:
    """Delete a running instance with all that it called; an instance that was called is deleted with its caller."""
    instance = instance_of(turn, command.instance_id)
    if instance.super_instance_id:
        raise failed(
            "called-instance",
            f"expected a process instance that nobody called, found {instance.id}, called by "
            f"{instance.super_instance_id}: delete that one",
            process_instance_id=instance.id,
        )
    cancel_instance(turn, instance, TERMINATED, command.reason or "deleted")
