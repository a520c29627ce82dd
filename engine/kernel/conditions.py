"""Conditional events: tested when somebody changes variables from outside or asks for it (Flowable)."""

from engine.kernel import lifecycle
from engine.kernel.definition import Wake
from engine.kernel.here import Here
from engine.kernel.state import ACTIVE, CONDITIONAL, Execution, Instance, Wait
from engine.kernel.turn import Turn


def test_all(turn: Turn, instance: Instance) -> None:
    """Queue a test of every conditional event that waits in an active instance."""
    if instance.state != ACTIVE:
        return
    root = lifecycle.root_execution(instance, turn.definition_of(instance).process)
    for execution in (root, *instance.executions.values()):
        for wait in execution.waits:
            if wait.kind == CONDITIONAL:
                turn.later(execution.id, _test, instance, execution, wait)


def _test(turn: Turn, instance: Instance, execution: Execution, wait: Wait) -> None:
    if not turn.alive(instance, execution.id) or wait not in execution.waits:
        return
    event = turn.definition_of(instance).nodes[wait.element_id]
    if event.event.holds(Here(turn, instance, execution, event)):
        lifecycle.wake(turn, instance, execution, wait.element_id, Wake(kind=CONDITIONAL, wait_id=wait.id))
