"""What must be remembered of finished activities so that they can be compensated (BPMN 2.0, 10.6)."""

from typing import Any

from engine.kernel import events as ev
from engine.kernel.definition import Node
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn

COMPENSATE = "compensate"


def handler_of(node: Node) -> Node | None:
    """The activity that undoes this one: the target of its compensation boundary event's association."""
    for event in node.boundary:
        if event.trigger is not None and event.trigger.name == COMPENSATE:
            handler: Node | None = event.event.handler
            return handler
    return None


def remember(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """Keep a record of an activity that ends well, if it can be compensated; newest last.

    A sub-process is kept with the records and the variables of its inside: its handlers run later as if in it.
    """
    handler = None if execution.body else handler_of(node)
    if handler is None and not execution.records:
        return
    record: dict[str, Any] = {"id": turn.env.new_id(), "activity": node.id, "handler": handler.id if handler else ""}
    if execution.records:
        record["records"] = list(execution.records)
        inside = turn.tree.variables.get(execution.id)
        if inside:
            record["variables"] = {name: [variable.type, variable.value] for name, variable in inside.items()}
    turn.emit(ev.RecordKept(instance_id=instance.id, scope_id=_keeper(instance, execution), record=record))


def _keeper(instance: Instance, execution: Execution) -> str:
    """The scope that remembers: the one around the activity, beyond its own multi-instance body."""
    parent = instance.executions.get(execution.parent)
    while parent is not None and parent.body:
        parent = instance.executions.get(parent.parent)
    return parent.id if parent is not None else instance.id
