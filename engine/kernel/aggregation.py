"""Variable aggregation of multi-instance activities: what each turn has to give, gathered in one list (Flowable).

An ended turn's part is kept as a variable of the loop's body, so that a completion costs the same however many turns
there are; the list is put together when the loop ends. With an overview it is there from the beginning, with what the
open turns have so far.
"""

from typing import Any

from engine.kernel import contexts, scopes
from engine.kernel.definition import Aggregation, Node
from engine.kernel.expression import ExpressionError
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn, expression_refusal

Part = dict[str, Any]


def begin(turn: Turn, instance: Instance, body: Execution, node: Node) -> None:
    """Show the overviews of a loop that begins, empty as yet."""
    for each in _overviews(node):
        _set_around(turn, instance, body, each, [])


def gather(turn: Turn, instance: Instance, body: Execution, execution: Execution, node: Node) -> None:
    """Keep the part of a turn that ends."""
    assert node.loop is not None, "turns belong to multi-instance activities"
    for each in node.loop.aggregations:
        try:
            part = _part(turn, instance, execution, each)
        except ExpressionError as error:
            raise expression_refusal(error, node.id) from error
        scopes.put(turn, instance, body.id, _kept_name(each, execution.turn), part)


def finish(turn: Turn, instance: Instance, body: Execution, node: Node) -> None:
    """Put the parts together when the loop ends, in the order of the turns; those of cancelled turns are missing."""
    loop = node.loop
    if loop is None or not loop.aggregations:
        return
    kept = turn.tree.variables.get(body.id, {})
    for each in loop.aggregations:
        names = (_kept_name(each, number) for number in range(max(body.total or 0, body.started)))
        parts = [kept[name].value for name in names if name in kept]
        if each.transient:
            turn.transient.setdefault(instance.id, {})[each.target] = parts
        else:
            _set_around(turn, instance, body, each, parts)


def refresh(turn: Turn) -> None:
    """Bring all overviews up to date at the end of a command."""
    for instance in turn.touched_instances():
        if turn.definition_of(instance).has_aggregations:
            for body in [e for e in instance.executions.values() if e.body and not e.is_frame]:
                _refresh(turn, instance, body, turn.node_of(instance, body))


def _refresh(turn: Turn, instance: Instance, body: Execution, node: Node) -> None:
    overviews = _overviews(node)
    if not overviews:
        return
    open_turns = {e.turn: e for e in instance.children_of(body.id)}
    around = instance.executions.get(body.parent)
    for each in overviews:
        former = (
            scopes.find(turn, instance, around, each.target) if scopes.has(turn, instance, around, each.target) else []
        )
        parts = [
            _present_part(turn, instance, body, open_turns.get(number), each, number, former)
            for number in range(max(len(open_turns) + body.done, len(former)))
        ]
        _set_around(turn, instance, body, each, parts)


def _present_part(
    turn: Turn,
    instance: Instance,
    body: Execution,
    open_turn: Execution | None,
    each: Aggregation,
    number: int,
    former: list[Part],
) -> Part:
    known: Part = former[number] if number < len(former) else {}
    if open_turn is None:
        kept = turn.tree.variables.get(body.id, {}).get(_kept_name(each, number))
        return known if kept is None else kept.value
    try:
        return _part(turn, instance, open_turn, each)
    except ExpressionError:
        # What it needs was not loaded for this command, so this command did not change it.
        return known


def _overviews(node: Node) -> list[Aggregation]:
    return [each for each in node.loop.aggregations if each.overview] if node.loop is not None else []


def _part(turn: Turn, instance: Instance, execution: Execution, each: Aggregation) -> Part:
    context = contexts.ExecutionContext(turn, instance, execution)
    found: Part = {}
    for parameter in each.parameters:
        name = parameter.target or str(
            parameter.target_expression.evaluate(context) if parameter.target_expression else ""
        )
        if parameter.expression is not None:
            found[name] = parameter.expression.evaluate(context)
        elif scopes.has(turn, instance, execution, parameter.source):
            found[name] = scopes.find(turn, instance, execution, parameter.source)
    return found


def _kept_name(each: Aggregation, number: int | None) -> str:
    return f"{each.target}[{number}]"


def _set_around(turn: Turn, instance: Instance, body: Execution, each: Aggregation, parts: list[Part]) -> None:
    scopes.set_variable(turn, instance, instance.executions.get(body.parent), each.target, parts)
