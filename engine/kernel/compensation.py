"""Compensation: what is remembered of finished activities so that it can be undone, and its undoing (BPMN 2.0, 10.6).

A scope keeps a record of each activity inside it that ended well and has a handler; a finished sub-process is kept with
the records and the variables of its inside. Handlers run newest first. As in Flowable, whoever throws does not wait for
handlers that are wait states; the scope in which they run does.
"""

from collections.abc import Iterable
from typing import Any

from engine.kernel import events as ev
from engine.kernel import lifecycle, scopes
from engine.kernel.definition import Node
from engine.kernel.errors import failed
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import Variable

COMPENSATE = "compensate"
Record = dict[str, Any]


def handler_of(node: Node) -> Node | None:
    """The activity that undoes this one: the target of its compensation boundary event's association."""
    event = _event_of(node)
    handler: Node | None = event.event.handler if event is not None else None
    return handler


def _event_of(node: Node) -> Node | None:
    return next((e for e in node.boundary if e.trigger is not None and e.trigger.name == COMPENSATE), None)


def remember(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """Keep a record of an activity that ends well, if it can be compensated; newest last.

    Raises Refused if its compensation boundary event leads nowhere: it can begin then, not end (Flowable).
    """
    event = None if execution.body else _event_of(node)
    handler = handler_of(node) if event is not None else None
    if event is not None and handler is None:
        raise failed(
            "no-handler",
            f"element '{event.id}': expected an association from the compensation boundary event to an activity, "
            "found none",
            element_id=event.id,
        )
    if handler is None and not execution.records:
        return
    record = snapshot(turn, execution, handler)
    turn.emit(ev.RecordKept(instance_id=instance.id, scope_id=keeper_of(instance, execution), record=record))


def snapshot(turn: Turn, execution: Execution, handler: Node | None) -> Record:
    """What must be known of an activity to undo it after it is gone."""
    record: Record = {"id": turn.env.new_id(), "activity": execution.element, "handler": handler.id if handler else ""}
    if execution.records:
        record["records"] = list(execution.records)
        inside = turn.tree.variables.get(execution.id)
        if inside:
            record["variables"] = {name: [variable.type, variable.value] for name, variable in inside.items()}
    return record


def keeper_of(instance: Instance, execution: Execution) -> str:
    """The scope that remembers: the one around the activity, beyond its own multi-instance body."""
    parent = instance.executions.get(execution.parent)
    while parent is not None and parent.body:
        parent = instance.executions.get(parent.parent)
    return parent.id if parent is not None else instance.id


def compensate_scope(turn: Turn, instance: Instance, scope_id: str, activity_id: str = "") -> bool:
    """Undo what a scope remembers, newest first: all of it, or one activity. Says whether there was anything."""
    kept = lifecycle.scope_of(turn, instance, scope_id).records
    wanted = [record for record in kept if not activity_id or record["activity"] == activity_id]
    for record in reversed(wanted):
        turn.emit(ev.RecordDropped(instance_id=instance.id, scope_id=scope_id, record_id=record["id"]))
        undo(turn, instance, scope_id, record)
    return bool(wanted)


def compensate_activity(turn: Turn, instance: Instance, activity_id: str) -> None:
    """Undo one activity wherever in the instance it was done, inside finished sub-processes too; newest first."""
    for scope_id in (instance.id, *instance.executions):
        for record in reversed(list(lifecycle.scope_of(turn, instance, scope_id).records)):
            wanted, rest = _split(turn, record, activity_id)
            if wanted is None:
                continue
            turn.emit(ev.RecordDropped(instance_id=instance.id, scope_id=scope_id, record_id=record["id"]))
            if rest is not None:
                turn.emit(ev.RecordKept(instance_id=instance.id, scope_id=scope_id, record=rest))
            undo(turn, instance, scope_id, wanted)


def _split(turn: Turn, record: Record, activity_id: str) -> tuple[Record | None, Record | None]:
    """What of a record concerns an activity, and what is left of it without that; None for nothing."""
    if record["activity"] == activity_id:
        return record, None
    pairs = [_split(turn, inner, activity_id) for inner in record.get("records", ())]
    wanted = [found for found, _ in pairs if found is not None]
    if not wanted:
        return None, record
    rest = [left for _, left in pairs if left is not None]
    kept = {**record, "id": turn.env.new_id(), "records": rest} if rest or record["handler"] else None
    return {**record, "handler": "", "records": wanted}, kept


def undo(turn: Turn, instance: Instance, scope_id: str, record: Record) -> None:
    """Run the handler of a record in a scope; a sub-process without one is undone inside a frame with its variables."""
    nodes = turn.definition_of(instance).nodes
    if record["handler"]:
        lifecycle.enter_later(turn, instance, scope_id, nodes[record["handler"]])
        return
    inner: Iterable[Record] = record.get("records", ())
    if not inner:
        return
    node = nodes[record["activity"]]
    frame_id = turn.env.new_id()
    turn.emit(
        ev.ElementStarted(
            instance_id=instance.id,
            execution_id=frame_id,
            parent_id=scope_id,
            element_id=node.id,
            element_type=node.kind.type,
            at=turn.at,
            element_name=node.name,
            body=True,
            scope=True,
        )
    )
    for name, (kind, value) in record.get("variables", {}).items():
        scopes.put(turn, instance, frame_id, name, Variable(kind, value))
    for each in reversed(list(inner)):
        undo(turn, instance, frame_id, each)


def frame_ended(turn: Turn, instance: Instance, frame: Execution) -> None:
    """A path inside a frame ended: with the last one the frame is gone, and nothing follows it."""
    if instance.children.get(frame.id):
        return
    turn.emit(ev.ElementEnded(instance_id=instance.id, execution_id=frame.id, element_id=frame.element, at=turn.at))
    lifecycle.path_ended(turn, instance, frame.parent)
