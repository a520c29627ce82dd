"""Variable listeners: what changed in a command is told to the events that wait for it (Flowable)."""

from engine.kernel import events as ev
from engine.kernel import lifecycle
from engine.kernel.definition import Wake
from engine.kernel.state import ACTIVE, VARIABLE, Execution, Instance, Wait
from engine.kernel.turn import Turn

CREATE, UPDATE, DELETE = "create", "update", "delete"


def hear(turn: Turn) -> bool:
    """Queue every event that waits for a change made since the last time; says whether there was one."""
    fresh, turn.heard = turn.events[turn.heard :], len(turn.events)
    if not any(turn.definition_of(instance).has_variable_listeners for instance in turn.touched_instances()):
        return False
    waits = {id_: i for i, event in enumerate(fresh) if (id_ := getattr(event, "subscription_id", None)) is not None}
    found = False
    for place, event in enumerate(fresh):
        if isinstance(event, ev.VariableSet | ev.VariableRemoved):
            instance = turn.tree.instances[event.instance_id]
            for execution, wait in _waiting(turn, instance, event):
                # Who began to wait after the change has missed it.
                if waits.get(wait.id, -1) < place:
                    turn.later(execution.id, _happen, instance, execution, wait)
                    found = True
    return found


def _change(event: ev.VariableSet | ev.VariableRemoved) -> str:
    if isinstance(event, ev.VariableRemoved):
        return DELETE
    return CREATE if event.created else UPDATE


def _waiting(
    turn: Turn, instance: Instance, event: ev.VariableSet | ev.VariableRemoved
) -> list[tuple[Execution, Wait]]:
    if instance.state != ACTIVE:
        return []
    definition = turn.definition_of(instance)
    root = lifecycle.root_execution(instance, definition.process)
    change = _change(event)
    return [
        (execution, wait)
        for execution in (root, *instance.executions.values())
        for wait in execution.waits
        if wait.kind == VARIABLE
        and wait.name == event.name
        and change in definition.nodes[wait.element_id].event.changes
    ]


def _happen(turn: Turn, instance: Instance, execution: Execution, wait: Wait) -> None:
    if turn.alive(instance, execution.id) and wait in execution.waits:
        lifecycle.wake(turn, instance, execution, wait.element_id, Wake(kind=VARIABLE, wait_id=wait.id))
