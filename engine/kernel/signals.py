"""Delivering a signal within an instance tree: at once, or by a job of each receiver (Flowable's async)."""

from collections.abc import Mapping
from typing import Any, Final

from engine.kernel import lifecycle, scopes
from engine.kernel.definition import Wake
from engine.kernel.state import ACTIVE, ASYNC, SIGNAL, Execution, Instance, Job, Wait
from engine.kernel.turn import Turn
from engine.kernel.values import Variable
from engine.kernel.waits import schedule

HANDLER: Final = "event"
"""Of jobs that hand a signal to one who waits for it (Flowable's name)."""
RECEIVED: Final = "received"


def deliver_inside(
    turn: Turn,
    name: str,
    variables: dict[str, Any],
    within: Instance | None = None,
    *,
    asynchronous: bool = False,
) -> int:
    """Queue the signal for every wait of that name in the tree (or in one instance); gives how many there are."""
    waits = 0
    for instance in list(turn.tree.instances.values()):
        # A suspended instance keeps its subscription and lets the signal pass (Flowable).
        if instance.state != ACTIVE or (within is not None and instance is not within):
            continue
        for execution, wait in _waiting(turn, instance, name, thrown_inside=within is instance):
            if asynchronous:
                receive_later(turn, instance, execution, wait, variables)
            else:
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


def receive_later(
    turn: Turn, instance: Instance, execution: Execution, wait: Wait, variables: Mapping[str, Any]
) -> None:
    """Let a job hand the signal over; the wait stays open until then."""
    typed = {name: v if isinstance(v, Variable) else scopes.typed(name, v) for name, v in variables.items()}
    received = {"wait": wait.id, "variables": {name: [v.type, v.value] for name, v in typed.items()}}
    node = turn.definition_of(instance).nodes[wait.element_id]
    schedule(turn, instance, execution.id, node, ASYNC, HANDLER, due_at=turn.at, payload={RECEIVED: received})


def receive(turn: Turn, instance: Instance, execution: Execution, job: Job) -> None:
    """Hand over what a job holds, if the wait is still open."""
    received = job.payload[RECEIVED]
    variables = {name: Variable(kind, value) for name, (kind, value) in received["variables"].items()}
    wait = next((wait for wait in execution.waits if wait.id == received["wait"]), None)
    if wait is not None:
        _arrive(turn, instance, execution, wait, variables)
