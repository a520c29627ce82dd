"""Multi-instance activities (BPMN 2.0, 13.3.7): a body execution and one turn after, or beside, the other.

The body carries the counters (nrOfInstances, nrOfCompletedInstances, nrOfActiveInstances), the boundary events and the
outgoing flows; each turn has its loop counter and, over a collection, its element as a variable of its own.
"""

from collections.abc import Mapping
from typing import Any

from engine.kernel import aggregation, here, lifecycle, listeners, scopes
from engine.kernel import events as ev
from engine.kernel.cancelling import cancel
from engine.kernel.definition import Loop, Node
from engine.kernel.errors import failed
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn
from engine.kernel.values import Variable

_MISSING = object()


def start_body(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    flow_id: str,
    local_variables: Mapping[str, Variable] | None = None,
) -> None:
    """Begin a multi-instance activity: work out how many turns, then start the first one or all of them."""
    loop = node.loop
    assert loop is not None, "only multi-instance activities have bodies"
    body_id = turn.env.new_id()
    turn.emit(
        ev.ElementStarted(
            instance_id=instance.id,
            execution_id=body_id,
            parent_id=scope_id,
            element_id=node.id,
            element_type=node.kind.type,
            at=turn.at,
            element_name=node.name,
            flow_id=flow_id,
            body=True,
        )
    )
    lifecycle.put_local(turn, instance, body_id, local_variables)
    body = instance.executions[body_id]
    at = here.Here(turn, instance, body, node)
    if node.listeners:
        listeners.run(node.listeners, listeners.START, at)
    items = _items(at, loop)
    total = _cardinality(at, loop) if items is None else len(items)
    _check_total(turn, node, total)
    if total == 0:
        at.leave()
        return
    turn.emit(ev.LoopStarted(instance_id=instance.id, execution_id=body_id, total=total))
    for number in range(1 if loop.sequential else total):
        item = _MISSING if items is None else items[number]
        turn.later(body_id, _start_turn, instance, body, node, number, item)
    lifecycle.arm_boundary(turn, instance, body, node)
    aggregation.begin(turn, instance, body, node)


def _check_total(turn: Turn, node: Node, total: int) -> None:
    if total < 0:
        raise failed(
            "bad-loop", f"element '{node.id}': expected 0 or more loop turns, found {total}", element_id=node.id
        )
    limit = turn.env.limits.loop_turns
    if total > limit:
        raise failed(
            "too-many-turns",
            f"element '{node.id}': expected at most {limit} loop turns (limit: loop_turns), found {total}",
            element_id=node.id,
        )


def _cardinality(at: "here.Here", loop: Loop) -> int:
    value = at.value(loop.cardinality)
    try:
        return int(value) if not isinstance(value, bool) else int("not a number")
    except (TypeError, ValueError):
        raise at.refuse("bad-loop", f"expected the loop cardinality to be a whole number, found {value!r}") from None


def _items(at: "here.Here", loop: Loop) -> list[Any] | None:
    """The collection's elements, or None where only a cardinality is given."""
    if loop.collection is None and not loop.collection_name:
        return None
    if loop.collection_name:
        if not at.has_variable(loop.collection_name):
            raise at.refuse("no-collection", f"expected a variable '{loop.collection_name}' to loop over, found none")
        value = at.variable(loop.collection_name)
    else:
        value = at.value(loop.collection)
    if isinstance(value, str) and at.has_variable(value):
        value = at.variable(value)
    if isinstance(value, dict):
        return list(value.values())
    if not isinstance(value, list | tuple):
        raise at.refuse("no-collection", f"expected a list to loop over, found {type(value).__name__} {value!r}")
    return list(value)


def _start_turn(turn: Turn, instance: Instance, body: Execution, node: Node, number: int, item: Any) -> None:
    if not turn.alive(instance, body.id):
        return
    execution_id = turn.env.new_id()
    if node.asynchronous:
        lifecycle.queue(turn, instance, body.id, node, execution_id, "", number)
        _keep_item(turn, instance, execution_id, node, item)
        return
    execution = lifecycle.begin(turn, instance, body.id, node, execution_id, turn_no=number)
    _keep_item(turn, instance, execution_id, node, item)
    lifecycle.behave(turn, instance, execution, node)


def _keep_item(turn: Turn, instance: Instance, execution_id: str, node: Node, item: Any) -> None:
    assert node.loop is not None, "turns belong to multi-instance activities"
    if item is not _MISSING and node.loop.element_variable:
        scopes.put(turn, instance, execution_id, node.loop.element_variable, item)


def collect(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """Gather what an ending turn has to give, while its variables are still there."""
    body = instance.executions.get(execution.parent)
    if body is not None and node.loop is not None and node.loop.aggregations:
        aggregation.gather(turn, instance, body, execution, node)


def turn_ended(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """One turn ended: the next one starts, or the whole activity is done."""
    body = instance.executions.get(execution.parent)
    if body is None:
        return
    loop = node.loop
    assert loop is not None, "turns belong to multi-instance activities"
    total = body.total or 0
    if body.done >= total or _condition_holds(turn, instance, body, node, loop):
        finish(turn, instance, body, node)
    elif loop.sequential:
        turn.later(body.id, _next_turn, instance, body, node)


def _next_turn(turn: Turn, instance: Instance, body: Execution, node: Node) -> None:
    loop = node.loop
    assert loop is not None, "turns belong to multi-instance activities"
    if not turn.alive(instance, body.id):
        return
    # Flowable reads the collection anew each round; one that has shrunk meanwhile ends the loop.
    items = _items(here.Here(turn, instance, body, node), loop)
    number = body.started
    if items is not None and number >= len(items):
        finish(turn, instance, body, node)
        return
    _start_turn(turn, instance, body, node, number, _MISSING if items is None else items[number])


def finish(turn: Turn, instance: Instance, body: Execution, node: Node) -> None:
    """End the whole activity: turns still open are cancelled, then the body leaves."""
    turn.drop(body.id)
    for open_turn in instance.children_of(body.id):
        cancel(turn, instance, open_turn, "multi-instance completion")
    aggregation.finish(turn, instance, body, node)
    lifecycle.leave(turn, instance, body, node)


def _condition_holds(turn: Turn, instance: Instance, body: Execution, node: Node, loop: Loop) -> bool:
    if loop.condition is None:
        return False
    value = here.Here(turn, instance, body, node).value(loop.condition)
    if not isinstance(value, bool):
        raise failed(
            "not-a-boolean",
            f"element '{node.id}': expected the completion condition to give true or false, found {value!r}",
            element_id=node.id,
        )
    return value
