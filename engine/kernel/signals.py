"""Delivering a signal within an instance tree."""

from typing import Any

from engine.kernel import lifecycle
from engine.kernel.definition import Wake
from engine.kernel.state import ACTIVE, SIGNAL, Execution, Instance, Wait
from engine.kernel.turn import Turn


def deliver_inside(turn: Turn, name: str, variables: dict[str, Any], within: Instance | None = None) -> int:
    """Queue the signal for every wait of that name in the tree (or in one instance); gives how many there are."""
    waits = 0
    for instance in list(turn.tree.instances.values()):
        # A suspended instance keeps its subscription and lets the signal pass (Flowable).
        if instance.state != ACTIVE or (within is not None and instance is not within):
            continue
        for execution, wait in _waiting(turn, instance, name, thrown_inside=within is instance):
            turn.later(execution.id, _arrive, instance, execution, wait, variables)
            waits += 1
    return waits


def _waiting(turn: Turn, instance: Instance, name: str, *, thrown_inside: bool) -> list[tuple[Execution, Wait]]:
    """Who waits for the name; those who listen within their instance only hear what is thrown inside."""
    definition = turn.definition_of(instance)
    root = lifecycle.root_execution(instance, definition.process)
    return [
        (execution, wait)
        for execution in (root, *instance.executions.values())
        for wait in execution.waits
        if wait.kind == SIGNAL
        and wait.name == name
        and (thrown_inside or not definition.nodes[wait.element_id].event.within_instance)
    ]


def _arrive(turn: Turn, instance: Instance, execution: Execution, wait: Wait, variables: dict[str, Any]) -> None:
    if turn.alive(instance, execution.id) and wait in execution.waits:
        lifecycle.wake(
            turn, instance, execution, wait.element_id, Wake(kind=SIGNAL, variables=variables, wait_id=wait.id)
        )
