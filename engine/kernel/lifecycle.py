"""How any element begins, waits, is woken, ends and is cancelled; how scopes complete.

The order follows Flowable: an element starts, its behaviour runs, then its boundary events are armed; when it leaves,
its waits are closed, its flows are chosen while its variables are still there, it ends, and the flows are taken.
"""

from datetime import datetime
from typing import Any

from engine.kernel import compensation, faults, here, loops, scopes
from engine.kernel import events as ev
from engine.kernel.definition import Flow, Node, Wake
from engine.kernel.errors import BpmnError, failed
from engine.kernel.expression import ExpressionError
from engine.kernel.retries import parse_cycle
from engine.kernel.state import ASYNC, COMPLETED, SUSPENDED, TERMINATED, Execution, Instance
from engine.kernel.turn import Turn, expression_refusal
from engine.kernel.values import Variable

SKIP_SWITCHES = ("_FLOWABLE_SKIP_EXPRESSION_ENABLED", "_ACTIVITI_SKIP_EXPRESSION_ENABLED")


# --- entering -----------------------------------------------------------------------------------------------------------


def enter_later(turn: Turn, instance: Instance, scope_id: str, node: Node, flow_id: str = "", race_id: str = "") -> None:
    """Queue a token for an element inside a scope."""
    turn.later(scope_id, _enter, instance, scope_id, node, flow_id, race_id)


def _enter(turn: Turn, instance: Instance, scope_id: str, node: Node, flow_id: str, race_id: str) -> None:
    if not turn.alive(instance, scope_id):
        return
    if node.loop is not None:
        loops.start_body(turn, instance, scope_id, node, flow_id)
        return
    execution_id = turn.env.new_id()
    if node.asynchronous:
        queue(turn, instance, scope_id, node, execution_id, flow_id)
        return
    start(turn, instance, scope_id, node, execution_id, flow_id, race_id)


def queue(
    turn: Turn, instance: Instance, scope_id: str, node: Node, execution_id: str, flow_id: str, turn_no: int | None = None
) -> None:
    """Let a token wait before an asynchronous element; the job goes on from there."""
    turn.emit(
        ev.ElementQueued(
            instance_id=instance.id,
            execution_id=execution_id,
            parent_id=scope_id,
            element_id=node.id,
            flow_id=flow_id,
            loop_counter=turn_no,
        )
    )
    schedule(turn, instance, execution_id, node, ASYNC, "async-continuation", due_at=turn.at, exclusive=node.exclusive)


def start(
    turn: Turn,
    instance: Instance,
    scope_id: str,
    node: Node,
    execution_id: str,
    flow_id: str = "",
    race_id: str = "",
    turn_no: int | None = None,
) -> Execution:
    """Begin an element instance: its behaviour runs, then its boundary events are armed if it waits."""
    turn.emit(
        ev.ElementStarted(
            instance_id=instance.id,
            execution_id=execution_id,
            parent_id=scope_id,
            element_id=node.id,
            element_type=node.kind.type,
            at=turn.at,
            element_name=node.name,
            flow_id=flow_id,
            scope=node.kind.scope,
            loop_counter=turn_no,
            race_id=race_id,
        )
    )
    execution = instance.executions[execution_id]
    behave(turn, instance, execution, node)
    return execution


def behave(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """Run an element's behaviour on its execution, then arm its boundary events if it is still there."""
    at = here.Here(turn, instance, execution, node)
    try:
        if is_skipped(turn, instance, execution, node):
            at.leave()
            return
        if node.kind.scope:
            open_scope(turn, instance, execution, node)
        node.kind.enter(at)
    except BpmnError as error:
        faults.propagate(turn, instance, execution, error)
        return
    if node.boundary and execution.turn is None and at.is_alive:
        arm_boundary(turn, instance, execution, node)


def is_skipped(turn: Turn, instance: Instance, execution: Execution, node: Node) -> bool:
    """Whether an activity is skipped: its skipExpression holds and skipping is switched on by a variable."""
    skip = getattr(node.props, "skip", None)
    if skip is None or not skipping_enabled(turn, instance, execution):
        return False
    return _boolean(turn, instance, execution, skip, node.id, "skip expression")


def skipping_enabled(turn: Turn, instance: Instance, execution: Execution | None) -> bool:
    for switch in SKIP_SWITCHES:
        try:
            if scopes.find(turn, instance, execution, switch) in (True, "true"):
                return True
        except KeyError:
            continue
    return False


def open_scope(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    """What a scope has from its beginning: data objects and armed event sub-processes."""
    for data in node.data_objects:
        scopes.put(turn, instance, execution.id, data.name, Variable(data.type, data.value))
    host = here.Here(turn, instance, execution, node)
    for subprocess in node.event_subprocesses:
        event = subprocess.start
        if event is not None and event.trigger is not None:
            event.trigger.arm(host, event)


def root_execution(instance: Instance, process: Node) -> Execution:
    """The process instance's own scope as an execution, for whatever hosts events on it."""
    return Execution(instance.id, "", process.id, scope=True, waits=instance.waits, records=instance.records)


def arm_boundary(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    host = here.Here(turn, instance, execution, node)
    for event in node.boundary:
        if event.trigger is not None:
            event.trigger.arm(host, event)


# --- choosing flows -----------------------------------------------------------------------------------------------------


def holds(turn: Turn, instance: Instance, execution: Execution | None, flow: Flow) -> bool:
    """Whether a flow may be taken. Refuses the command if its condition gives no boolean (Flowable does too)."""
    if flow.skip is not None and skipping_enabled(turn, instance, execution):
        return _boolean(turn, instance, execution, flow.skip, flow.id, "skip expression")
    if flow.condition is not None:
        return _boolean(turn, instance, execution, flow.condition, flow.id, "condition")
    if flow.script is not None and execution is not None:
        from engine.kernel.scripting import run_script  # noqa: PLC0415 - scripting needs Here, which needs this module

        value = run_script(here.Here(turn, instance, execution, flow.source), *flow.script, store=False)
        return _as_boolean(value, flow.id, "condition")
    return True


def _boolean(turn: Turn, instance: Instance, execution: Execution | None, what: Any, element_id: str, role: str) -> bool:
    try:
        value = what.evaluate(scopes.ExecutionContext(turn, instance, execution))
    except ExpressionError as error:
        raise expression_refusal(error, element_id) from error
    return _as_boolean(value, element_id, role)


def _as_boolean(value: Any, element_id: str, role: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise failed(
        "not-a-boolean",
        f"element '{element_id}': expected the {role} to give true or false, found {type(value).__name__} {value!r}",
        element_id=element_id,
    )


def choose(turn: Turn, instance: Instance, execution: Execution, node: Node) -> tuple[Flow, ...]:
    """The flows by which an activity or event leaves: all whose conditions hold, else the default (BPMN 2.0, 13.3.2)."""
    if not node.outgoing:
        return ()
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


# --- leaving ------------------------------------------------------------------------------------------------------------


def leave(
    turn: Turn, instance: Instance, execution: Execution, node: Node, flows: tuple[Flow, ...] | None = None
) -> None:
    """End an element instance and take its flows (chosen by their conditions, unless given)."""
    is_turn = execution.turn is not None
    if node.async_after and not execution.leaving and not execution.body:
        _queue_leaving(turn, instance, execution, node)
        return
    if flows is None:
        flows = () if is_turn else choose(turn, instance, execution, node)
    close_waits(turn, instance, execution)
    if execution.race:
        _cancel_race(turn, instance, execution)
    compensation.remember(turn, instance, execution, node)
    turn.emit(
        ev.ElementEnded(instance_id=instance.id, execution_id=execution.id, element_id=node.id, at=turn.at)
    )
    if is_turn:
        loops.turn_ended(turn, instance, execution, node)
    else:
        go(turn, instance, execution.parent, node, flows)


def _queue_leaving(turn: Turn, instance: Instance, execution: Execution, node: Node) -> None:
    close_waits(turn, instance, execution)
    turn.emit(
        ev.ElementQueued(
            instance_id=instance.id,
            execution_id=execution.id,
            parent_id=execution.parent,
            element_id=node.id,
            leaving=True,
        )
    )
    schedule(turn, instance, execution.id, node, ASYNC, "async-leave", due_at=turn.at, exclusive=node.exclusive)


def go(turn: Turn, instance: Instance, scope_id: str, node: Node, flows: tuple[Flow, ...]) -> None:
    """Take flows out of a node inside a scope, or end the path."""
    for flow in flows:
        turn.emit(ev.FlowTaken(instance_id=instance.id, flow_id=flow.id, at=turn.at))
        enter_later(turn, instance, scope_id, flow.target, flow.id)
    if not flows:
        if scope_id == instance.id:
            turn.ends[instance.id] = node.id
        path_ended(turn, instance, scope_id)


def _cancel_race(turn: Turn, instance: Instance, winner: Execution) -> None:
    for rival in instance.children_of(winner.parent):
        if rival.race == winner.race and rival is not winner:
            cancel(turn, instance, rival, "event based gateway cancel")


def path_ended(turn: Turn, instance: Instance, scope_id: str) -> None:
    """A path inside a scope ended: the scope completes if it was the last one."""
    if not turn.alive(instance, scope_id) or turn.is_pending(scope_id):
        return
    children = instance.children_of(scope_id)
    if not children:
        complete_scope(turn, instance, scope_id)
    elif all(turn.node_of(instance, child).is_event_subprocess for child in children):
        # Nothing is left that an event sub-process could belong to: the scope listens no more, and ends with them.
        close_event_subprocess_waits(turn, instance, scope_id)


def complete_scope(turn: Turn, instance: Instance, scope_id: str) -> None:
    if scope_id == instance.id:
        end_instance(turn, instance, COMPLETED, turn.ends.get(instance.id, ""))
        return
    execution = instance.executions[scope_id]
    leave(turn, instance, execution, turn.node_of(instance, execution))


def end_instance(turn: Turn, instance: Instance, state: str, end_element_id: str = "", reason: str = "") -> None:
    """End a process instance whose tokens are gone; a caller goes on with what it maps out."""
    close(turn, instance, instance.id, list(instance.waits))
    caller = turn.tree.instances.get(instance.super_instance_id) if instance.super_instance_id else None
    execution = caller.executions.get(instance.super_execution_id) if caller is not None else None
    results: dict[str, Any] = {}
    if caller is not None and execution is not None and state == COMPLETED:
        if caller.state == SUSPENDED:
            raise failed(
                "process-instance-suspended",
                f"expected the calling process instance {caller.id} to be active, found it suspended",
                process_instance_id=caller.id,
            )
        node = turn.node_of(caller, execution)
        results = node.props.results(turn, instance)
    turn.emit(
        ev.ProcessInstanceEnded(
            instance_id=instance.id, at=turn.at, state=state, end_element_id=end_element_id, reason=reason
        )
    )
    if caller is not None and execution is not None and state == COMPLETED:
        turn.later(execution.id, _returned, caller, execution, results)


def _returned(turn: Turn, caller: Instance, execution: Execution, results: dict[str, Any]) -> None:
    if turn.alive(caller, execution.id):
        node = turn.node_of(caller, execution)
        node.kind.wake(here.Here(turn, caller, execution, node), Wake(kind="called", variables=results))


# --- waits --------------------------------------------------------------------------------------------------------------


def schedule(
    turn: Turn,
    instance: Instance,
    execution_id: str,
    node: Node,
    kind: str,
    handler: str,
    *,
    due_at: datetime,
    repeat: str = "",
    topic: str = "",
    exclusive: bool = True,
    payload: dict[str, Any] | None = None,
) -> str:
    """Schedule a job for an execution on behalf of an element; gives its id."""
    job_id = turn.env.new_id()
    retries = turn.env.limits.job_retries
    if node.retry_cycle is not None:
        cycle = parse_cycle(node.retry_cycle.text)
        retries = cycle.attempts if cycle is not None else retries
    turn.emit(
        ev.JobScheduled(
            instance_id=instance.id,
            job_id=job_id,
            execution_id=execution_id,
            element_id=node.id,
            kind=kind,
            handler=handler,
            due_at=due_at,
            at=turn.at,
            retries=retries,
            repeat=repeat,
            topic=topic,
            exclusive=exclusive,
            element_name=node.name,
            definition_id=instance.definition_id,
            tenant_id=instance.tenant_id,
            payload=payload or {},
        )
    )
    return job_id


def close_waits(turn: Turn, instance: Instance, execution: Execution) -> None:
    """Close all that an execution still waits for: jobs are cancelled, subscriptions closed."""
    if execution.waits:
        close(turn, instance, execution.id, list(execution.waits))


def close(turn: Turn, instance: Instance, execution_id: str, waits: list[Any]) -> None:
    for wait in waits:
        if wait.is_job:
            turn.emit(
                ev.JobEnded(
                    instance_id=instance.id,
                    job_id=wait.id,
                    execution_id=execution_id,
                    kind=wait.kind,
                    at=turn.at,
                    canceled=True,
                )
            )
        else:
            turn.emit(
                ev.SubscriptionClosed(
                    instance_id=instance.id, subscription_id=wait.id, execution_id=execution_id, at=turn.at
                )
            )


def close_event_subprocess_waits(turn: Turn, instance: Instance, scope_id: str) -> None:
    """Close the waits of a scope's event sub-processes (its boundary events stay armed)."""
    nodes = turn.definition_of(instance).nodes
    waits = instance.waits if scope_id == instance.id else instance.executions[scope_id].waits
    close(turn, instance, scope_id, [w for w in waits if nodes[w.element_id].kind.tag == "startEvent"])


# --- waking -------------------------------------------------------------------------------------------------------------


def wake(turn: Turn, instance: Instance, execution: Execution, element_id: str, woken: Wake) -> None:
    """Something that an execution waited for happened: at the element itself, at its boundary or for its scope."""
    node = turn.definition_of(instance).nodes[element_id]
    if node.attached_to is not None:
        fire_boundary(turn, instance, execution, node, woken)
    elif node.kind.tag == "startEvent":
        fire_event_subprocess(turn, instance, execution, node, woken)
    else:
        try:
            node.kind.wake(here.Here(turn, instance, execution, node), woken)
        except BpmnError as error:
            faults.propagate(turn, instance, execution, error)


def fire_boundary(turn: Turn, instance: Instance, host: Execution, event: Node, woken: Wake) -> None:
    """A boundary event fires: an interrupting one cancels its activity, any one sends out a token of its own."""
    outer = instance.executions.get(host.parent)
    for name, value in woken.variables.items():
        scopes.set_variable(turn, instance, outer, name, value)
    if event.trigger is not None:
        event.trigger.fired(here.Here(turn, instance, host, turn.node_of(instance, host)), event, woken)
    scope_id = host.parent
    if event.interrupting:
        cancel(turn, instance, host, f"boundary event ({event.id})")
    enter_later(turn, instance, scope_id, event)


def fire_event_subprocess(turn: Turn, instance: Instance, scope: Execution, event: Node, woken: Wake) -> None:
    """An event sub-process starts; an interrupting one cancels whatever else goes on in its scope."""
    subprocess = event.parent
    assert subprocess is not None, "a start event with a wait stands in an event sub-process"
    if event.trigger is not None:
        event.trigger.fired(here.Here(turn, instance, scope, turn.node_of(instance, scope)), event, woken)
    if event.interrupting:
        turn.drop(scope.id)
        for child in instance.children_of(scope.id):
            cancel(turn, instance, child, f"event subprocess({event.id})")
        close_event_subprocess_waits(turn, instance, scope.id)
    for name, value in woken.variables.items():
        scopes.set_variable(turn, instance, scope, name, value)
    enter_later(turn, instance, scope.id, subprocess)


# --- cancelling ---------------------------------------------------------------------------------------------------------


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
    """End the user task that an execution holds, if it holds one."""
    if execution.task:
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
            )
        )


def cancel_instance(turn: Turn, instance: Instance, state: str, reason: str, end_element_id: str = "") -> None:
    """End an instance from outside its flow: everything inside is cancelled, no caller goes on by it."""
    turn.drop(instance.id)
    for child in instance.children_of(instance.id):
        cancel(turn, instance, child, reason)
    close(turn, instance, instance.id, list(instance.waits))
    turn.emit(
        ev.ProcessInstanceEnded(
            instance_id=instance.id, at=turn.at, state=state, end_element_id=end_element_id, reason=reason
        )
    )
