"""Which ways a token may take: conditions, default flows, skip expressions (BPMN 2.0, 13.3.2; Flowable's skipping)."""

from typing import Any

from engine.kernel import contexts, here, scopes
from engine.kernel.definition import Flow, Node
from engine.kernel.errors import failed
from engine.kernel.expression import Expression, ExpressionError
from engine.kernel.state import Execution, Instance
from engine.kernel.turn import Turn, expression_refusal

SKIP_SWITCHES = ("_FLOWABLE_SKIP_EXPRESSION_ENABLED", "_ACTIVITI_SKIP_EXPRESSION_ENABLED")


def is_skipped(turn: Turn, instance: Instance, execution: Execution, node: Node) -> bool:
    """Whether an activity is skipped: its skipExpression holds and skipping is switched on by a variable."""
    if node.skip is None or not skipping_enabled(turn, instance, execution):
        return False
    return _boolean(turn, instance, execution, node.skip, node.id, "skip expression")


def skipping_enabled(turn: Turn, instance: Instance, execution: Execution) -> bool:
    for switch in SKIP_SWITCHES:
        try:
            if scopes.find(turn, instance, execution, switch) in (True, "true"):
                return True
        except KeyError:
            continue
    return False


def holds(turn: Turn, instance: Instance, execution: Execution, flow: Flow) -> bool:
    """Whether a flow may be taken. Refuses the command if its condition gives no boolean (Flowable does too)."""
    if flow.skip is not None and skipping_enabled(turn, instance, execution):
        return _boolean(turn, instance, execution, flow.skip, flow.id, "skip expression")
    if flow.condition is not None:
        return _boolean(turn, instance, execution, flow.condition, flow.id, "condition")
    if flow.script is not None:
        from engine.kernel.scripting import run_script

        value = run_script(here.Here(turn, instance, execution, flow.source), *flow.script, store=False)
        return _as_boolean(value, flow.id, "condition")
    return True


def _boolean(
    turn: Turn, instance: Instance, execution: Execution, what: Expression, element_id: str, role: str
) -> bool:
    try:
        value = what.evaluate(contexts.ExecutionContext(turn, instance, execution))
    except ExpressionError as error:
        raise expression_refusal(error, element_id) from error
    if what.is_literal and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    return _as_boolean(value, element_id, role)


def _as_boolean(value: Any, element_id: str, role: str) -> bool:
    if isinstance(value, bool):
        return value
    raise failed(
        "not-a-boolean",
        f"element '{element_id}': expected the {role} to give true or false, found {type(value).__name__} {value!r}",
        element_id=element_id,
    )


def choose(turn: Turn, instance: Instance, execution: Execution, node: Node) -> tuple[Flow, ...]:
    """The flows by which an activity or event leaves: all whose conditions hold, else the default (BPMN 2.0, 13.3.2).

    Raises Refused if there are flows and none may be taken.
    """
    if node.is_plainly_left:
        return node.outgoing
    default = node.default_flow
    chosen = tuple(f for f in node.outgoing if f is not default and holds(turn, instance, execution, f))
    if chosen:
        return chosen
    if default is not None:
        return (default,)
    raise no_way_out(node)


def no_way_out(node: Node) -> Exception:
    return failed(
        "no-way-out",
        f"element '{node.id}': expected the condition of an outgoing flow to hold, or a default flow, found neither",
        element_id=node.id,
    )
