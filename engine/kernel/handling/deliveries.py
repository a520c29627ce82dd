"""Waking what waits: triggers, messages, signals and conditions."""

from engine.kernel import commands as cmd
from engine.kernel import conditions, lifecycle, signals
from engine.kernel.definition import Wake
from engine.kernel.errors import failed, not_found
from engine.kernel.handling.targets import execution_of, instance_of, require_active
from engine.kernel.here import Here
from engine.kernel.state import CONDITIONAL, MESSAGE, SIGNAL, VARIABLE, Execution, Instance, Wait
from engine.kernel.turn import Turn
from engine.kernel.values import Value, Variable

TRIGGER = "trigger"


def trigger(turn: Turn, command: cmd.TriggerExecution) -> None:
    """Wake a receive task, a triggerable task or any catch event (Flowable's trigger forces timers too)."""
    instance, execution = execution_of(turn, command.execution_id)
    require_active(instance)
    node = turn.node_of(instance, execution) if execution.id != instance.id else None
    wait = next((w for w in execution.waits if node is not None and w.element_id == node.id), None)
    if node is None or wait is None or wait.kind not in (TRIGGER, "timer", MESSAGE, SIGNAL, CONDITIONAL, VARIABLE):
        raise failed(
            "not-waiting",
            f"expected execution {execution.id} to wait for a trigger, found it at "
            f"'{execution.element}' without such a wait",
            execution_id=execution.id,
        )
    _set_transient(turn, instance, command.transient_variables)
    lifecycle.wake(
        turn, instance, execution, node.id, Wake(kind=TRIGGER, variables=dict(command.variables), wait_id=wait.id)
    )


def message(turn: Turn, command: cmd.DeliverMessage) -> dict[str, Value]:
    """Deliver to the execution that waits for the message; an instance's id means any execution in it.

    The reply says who got it.
    """
    instance, execution = execution_of(turn, command.execution_id)
    found = _waiting(instance, execution, command, MESSAGE)
    if found is None:
        raise not_found(
            "subscription-not-found",
            f"expected execution {command.execution_id} to wait for message '{command.name}', found it does not",
            execution_id=command.execution_id,
            message_name=command.name,
        )
    holder, waiter, wait = found
    require_active(holder)
    _set_transient(turn, holder, command.transient_variables)
    lifecycle.wake(
        turn,
        holder,
        waiter,
        wait.element_id,
        Wake(kind=MESSAGE, variables=dict(command.variables), wait_id=wait.id, name=command.name),
    )
    return {"process_instance_id": holder.id, "execution_id": waiter.id}


def _set_transient(turn: Turn, instance: Instance, variables: cmd.Variables) -> None:
    if variables:
        held = turn.transient.setdefault(instance.id, {})
        held.update({name: variable.value for name, variable in variables.items()})


def _waiting(
    instance: Instance,
    execution: Execution,
    command: cmd.DeliverMessage | cmd.DeliverSignal,
    kind: str,
) -> tuple[Instance, Execution, Wait] | None:
    candidates: list[tuple[Instance, Execution]] = [(instance, execution)]
    if execution.id == instance.id:
        candidates += [(instance, e) for e in instance.executions.values()]
    for holder, waiter in candidates:
        for wait in waiter.waits:
            wanted = wait.id == command.subscription_id if command.subscription_id else True
            if wait.kind == kind and wait.name == command.name and wanted:
                return holder, waiter, wait
    return None


def signal(turn: Turn, command: cmd.DeliverSignal) -> dict[str, Value]:
    """Deliver to one waiting execution, or to all waits of one instance."""
    instance, execution = execution_of(turn, command.execution_id)
    require_active(instance)
    variables: dict[str, Value | Variable] = dict(command.variables)
    _set_transient(turn, instance, command.transient_variables)
    if execution.id == instance.id and not command.subscription_id:
        delivered = signals.deliver_inside(turn, command.name, variables, instance, asynchronous=command.asynchronous)
        return {"delivered": delivered}
    found = _waiting(instance, execution, command, SIGNAL)
    if found is None:
        raise not_found(
            "subscription-not-found",
            f"expected execution {command.execution_id} to wait for signal '{command.name}', found it does not",
            execution_id=command.execution_id,
            signal_name=command.name,
        )
    holder, waiter, wait = found
    if command.asynchronous:
        signals.receive_later(turn, holder, waiter, wait, variables)
        return {"delivered": 1}
    lifecycle.wake(turn, holder, waiter, wait.element_id, Wake(kind=SIGNAL, variables=variables, wait_id=wait.id))
    return {"delivered": 1}


def evaluate_conditions(turn: Turn, command: cmd.EvaluateConditions) -> None:
    """Set the variables, then test every conditional event that waits in the instance."""
    instance = require_active(instance_of(turn, command.instance_id))
    root = lifecycle.root_execution(instance, turn.definition_of(instance).process)
    Here(turn, instance, root, turn.definition_of(instance).process).set_variables(command.variables)
    conditions.test_all(turn, instance)
