"""Cancel: an end event inside a transaction undoes it and leaves by its cancel boundary event (BPMN 2.0, 10.5.5.2)."""

from collections.abc import Iterator
from typing import Final

from engine.kernel import compensation
from engine.kernel import events as ev
from engine.kernel.cancelling import cancel
from engine.kernel.definition import Node, Position, TriggerKind
from engine.kernel.here import Here
from engine.kernel.lifecycle import enter_later, scope_of
from engine.kernel.reading import Problem
from engine.kernel.state import Execution

CANCEL: Final = "cancel"
TRANSACTION: Final = "transaction"


def _check(node: Node) -> Iterator[Problem]:
    if node.attached_to is not None:
        if node.attached_to.kind.tag != TRANSACTION:
            yield Problem(
                element_id=node.id,
                message="expected a cancel boundary event on a transaction, found it elsewhere",
                line=node.line,
            )
        elif (first := _boundary_of(node.attached_to)) is not None and first is not node:
            yield Problem(
                element_id=node.id,
                message="expected one boundary event with a cancelEventDefinition on a transaction, "
                f"found '{first.id}' there already",
                line=node.line,
            )
        return
    transaction = node.parent
    while transaction is not None and transaction.kind.tag != TRANSACTION:
        transaction = transaction.parent
    if transaction is None:
        yield Problem(
            element_id=node.id,
            message="expected a cancel end event inside a transaction, found it in none",
            line=node.line,
        )
    elif _boundary_of(transaction) is None:
        yield Problem(
            element_id=transaction.id,
            message="expected a cancel boundary event on a transaction that can be cancelled, found none",
            line=transaction.line,
        )


def _boundary_of(transaction: Node) -> Node | None:
    return next((e for e in transaction.boundary if e.trigger is not None and e.trigger.name == CANCEL), None)


def _throw(here: Here) -> bool:
    """All that goes on in the transaction is cancelled, what it has done is undone, the boundary event goes on."""
    turn, instance = here.turn, here.instance
    transaction = _around(here)
    boundary = _boundary_of(turn.node_of(instance, transaction))
    assert boundary is not None, (
        "checked at deployment: a transaction that can be cancelled has a cancel boundary event"
    )
    body = instance.executions.get(transaction.parent)
    host = body if transaction.turn is not None and body is not None else transaction
    turn.emit(
        ev.ElementEnded(instance_id=instance.id, execution_id=here.execution.id, element_id=here.node.id, at=here.now)
    )
    scope_id = host.parent
    for record in _done(here, transaction, host):
        compensation.undo(turn, instance, scope_id, record)
    enter_later(turn, instance, scope_id, boundary)
    cancel(turn, instance, host, f"cancel end event ({here.node.id})")
    return False


def _done(here: Here, transaction: Execution, host: Execution) -> list[compensation.Record]:
    """What is to be undone, newest first: of a multi-instance transaction what any of its turns did, ended or not."""
    turn, instance = here.turn, here.instance
    if host is transaction:
        return [compensation.snapshot(turn, transaction, None)]
    open_turns = [e for e in instance.children_of(host.id) if e.element == transaction.element]
    found = [compensation.snapshot(turn, one, None) for one in reversed(open_turns)]
    scope_id = compensation.keeper_of(instance, transaction)
    for record in reversed(list(scope_of(turn, instance, scope_id).records)):
        if record["activity"] == transaction.element:
            turn.emit(ev.RecordDropped(instance_id=instance.id, scope_id=scope_id, record_id=record["id"]))
            found.append(record)
    return found


def _around(here: Here) -> Execution:
    current = here.instance.executions[here.execution.parent]
    while here.turn.node_of(here.instance, current).kind.tag != TRANSACTION:
        current = here.instance.executions[current.parent]
    return current


TRIGGER: Final = TriggerKind(
    name=CANCEL,
    tag="cancelEventDefinition",
    positions=frozenset((Position.BOUNDARY, Position.END)),
    check=_check,
    throw=_throw,
)
