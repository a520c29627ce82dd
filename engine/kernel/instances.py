"""How a process instance comes to be: by a start command or by a call activity."""

from engine.kernel import events as ev
from engine.kernel import lifecycle, listeners
from engine.kernel.definition import Definition, Node
from engine.kernel.here import Here
from engine.kernel.state import NO_FACTS, Facts, Instance
from engine.kernel.turn import Turn


def begin(
    turn: Turn,
    definition: Definition,
    instance_id: str,
    *,
    root_id: str = "",
    super_instance_id: str = "",
    super_execution_id: str = "",
    business_key: str = "",
    business_status: str = "",
    name: str = "",
    tenant_id: str = "",
    start_user_id: str = "",
    start_element_id: str = "",
    facts: Facts = NO_FACTS,
) -> Instance:
    """Create an instance without setting it off, so that its variables can be set first."""
    turn.emit(
        ev.ProcessInstanceStarted(
            instance_id=instance_id,
            root_id=root_id or instance_id,
            definition_id=definition.id,
            definition_key=definition.key,
            definition_name=definition.name,
            definition_version=definition.version,
            at=turn.at,
            super_instance_id=super_instance_id,
            super_execution_id=super_execution_id,
            business_key=business_key,
            business_status=business_status,
            name=name,
            tenant_id=tenant_id,
            start_user_id=start_user_id,
            start_element_id=start_element_id,
            callback_id=facts.callback_id,
            callback_type=facts.callback_type,
            reference_id=facts.reference_id,
            reference_type=facts.reference_type,
        )
    )
    return turn.tree.instances[instance_id]


def set_off(turn: Turn, instance: Instance, definition: Definition, start: Node) -> None:
    """Open the process's own scope and put a token on a start event."""
    process = definition.process
    root = lifecycle.root_execution(instance, process)
    if process.listeners:
        listeners.run(process.listeners, listeners.START, Here(turn, instance, root, process))
    if process.data_objects or process.event_subprocesses:
        lifecycle.open_scope(turn, instance, root, process)
    lifecycle.enter_later(turn, instance, instance.id, start)
