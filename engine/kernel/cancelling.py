"""How executions and instances are taken away: inside out, each with what it waits for, holds and called."""

from engine.kernel import events as ev
from engine.kernel import here, listeners
from engine.kernel.errors import MissingTasks
from engine.kernel.state import TERMINATED, Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.waits import close, close_waits


def cancel(turn: Turn, instance: Instance, execution: Execution, reason: str) -> None:
    """Cancel an execution and all inside it: children first, then its waits, task and called instance, then itself."""
    turn.drop(execution.id)
    for child in instance.children_of(execution.id):
        cancel(turn, instance, child, reason)
    if execution.called:
        called = turn.tree.instances.get(execution.called)
        if called is not None and not called.is_ended:
            cancel_instance(turn, called, TERMINATED, reason)
    close_waits(turn, instance, execution)
    if execution.task:
        end_task(turn, instance, execution, canceled=True, reason=reason)
    turn.emit(
        ev.ElementEnded(
            instance_id=instance.id,
            execution_id=execution.id,
            element_id=execution.element,
            at=turn.at,
            canceled=True,
            reason=reason,
        )
    )


def end_task(
    turn: Turn,
    instance: Instance,
    execution: Execution,
    *,
    canceled: bool = False,
    reason: str = "",
    completed_by: str = "",
) -> None:
    """End the user task that an execution holds; its `delete` listeners run first (Flowable: on completion too)."""
    task = turn.tree.tasks.get(execution.task)
    node = turn.node_of(instance, execution)
    found = getattr(node.props, "listeners", ())
    if listeners.of_event(found, listeners.DELETE):
        if task is None:
            raise MissingTasks(execution.task)
        listeners.run(found, listeners.DELETE, here.Here(turn, instance, execution, node), task)
    if task is not None:
        turn.ended_tasks[task.id] = task
    turn.emit(
        ev.TaskEnded(
            instance_id=instance.id,
            task_id=execution.task,
            execution_id=execution.id,
            element_id=execution.element,
            at=turn.at,
            canceled=canceled,
            reason=reason,
            completed_by=completed_by,
            assignee=task.assignee if task is not None else None,
        )
    )


def cancel_instance(turn: Turn, instance: Instance, state: str, reason: str, end_element_id: str = "") -> None:
    """End an instance from outside its flow: everything inside is cancelled, no caller goes on by it."""
    turn.drop(instance.id)
    for child in instance.children_of(instance.id):
        cancel(turn, instance, child, reason)
    close(turn, instance, instance.id, tuple(instance.waits))
    turn.emit(
        ev.ProcessInstanceEnded(
            instance_id=instance.id, at=turn.at, state=state, end_element_id=end_element_id, reason=reason
        )
    )
