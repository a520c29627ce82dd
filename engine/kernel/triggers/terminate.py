"""Terminate end event: ends its scope at once, whatever else goes on there (BPMN 2.0, 10.5.5.13).

In a sub-process the surrounding flow goes on, in a called process the caller; `terminateAll` ends the root instance,
`terminateMultiInstance` the whole loop around it (Flowable).
"""

from dataclasses import dataclass
from typing import Final

from engine.kernel import events as ev
from engine.kernel import lifecycle, loops
from engine.kernel.cancelling import cancel, cancel_instance
from engine.kernel.definition import Position, TriggerKind
from engine.kernel.here import Here
from engine.kernel.reading import Reader, Source
from engine.kernel.state import COMPLETED, Execution, Instance
from engine.kernel.turn import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    everything: bool = False
    loop: bool = False


def _read(source: Source, reader: Reader, event: Source) -> Terminate:
    del reader, event
    return Terminate(everything=source.flag("terminateAll"), loop=source.flag("terminateMultiInstance"))


def _throw(here: Here) -> bool:
    turn, instance = here.turn, here.instance
    scope_id = here.execution.parent
    here.emit(
        ev.ElementEnded(instance_id=instance.id, execution_id=here.execution.id, element_id=here.node.id, at=here.now)
    )
    reason = f"terminate end event ({here.node.id})"
    if here.node.event.everything:
        root = turn.tree.instances[turn.tree.root_id]
        own = root is instance
        cancel_instance(turn, root, COMPLETED, reason, here.node.id if own else "")
    elif here.node.event.loop and _end_loop(turn, instance, scope_id):
        pass
    else:
        _end_scope(turn, instance, scope_id, here.node.id, reason)
    return False


def _end_scope(turn: Turn, instance: Instance, scope_id: str, element_id: str, reason: str) -> None:
    turn.drop(scope_id)
    for child in instance.children_of(scope_id):
        cancel(turn, instance, child, reason)
    if scope_id == instance.id:
        lifecycle.end_instance(turn, instance, element_id, reason)
        return
    scope = instance.executions[scope_id]
    # In Flowable's history a sub-process that was cut short has that reason; a turn of a loop still counts as done.
    lifecycle.leave(
        turn, instance, scope, turn.node_of(instance, scope), reason="" if scope.turn is not None else reason
    )


def _end_loop(turn: Turn, instance: Instance, scope_id: str) -> bool:
    """End the nearest multi-instance activity around; says whether there was one."""
    where: Instance | None = instance
    current = instance.executions.get(scope_id)
    while where is not None:
        body = _body_around(where, current)
        if body is not None:
            loops.finish(turn, where, body, turn.node_of(where, body))
            return True
        caller = turn.tree.instances.get(where.super_instance_id) if where.super_instance_id else None
        current = caller.executions.get(where.super_execution_id) if caller is not None else None
        where = caller
    return False


def _body_around(instance: Instance, execution: Execution | None) -> Execution | None:
    while execution is not None and not execution.body:
        execution = instance.executions.get(execution.parent)
    return execution


TRIGGER: Final = TriggerKind(
    name="terminate",
    tag="terminateEventDefinition",
    positions=frozenset((Position.END,)),
    read=_read,
    throw=_throw,
)
